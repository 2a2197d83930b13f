-- Which of these fills are new? Inserts them and returns their ids.
INSERT INTO live_fills (scope, execution_id, strategy_no, symbol, side, quantity, price, fee, initial_risk, executed_at,
                        content_digest, received_at)
SELECT :scope, f.execution_id, s.strategy_no, f.symbol, f.side, f.quantity, f.price, f.fee, f.initial_risk,
       f.executed_at, f.content_digest, :now
FROM unnest(CAST(:execution_id AS text[]), CAST(:strategy_id AS text[]), CAST(:symbol AS text[]),
            CAST(:side AS text[]), CAST(:quantity AS float8[]), CAST(:price AS float8[]), CAST(:fee AS float8[]),
            CAST(:initial_risk AS float8[]), CAST(:executed_at AS timestamptz[]), CAST(:content_digest AS text[]))
     AS f (execution_id, strategy_id, symbol, side, quantity, price, fee, initial_risk, executed_at, content_digest)
JOIN live_strategies s ON s.scope = :scope AND s.strategy_id = f.strategy_id
ON CONFLICT DO NOTHING
RETURNING execution_id
