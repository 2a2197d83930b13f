-- Which of the machine's proposals do not rest on a candidate that was found and not suppressed, on the evidence
-- they name? One row per fault. Right is: none. (A person may propose without a candidate.)
SELECT p.proposal_id, p.strategy_id,
       CASE
           WHEN p.candidate_id IS NULL THEN 'names no candidate'
           WHEN c.strategy_id <> p.strategy_id THEN 'names a candidate of ' || c.strategy_id
           WHEN c.knob_path <> p.target_component THEN 'names a candidate for ' || c.knob_path
           WHEN c.evidence_digest <> p.evidence_digest THEN 'names other evidence than its candidate'
           WHEN c.suppressed_by IS NOT NULL THEN 'names a candidate that was stopped by ' || c.suppressed_by
           ELSE 'carries no supporting metrics'
       END AS fault
FROM meta_config_proposals p
LEFT JOIN candidates c ON c.candidate_id = p.candidate_id
WHERE p.author_kind = 'machine'
  -- A search's winner rests on the verdict of its gates instead.
  AND NOT (
      p.candidate_id IS NULL
      AND p.supporting_metrics ->> 'kind' = 'search'
      AND EXISTS (
          SELECT 1 FROM searches s
          WHERE s.search_name = p.supporting_metrics ->> 'search'
            AND s.verdict -> 'winner' = CAST('true' AS jsonb)
            AND s.verdict ->> 'digest' = p.supporting_metrics ->> 'digest'
      )
  )
  AND (
      p.candidate_id IS NULL
      OR c.strategy_id <> p.strategy_id
      OR c.knob_path <> p.target_component
      OR c.evidence_digest <> p.evidence_digest
      OR c.suppressed_by IS NOT NULL
      OR p.supporting_metrics = CAST('{}' AS jsonb)
  )
ORDER BY p.proposal_id
