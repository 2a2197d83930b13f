-- Which of these runs does no evidence have yet? They are absorbed by this aggregation.
INSERT INTO absorbed_runs (run_id, aggregation_id, absorbed_at)
SELECT run_id, :aggregation_id, :now
FROM unnest(CAST(:run_ids AS text[])) AS read (run_id)
WHERE NOT EXISTS (SELECT FROM absorbed_runs a WHERE a.run_id = read.run_id)
ORDER BY run_id COLLATE "C"
RETURNING run_id
