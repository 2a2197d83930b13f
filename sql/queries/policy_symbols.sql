-- The symbols a book traded or has prices of, with the hash that stands for each.
SELECT symbol, hashtextextended(symbol, 0) AS hash
FROM (
    SELECT p.symbol FROM live_positions p JOIN live_strategies s USING (strategy_no) WHERE s.scope = :scope
    UNION
    SELECT symbol FROM live_prices WHERE scope = :scope
) AS known
ORDER BY symbol
