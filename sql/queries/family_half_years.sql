-- The runs of a family's other strategies that had ended by a day, reduced to half-years.
SELECT
    r.strategy_id,
    r.campaign_id,
    r.market_id || '|' || r.start_date || '..' || r.end_date || '|' || r.campaign_id
        || '|' || r.periods_per_year AS block,
    r.end_date,
    r.periods_per_year,
    CAST(r.config_json AS text) AS config_json,
    h.counts,
    h.totals,
    h.squares
FROM strategies s
JOIN backtest_runs r ON r.strategy_id = s.strategy_id
JOIN run_half_years h ON h.run_id = r.run_id
WHERE s.family = :family AND s.strategy_id <> :strategy_id
AND r.state = 'accepted' AND r.end_date <= :decided_on
ORDER BY r.run_id COLLATE "C"
