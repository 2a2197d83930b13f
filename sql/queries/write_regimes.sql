-- The labels of one market's days, written; days that carry the same label already are left alone.
INSERT INTO market_regimes AS stored (market_id, as_of, label)
SELECT :market_id, as_of, label
FROM unnest(CAST(:days AS date[]), CAST(:labels AS text[])) AS given (as_of, label)
ORDER BY as_of
ON CONFLICT (market_id, as_of) DO UPDATE SET label = excluded.label WHERE stored.label <> excluded.label
