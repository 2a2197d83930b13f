-- What a family's ledger may teach a decision: outcomes that had ended, and were on record, by then. Of one change of one
-- campaign the longest window counts, as the first look recorded it; a pseudo-outcome counts once per split.
SELECT DISTINCT ON (p.strategy_id, p.campaign, c.knob_path, c.from_value, c.to_value, o.kind, split)
    p.family,
    p.campaign,
    CAST(c.body -> 'knob' AS text) AS knob,
    CAST(c.body -> 'from' AS text) AS low,
    CAST(c.body -> 'to' AS text) AS high,
    o.window_start - 1 AS evidence_end,
    o.window_end AS outcome_end,
    COALESCE(o.years, (p.evidence_end - p.evidence_start + 1) / 365.25) AS years,
    CASE WHEN o.kind = 'pseudo' THEN o.contrast ELSE p.contrast END AS contrast,
    CASE WHEN o.kind = 'pseudo' THEN o.contrast_error ELSE p.standard_error END AS standard_error,
    CASE WHEN o.kind = 'pseudo' THEN o.surface ELSE p.surface END AS surface,
    CASE WHEN o.kind = 'replay' THEN p.claimed END AS claimed,
    CASE WHEN o.kind = 'replay' THEN p.probability END AS probability,
    o.main,
    o.incumbent,
    o.kind = 'pseudo' AS pseudo,
    p.dead
FROM (
    SELECT
        candidate_id,
        kind,
        window_start,
        window_end,
        CASE WHEN kind = 'pseudo' THEN window_start END AS split,
        max(contrast) AS contrast,
        max(contrast_error) AS contrast_error,
        max(surface) AS surface,
        max(years) AS years,
        max(realised) FILTER (WHERE scale = 'main') AS main,
        max(realised) FILTER (WHERE scale = 'incumbent') AS incumbent
    FROM outcomes
    WHERE kind IN ('pseudo', 'replay') AND realised IS NOT NULL
    AND window_end <= :decided_on AND recorded_at <= :now
    GROUP BY candidate_id, kind, window_start, window_end
) AS o
JOIN candidate_predictions p ON p.candidate_id = o.candidate_id
JOIN candidates c ON c.candidate_id = o.candidate_id
WHERE p.family = :family AND (o.kind = 'pseudo' OR p.contrast IS NOT NULL)
AND (o.kind = 'pseudo' OR o.window_end - o.window_start >= 180)
ORDER BY
    p.strategy_id, p.campaign, c.knob_path, c.from_value, c.to_value, o.kind, split,
    o.window_end DESC, p.decided_on, p.candidate_id
