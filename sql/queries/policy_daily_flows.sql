-- What was traded per day, strategy and symbol; all before the window as one day before it. Symbols as their hash.
COPY (
    SELECT d.strategy_no, hashtextextended(d.symbol, 0), greatest(d.day, {start}::date - 1) - DATE '1970-01-01',
           sum(d.quantity), sum(d.cash), (array_agg(d.last_price ORDER BY d.day DESC))[1]
    FROM live_days d JOIN live_strategies s USING (strategy_no)
    WHERE s.scope = {scope}
    GROUP BY 1, 2, 3
) TO STDOUT (FORMAT BINARY)
