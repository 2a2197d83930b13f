-- What was traded per day, strategy and symbol; all before the window as one day before it. Symbols as their hash;
-- each column as the bytes of its numbers (binary_columns).
WITH flows AS (
    SELECT d.strategy_no, hashtextextended(d.symbol, 0) AS symbol,
           greatest(d.day, CAST(:start AS date) - 1) - DATE '1970-01-01' AS day,
           sum(d.quantity) AS quantity, sum(d.cash) AS cash,
           (array_agg(d.last_price ORDER BY d.day DESC))[1] AS last_price
    FROM live_days d JOIN live_strategies s USING (strategy_no)
    WHERE s.scope = :scope
    GROUP BY 1, 2, 3
)
SELECT count(*) AS n,
       string_agg(int4send(strategy_no), ''::bytea) AS strategy_no,
       string_agg(int8send(symbol), ''::bytea) AS symbol,
       string_agg(int4send(day), ''::bytea) AS day,
       string_agg(float8send(quantity), ''::bytea) AS quantity,
       string_agg(float8send(cash), ''::bytea) AS cash,
       string_agg(float8send(last_price), ''::bytea) AS last_price
FROM flows
