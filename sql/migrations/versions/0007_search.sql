-- Hyperband: the searches and what they found.
SELECT 1;
