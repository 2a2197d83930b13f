-- Which accepted runs of a strategy are not reduced to half-years yet?
SELECT r.run_id
FROM backtest_runs r
WHERE r.strategy_id = :strategy_id AND r.state = 'accepted'
AND NOT EXISTS (SELECT FROM run_half_years h WHERE h.run_id = r.run_id)
ORDER BY r.run_id COLLATE "C"
