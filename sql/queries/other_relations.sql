-- What else lives in this schema, beside the tables and views named in :ours and what belongs to them?
SELECT c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema()
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND NOT c.relname::text = ANY (:ours)
  AND NOT EXISTS (  -- a sequence behind an identity column of ours
      SELECT FROM pg_depend d JOIN pg_class owner ON owner.oid = d.refobjid
      WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND owner.relname::text = ANY (:ours)
  )
ORDER BY c.relname
