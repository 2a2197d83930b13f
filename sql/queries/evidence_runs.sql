-- All runs of a strategy, those in quarantine included, in one statement and so of one moment; without returns.
-- A thousand runs to a row, as one JSON array of columns: what costs time is rows and texts, not bytes.
WITH runs AS (
    SELECT
        row_number() OVER (ORDER BY r.run_id COLLATE "C") AS number,
        r.run_id,
        CASE WHEN r.state = 'quarantined' THEN 'quarantined:' || r.reason_code ELSE r.state END AS state,
        r.series_digest,
        r.content_digest,
        r.market_id || '|' || r.start_date || '..' || r.end_date || '|' || r.campaign_id AS block,
        r.market_id,
        r.sector,
        r.periods_per_year,
        CASE WHEN r.state <> 'quarantined' THEN r.config_json END AS config,
        CASE WHEN r.state <> 'quarantined' THEN COALESCE(r.metrics_json, '{}') END AS metrics,
        s.calendar_id,
        s.first_period,
        s.n_periods
    FROM backtest_runs r
    LEFT JOIN return_series s ON s.run_id = r.run_id AND r.state = 'accepted'
    WHERE r.strategy_id = :strategy_id
)
SELECT CAST(json_build_array(
    json_agg(run_id ORDER BY number),
    json_agg(state ORDER BY number),
    json_agg(series_digest ORDER BY number),
    json_agg(content_digest ORDER BY number),
    json_agg(block ORDER BY number),
    json_agg(market_id ORDER BY number),
    json_agg(sector ORDER BY number),
    json_agg(periods_per_year ORDER BY number),
    json_agg(config ORDER BY number),
    json_agg(metrics ORDER BY number),
    json_agg(calendar_id ORDER BY number),
    json_agg(first_period ORDER BY number),
    json_agg(n_periods ORDER BY number)
) AS text)
FROM runs
GROUP BY (number - 1) / 1000
ORDER BY (number - 1) / 1000
