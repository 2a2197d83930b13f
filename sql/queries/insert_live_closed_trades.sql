-- Writes closed trades of one stream of fills (a strategy in a symbol).
INSERT INTO live_closed_trades (strategy_no, symbol, exit_execution_id, scope, direction, quantity, entry_price,
                                exit_price, pnl, fees, notional, initial_risk, n_fills, opened_at, closed_at)
SELECT t.strategy_no, t.symbol, t.exit_execution_id, :scope, t.direction, t.quantity, t.entry_price, t.exit_price,
       t.pnl, t.fees, t.notional, t.initial_risk, t.n_fills, t.opened_at, t.closed_at
FROM unnest(CAST(:strategy_no AS int[]), CAST(:symbol AS text[]), CAST(:exit_execution_id AS text[]),
            CAST(:direction AS text[]), CAST(:quantity AS float8[]), CAST(:entry_price AS float8[]),
            CAST(:exit_price AS float8[]), CAST(:pnl AS float8[]), CAST(:fees AS float8[]),
            CAST(:notional AS float8[]), CAST(:initial_risk AS float8[]), CAST(:n_fills AS int[]),
            CAST(:opened_at AS timestamptz[]), CAST(:closed_at AS timestamptz[]))
     AS t (strategy_no, symbol, exit_execution_id, direction, quantity, entry_price, exit_price, pnl, fees, notional,
           initial_risk, n_fills, opened_at, closed_at)
