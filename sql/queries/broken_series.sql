-- Which return series do not belong to what they say: a run that has none though it was accepted, a series of a
-- metrics-only run, a series beyond its calendar or of another length? One row per fault. Right is: none. A run in
-- quarantine keeps what it came with.
SELECT r.run_id, 'is accepted, but its return series is not there' AS fault
FROM backtest_runs r
WHERE r.state = 'accepted' AND NOT EXISTS (SELECT FROM return_series s WHERE s.run_id = r.run_id)
UNION ALL
SELECT s.run_id, 'has a return series although it is ' || r.state
FROM return_series s JOIN backtest_runs r USING (run_id)
WHERE r.state = 'metrics_only'
UNION ALL
SELECT s.run_id, format('needs periods %s to %s of calendar %s, which has %s', s.first_period,
                        s.first_period + s.n_periods - 1, left(s.calendar_id, 12), c.n_periods)
FROM return_series s JOIN calendars c USING (calendar_id)
WHERE s.first_period + s.n_periods > c.n_periods
UNION ALL
SELECT s.run_id, format('has %s bytes for %s returns', octet_length(s.returns), s.n_periods)
FROM return_series s
WHERE octet_length(s.returns) <> 8 * s.n_periods
ORDER BY 1, 2
