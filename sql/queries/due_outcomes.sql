-- Which candidates have a window after their evidence that is over by a day and has no outcome yet? One row per window.
SELECT
    p.candidate_id,
    c.knob_path,
    CAST(c.body -> 'knob' AS text) AS knob,
    CAST(c.body -> 'from' AS text) AS low,
    CAST(c.body -> 'to' AS text) AS high,
    CAST(p.live_config AS text) AS live_config,
    p.claimed,
    p.dead,
    p.evidence_end + CAST(:moved AS integer) + 1 AS window_start,
    w.window_end
FROM candidate_predictions p
JOIN candidates c ON c.candidate_id = p.candidate_id
CROSS JOIN LATERAL (
    SELECT
        months,
        CAST(p.evidence_end + CAST(:moved AS integer) + make_interval(months => months) AS date) AS window_end
    FROM unnest(CAST(:months AS integer[])) AS month (months)
) AS w
WHERE p.strategy_id = :strategy_id
AND w.window_end < :today
AND NOT EXISTS (
    SELECT FROM outcomes o
    WHERE o.candidate_id = p.candidate_id AND o.kind = 'replay' AND o.realised IS NOT NULL
    AND o.window_end = w.window_end
)
ORDER BY p.evidence_end, w.months, p.candidate_id
