-- Is this the history a low-water mark was taken in? The text changes after a restore from a dump (another cluster,
-- database, or tables written anew) and after a recovery to an earlier point (another timeline): then transaction ids
-- start over, or rows come back that were absorbed once, and an old mark would lose runs.
SELECT concat_ws(
    '/',
    (SELECT system_identifier FROM pg_control_system()),
    (SELECT timeline_id FROM pg_control_checkpoint()),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    pg_relation_filenode('backtest_runs'),
    pg_relation_filenode('absorbed_runs')
)
