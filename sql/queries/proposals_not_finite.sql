-- Which proposals hold a figure that is NaN or infinite, in a column or anywhere in their evidence? Right is: none.
SELECT p.proposal_id, p.strategy_id, figure.name
FROM meta_config_proposals p
CROSS JOIN LATERAL (VALUES
    ('confidence_score', p.confidence_score),
    ('expected_sharpe_improvement', p.expected_sharpe_improvement),
    ('expected_return_improvement', p.expected_return_improvement),
    ('expected_risk_reduction', p.expected_risk_reduction),
    ('legacy_confidence', p.legacy_confidence)
) AS figure (name, value)
WHERE figure.value IN ('NaN', 'Infinity', '-Infinity')
UNION ALL
SELECT p.proposal_id, p.strategy_id, 'supporting_metrics'
FROM meta_config_proposals p
WHERE jsonb_path_exists(p.supporting_metrics, '$.** ? (@ == "NaN" || @ == "Infinity" || @ == "-Infinity")')
ORDER BY 1, 3
