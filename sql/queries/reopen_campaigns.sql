-- Which of these campaigns were closed, and are open again because new runs came?
UPDATE campaigns SET state = 'open', closed_at = NULL
FROM (
    SELECT c.strategy_id, c.campaign_id
    FROM campaigns c
    JOIN unnest(CAST(:strategies AS text[]), CAST(:campaigns AS text[])) AS touched (strategy_id, campaign_id)
        USING (strategy_id, campaign_id)
    WHERE c.state = 'closed'
    ORDER BY c.strategy_id, c.campaign_id
    FOR NO KEY UPDATE OF c
) AS closed
WHERE campaigns.strategy_id = closed.strategy_id AND campaigns.campaign_id = closed.campaign_id
RETURNING campaigns.strategy_id, campaigns.campaign_id
