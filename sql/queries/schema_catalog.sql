-- What is in the current schema? One row per object: kind, table it belongs to, name, definition.
-- Definitions leave the schema's name out, so that two schemas can be compared. They are only looked up if
-- :definitions says so: PostgreSQL locks an object to describe it, and would wait for whoever is changing it.
WITH relation AS (
    SELECT c.oid, c.relname::text AS name, c.relkind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
)
SELECT 'table' AS kind, name AS relation, name, '' AS definition
FROM relation WHERE relkind IN ('r', 'p')
UNION ALL
SELECT 'view', name, name, CASE WHEN :definitions THEN pg_get_viewdef(oid, true) END
FROM relation WHERE relkind = 'v'
UNION ALL
SELECT 'column', r.name, a.attname::text,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 'DEFAULT ' || CASE WHEN :definitions THEN pg_get_expr(d.adbin, d.adrelid) END,
                 'IDENTITY ' || nullif(a.attidentity::text, ''))
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'storage', r.name, a.attname::text, a.attstorage::text
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT CASE k.contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key' WHEN 'u' THEN 'unique' ELSE 'primary key' END,
       r.name, k.conname::text, CASE WHEN :definitions THEN pg_get_constraintdef(k.oid, true) END
FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
WHERE k.contype IN ('c', 'f', 'u', 'p')
UNION ALL
SELECT 'index', r.name, x.relname::text, CASE WHEN :definitions THEN pg_get_indexdef(i.indexrelid, 0, true) END
FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class x ON x.oid = i.indexrelid
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'trigger', r.name, t.tgname::text,
       CASE WHEN :definitions THEN pg_get_triggerdef(t.oid, true) END || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' (off)' END
FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'function', '', p.proname::text, p.prosrc
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = current_schema()
ORDER BY 1, 2, 3
