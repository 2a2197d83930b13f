-- Adds fills to the sums of their days; they are later than all that is in those sums.
INSERT INTO live_days (strategy_no, symbol, day, quantity, cash, last_price, n_fills)
SELECT d.strategy_no, d.symbol, d.day, d.quantity, d.cash, d.last_price, d.n_fills
FROM unnest(CAST(:strategy_no AS int[]), CAST(:symbol AS text[]), CAST(:day AS date[]), CAST(:quantity AS float8[]),
            CAST(:cash AS float8[]), CAST(:last_price AS float8[]), CAST(:n_fills AS int[]))
     AS d (strategy_no, symbol, day, quantity, cash, last_price, n_fills)
ON CONFLICT (strategy_no, symbol, day) DO UPDATE
SET quantity = live_days.quantity + excluded.quantity,
    cash = live_days.cash + excluded.cash,
    last_price = excluded.last_price,
    n_fills = live_days.n_fills + excluded.n_fills
