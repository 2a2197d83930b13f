-- The closed trades of a book since a moment, in no order; each column as the bytes of its numbers (binary_columns).
SELECT count(*) AS n,
       string_agg(int4send(strategy_no), ''::bytea) AS strategy_no,
       string_agg(int8send(CAST(extract(epoch FROM closed_at) * 1000000 AS bigint)), ''::bytea) AS closed_at,
       string_agg(float8send(pnl), ''::bytea) AS pnl,
       string_agg(float8send(notional), ''::bytea) AS notional,
       string_agg(float8send(coalesce(initial_risk, 'NaN')), ''::bytea) AS initial_risk,
       string_agg(int4send(CAST(direction = 'LONG' AS integer)), ''::bytea) AS long
FROM live_closed_trades
WHERE scope = :scope AND closed_at >= :since
