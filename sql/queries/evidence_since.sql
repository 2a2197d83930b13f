-- Which strategies got new evidence after a point in time, and by which aggregation last?
SELECT DISTINCT ON (strategy_id) strategy_id, aggregation_id, created_at
FROM aggregations
WHERE created_at > :since
ORDER BY strategy_id, aggregation_id DESC
