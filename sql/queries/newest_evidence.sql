-- What is the newest evidence of each strategy that has any, and which version of its configuration is live?
SELECT DISTINCT ON (a.strategy_id) a.strategy_id, a.evidence_digest, s.live_version
FROM aggregations a
JOIN strategies s USING (strategy_id)
ORDER BY a.strategy_id, a.aggregation_id DESC
