-- The closed trades of a book since a moment, as columns of fixed width, in no order.
COPY (
    SELECT strategy_no, CAST(extract(epoch FROM closed_at) * 1000000 AS bigint), pnl, notional,
           coalesce(initial_risk, 'NaN'), CAST(direction = 'LONG' AS integer)
    FROM live_closed_trades
    WHERE scope = {scope} AND closed_at >= {since}
) TO STDOUT (FORMAT BINARY)
