-- Outcomes, experiments and automatic application.
SELECT 1;
