-- Which strategies have aggregates that do not count the runs that were absorbed, each once? One row per fault. Right
-- is: none. Only strategies whose aggregates were made are asked; runs that came in since are not absorbed yet.
WITH absorbed AS (
    SELECT r.strategy_id,
           count(*) AS n_all,
           count(*) FILTER (WHERE r.state <> 'quarantined') AS n_usable
    FROM absorbed_runs a JOIN backtest_runs r USING (run_id)
    GROUP BY r.strategy_id
),
counted AS (
    SELECT strategy_id,
           coalesce(sum(n_runs) FILTER (WHERE dimension = 'state'), 0) AS n_all,
           coalesce(sum(n_runs) FILTER (WHERE dimension = 'strategy'), 0) AS n_usable,
           coalesce(sum(n_runs) FILTER (WHERE dimension = 'config'), 0) AS n_by_config
    FROM backtest_aggregates
    GROUP BY strategy_id
)
SELECT strategy_id, format('absorbed %s runs, but the aggregates by state count %s', a.n_all, coalesce(c.n_all, 0))
FROM absorbed a LEFT JOIN counted c USING (strategy_id)
WHERE a.n_all IS DISTINCT FROM c.n_all
UNION ALL
SELECT strategy_id, format('absorbed %s usable runs, but the whole counts %s', a.n_usable, c.n_usable)
FROM absorbed a JOIN counted c USING (strategy_id)
WHERE a.n_usable <> c.n_usable
UNION ALL
SELECT strategy_id, format('counts %s runs as a whole, but %s by configuration', c.n_usable, c.n_by_config)
FROM counted c
WHERE c.n_usable <> c.n_by_config
ORDER BY 1, 2
