-- How many policies of each kind were there, and how long did they take? One row per book, mode and mode before.
SELECT scope, risk_mode, previous_mode, count(*) AS n, sum(duration_seconds) AS seconds,
       count(*) FILTER (WHERE duration_seconds <= 0.05) AS le_0,
       count(*) FILTER (WHERE duration_seconds <= 0.1) AS le_1,
       count(*) FILTER (WHERE duration_seconds <= 0.5) AS le_2,
       count(*) FILTER (WHERE duration_seconds <= 1) AS le_3,
       count(*) FILTER (WHERE duration_seconds <= 2) AS le_4,
       count(*) FILTER (WHERE duration_seconds <= 5) AS le_5,
       count(*) FILTER (WHERE duration_seconds <= 10) AS le_6
FROM msc_policies
GROUP BY scope, risk_mode, previous_mode
ORDER BY scope, risk_mode, previous_mode
