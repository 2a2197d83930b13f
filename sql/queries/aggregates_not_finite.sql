-- Which aggregates hold a figure that is NaN or infinite, in a column or anywhere in their body? Right is: none.
SELECT a.strategy_id, a.dimension, a.label, figure.name
FROM backtest_aggregates a
CROSS JOIN LATERAL (VALUES
    ('sharpe', a.sharpe),
    ('mean_return', a.mean_return),
    ('volatility', a.volatility),
    ('max_drawdown', a.max_drawdown),
    ('win_rate', a.win_rate)
) AS figure (name, value)
WHERE figure.value IN ('NaN', 'Infinity', '-Infinity')
UNION ALL
SELECT a.strategy_id, a.dimension, a.label, 'body'
FROM backtest_aggregates a
WHERE jsonb_path_exists(a.body, '$.** ? (@ == "NaN" || @ == "Infinity" || @ == "-Infinity")')
ORDER BY 1, 2, 3, 4
