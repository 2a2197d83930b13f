-- Which runs has no evidence absorbed? Per strategy; and from which transaction on does the next look have to start?
-- Below the mark every transaction has ended and every run is absorbed. From the snapshot's xmax on there are only rows
-- that a restore brought from another cluster; a mark is given only once all of those are absorbed.
WITH pending AS MATERIALIZED (
    SELECT r.strategy_id, r.campaign_id, r.run_id, r.created_at, r.ingest_xid
    FROM backtest_runs r
    WHERE r.ingest_xid >= CAST(CAST(:mark AS text) AS xid8)
      AND (:whole OR r.ingest_xid < pg_snapshot_xmax(pg_current_snapshot()))
      AND NOT EXISTS (SELECT FROM absorbed_runs a WHERE a.run_id = r.run_id)
),
by_strategy AS (
    SELECT
        p.strategy_id,
        count(*) AS n_runs,
        encode(sha256(convert_to(string_agg(p.run_id, E'\n' ORDER BY p.run_id COLLATE "C"), 'UTF8')), 'hex') AS digest,
        min(p.created_at) AS oldest,
        max(p.created_at) AS newest,
        bool_or(c.state = 'closed') AS closed
    FROM pending p
    JOIN campaigns c USING (strategy_id, campaign_id)
    GROUP BY p.strategy_id
)
SELECT
    CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS xmin,
    CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS xmax,
    (SELECT min(CAST(CAST(ingest_xid AS text) AS bigint)) FROM pending) AS first_pending,
    (SELECT max(CAST(CAST(ingest_xid AS text) AS bigint)) FROM pending) AS last_pending,
    s.*
FROM (SELECT 1) AS always
LEFT JOIN by_strategy s ON true
ORDER BY s.strategy_id
