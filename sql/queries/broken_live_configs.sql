-- Which configuration versions cite something else than a change on record that was approved and applied, or
-- reverted? One row per fault. Right is: none.
WITH cited AS (
    SELECT v.strategy_id, v.version, v.action, v.change_id AS cited, c.change_id, c.strategy_id AS changed_strategy,
           c.new_version, c.revert_version, c.is_reverted, p.status,
           EXISTS (
               SELECT FROM approvals a
               WHERE a.proposal_id = p.proposal_id AND a.body_digest = p.body_digest AND a.decision = 'approve'
           ) AS approved
    FROM config_versions v
    LEFT JOIN config_change_log c ON c.change_id = v.change_id
    LEFT JOIN meta_config_proposals p ON p.proposal_id = c.proposal_id
    WHERE v.action <> 'declare'
)
SELECT strategy_id, version, 'cites change ' || cited || ', which is not on record' AS fault
FROM cited WHERE change_id IS NULL
UNION ALL
SELECT strategy_id, version, 'cites change ' || change_id || ' of another strategy, ' || changed_strategy
FROM cited WHERE changed_strategy <> strategy_id
UNION ALL
SELECT strategy_id, version, 'cites change ' || change_id || ', which made version ' || new_version
FROM cited WHERE action = 'apply' AND new_version <> version
UNION ALL
SELECT strategy_id, version, 'cites change ' || change_id || ', whose proposal is ' || status
FROM cited WHERE status NOT IN ('APPLIED', 'KEPT', 'REVERTED')
UNION ALL
SELECT strategy_id, version, 'cites change ' || change_id || ', whose proposal nobody approved as it is now'
FROM cited WHERE change_id IS NOT NULL AND NOT approved
UNION ALL
SELECT strategy_id, version, 'reverts change ' || change_id || ', which is not marked as reverted by it'
FROM cited WHERE action = 'revert' AND (NOT is_reverted OR revert_version IS DISTINCT FROM version)
UNION ALL
SELECT s.strategy_id, s.live_version, 'is live although version ' || newest.version || ' is newer'
FROM strategies s
JOIN (SELECT strategy_id, max(version) AS version FROM config_versions GROUP BY strategy_id) AS newest
    USING (strategy_id)
WHERE s.live_version IS DISTINCT FROM newest.version
ORDER BY 1, 2, 3
