-- Where COPY puts runs before it is known which of them are new. Lives as long as the connection, empty between
-- transactions. JSON comes as text, so that what is stored is the canonical text and not a driver's idea of it.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_runs (
    run_id text NOT NULL,
    strategy_id text NOT NULL,
    campaign_id text NOT NULL,
    config_json text NOT NULL,
    config_digest text NOT NULL,
    start_date date,
    end_date date,
    market_id text NOT NULL,
    universe_id text NOT NULL,
    sector text NOT NULL,
    code_version text NOT NULL,
    periods_per_year double precision,
    config_version integer,
    metrics_json text,
    computed_json text,
    state text NOT NULL,
    reason_code text,
    reason text,
    content_digest text NOT NULL,
    series_digest text,
    source text NOT NULL
) ON COMMIT DELETE ROWS
