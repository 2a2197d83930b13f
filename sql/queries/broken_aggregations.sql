-- Which aggregations do not reconcile with the runs they absorbed, and which absorbed runs are of another strategy
-- than their aggregation? One row per fault. Right is: none.
SELECT g.aggregation_id, format('of %s says %s runs, but %s are recorded as absorbed by it', g.strategy_id,
                                g.n_absorbed, count(a.run_id)) AS fault
FROM aggregations g LEFT JOIN absorbed_runs a USING (aggregation_id)
GROUP BY g.aggregation_id
HAVING g.n_absorbed <> count(a.run_id)
UNION ALL
SELECT g.aggregation_id, format('of %s absorbed run %s of %s', g.strategy_id, a.run_id, r.strategy_id)
FROM aggregations g JOIN absorbed_runs a USING (aggregation_id) JOIN backtest_runs r USING (run_id)
WHERE r.strategy_id <> g.strategy_id
ORDER BY 1, 2
