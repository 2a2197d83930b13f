-- How much is in the loop?
SELECT 'strategies' AS name, count(*) AS n FROM strategies
UNION ALL SELECT 'campaigns', count(*) FROM campaigns
UNION ALL SELECT 'backtest_runs', count(*) FROM backtest_runs
UNION ALL SELECT 'candidates', count(*) FROM candidates
UNION ALL SELECT 'proposals', count(*) FROM meta_config_proposals
UNION ALL SELECT 'applied_changes', count(*) FROM config_change_log
UNION ALL SELECT 'audit_entries', count(*) FROM audit_log
