-- Which of the incoming runs are new? In the order of their ids, so that two writers of the same runs wait for each
-- other and never deadlock. A writer that loses waits here for the winner to commit, or takes over if it fails.
INSERT INTO backtest_runs (
    run_id, strategy_id, campaign_id, config_json, config_digest, start_date, end_date, market_id, universe_id, sector,
    code_version, periods_per_year, config_version, metrics_json, computed_json, state, reason_code, reason,
    content_digest, series_digest, source, created_at
)
SELECT
    run_id, strategy_id, campaign_id, config_json::jsonb, config_digest, start_date, end_date, market_id, universe_id,
    sector, code_version, periods_per_year, config_version, metrics_json::jsonb, computed_json::jsonb, state,
    reason_code, reason, content_digest, series_digest, source, :now
FROM pg_temp.incoming_runs
ORDER BY run_id COLLATE "C"
ON CONFLICT (run_id) DO NOTHING
RETURNING run_id
