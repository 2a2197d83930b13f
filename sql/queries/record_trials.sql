-- Which of these runs are trials that the ledger does not hold yet? A trial is a block, a configuration and its returns.
INSERT INTO trials (strategy_id, trial_digest, run_id, seen_at)
SELECT DISTINCT ON (r.strategy_id, found.trial_digest) r.strategy_id, found.trial_digest, r.run_id, :now
FROM backtest_runs r
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(
        r.market_id || '|' || COALESCE(CAST(r.start_date AS text), '') || '|' || COALESCE(CAST(r.end_date AS text), '') || '|'
        || r.campaign_id || '|' || r.config_digest || '|' || COALESCE(r.series_digest, r.content_digest), 'UTF8'
    )), 'hex') AS trial_digest
) AS found
WHERE r.run_id = ANY (CAST(:run_ids AS text[]))
ORDER BY r.strategy_id, found.trial_digest, r.run_id COLLATE "C"
ON CONFLICT DO NOTHING
