-- What automation approved was applied by no person: the predecessors' readers find AUTO there.
CREATE OR REPLACE VIEW meta_controller_config_proposals AS
    SELECT p.proposal_id, p.created_at, 'STRATEGY_CONFIG'::text AS target_type, p.strategy_id AS target_id,
           v.config_json AS current_config_snapshot_json,
           jsonb_build_object(p.target_component, p.proposed_value) AS proposed_config_json,
           p.rationale AS rationale_text, p.supporting_metrics AS evidence_json,
           CASE WHEN p.status = 'KEPT' THEN 'APPLIED' ELSE p.status END AS status,
           p.applied_at,
           CASE WHEN p.applied_at IS NULL THEN NULL
                WHEN EXISTS (SELECT FROM approvals a WHERE a.proposal_id = p.proposal_id AND a.decision = 'approve'
                                                       AND a.channel = 'automation') THEN 'AUTO'
                ELSE 'HUMAN' END AS applied_by
    FROM meta_config_proposals p
    JOIN config_versions v ON v.strategy_id = p.strategy_id AND v.version = p.base_version;
