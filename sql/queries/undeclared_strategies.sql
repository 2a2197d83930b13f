-- Which of these strategies have no declared knob?
SELECT s.strategy_id
FROM strategies s
WHERE s.strategy_id = ANY (CAST(:strategies AS text[]))
  AND NOT EXISTS (SELECT FROM strategy_knobs k WHERE k.strategy_id = s.strategy_id)
