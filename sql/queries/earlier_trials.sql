-- How many trials of a strategy are not among the runs that its evidence holds now?
SELECT count(*)
FROM trials t
WHERE t.strategy_id = :strategy_id
AND NOT EXISTS (
    SELECT FROM backtest_runs r WHERE r.run_id = t.run_id AND r.state <> 'quarantined'
)
