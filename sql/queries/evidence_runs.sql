-- All runs of a strategy, those in quarantine included, in one statement and so of one moment; without returns.
SELECT
    r.run_id, r.campaign_id, r.state, r.reason_code, r.content_digest, r.series_digest, r.start_date, r.end_date,
    r.market_id, r.sector, r.periods_per_year, r.config_digest,
    CASE WHEN r.state <> 'quarantined' THEN CAST(r.config_json AS text) END AS config_json,
    CASE WHEN r.state <> 'quarantined' THEN CAST(r.metrics_json AS text) END AS metrics_json,
    s.calendar_id, s.first_period, s.n_periods
FROM backtest_runs r
LEFT JOIN return_series s ON s.run_id = r.run_id AND r.state = 'accepted'
WHERE r.strategy_id = :strategy_id
ORDER BY r.run_id COLLATE "C"
