-- All runs of a strategy, those in quarantine included, in one statement and so of one moment; without returns.
SELECT
    r.run_id,
    CASE WHEN r.state = 'quarantined' THEN 'quarantined:' || r.reason_code ELSE r.state END AS state,
    COALESCE(r.series_digest, r.content_digest) AS series_digest,
    r.content_digest,
    r.market_id || '|' || r.start_date || '..' || r.end_date || '|' || r.campaign_id AS block,
    r.market_id,
    r.sector,
    COALESCE(r.periods_per_year, 'NaN') AS periods_per_year,
    r.config_digest,
    CASE WHEN r.state <> 'quarantined' THEN CAST(r.config_json AS text) END AS config_json,
    CASE WHEN r.state <> 'quarantined' THEN COALESCE(CAST(r.metrics_json AS text), '{}') END AS metrics_json,
    s.calendar_id,
    s.first_period,
    s.n_periods
FROM backtest_runs r
LEFT JOIN return_series s ON s.run_id = r.run_id AND r.state = 'accepted'
WHERE r.strategy_id = :strategy_id
ORDER BY r.run_id COLLATE "C"
