-- The outcome ledger, trial ledger and testing wealth of the evidence engine.

-- Returns reduced to calendar half-years: the Sharpe ratio of any span of them needs no daily data.
-- first_half_year: twice the year, plus one from July.
CREATE TABLE run_half_years (
    run_id varchar(128) PRIMARY KEY REFERENCES backtest_runs,
    first_half_year integer NOT NULL,
    counts integer[] NOT NULL,
    totals double precision[] NOT NULL,
    squares double precision[] NOT NULL,
    CHECK (cardinality(counts) > 0 AND cardinality(counts) = cardinality(totals)
        AND cardinality(counts) = cardinality(squares))
);

-- What was expected of a candidate when it was judged: the left-hand side of every outcome.
-- campaign: what was decided together, a strategy and the half-year its evidence ends in; family: who shares the ledger.
-- look: digest of the change, the days of its evidence, and what was live. Only the first of equal looks is predicted:
-- what became of it will be the same.
CREATE TABLE candidate_predictions (
    candidate_id char(64) PRIMARY KEY REFERENCES candidates,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    family varchar(64) NOT NULL CHECK (family <> ''),
    campaign varchar(96) NOT NULL CHECK (campaign <> ''),
    look char(64) NOT NULL UNIQUE,
    evidence_start date NOT NULL,
    evidence_end date NOT NULL,
    decided_on date NOT NULL,
    live_config jsonb NOT NULL CHECK (jsonb_typeof(live_config) = 'object'),
    contrast double precision CHECK (contrast > '-Infinity' AND contrast < 'Infinity'),
    standard_error double precision CHECK (standard_error >= 0 AND standard_error < 'Infinity'),
    surface double precision CHECK (surface > '-Infinity' AND surface < 'Infinity'),
    claimed double precision CHECK (claimed > '-Infinity' AND claimed < 'Infinity'),
    probability double precision CHECK (probability BETWEEN 0 AND 1),
    dead boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (evidence_start <= evidence_end),
    CHECK (evidence_end <= decided_on)
);
CREATE INDEX idx_candidate_predictions_family ON candidate_predictions (family, campaign);
CREATE INDEX idx_candidate_predictions_strategy ON candidate_predictions (strategy_id, evidence_end);

-- "incumbent" has nine letters.
ALTER TABLE outcomes DROP CONSTRAINT outcomes_scale_check;
ALTER TABLE outcomes ALTER COLUMN scale TYPE varchar(16);
ALTER TABLE outcomes ADD CHECK (scale IN ('main', 'incumbent'));

-- The past of a pseudo-outcome is a part of the evidence, with figures of its own.
ALTER TABLE outcomes ADD COLUMN contrast double precision
    CHECK (contrast > '-Infinity' AND contrast < 'Infinity');
ALTER TABLE outcomes ADD COLUMN contrast_error double precision
    CHECK (contrast_error >= 0 AND contrast_error < 'Infinity');
ALTER TABLE outcomes ADD COLUMN surface double precision CHECK (surface > '-Infinity' AND surface < 'Infinity');
ALTER TABLE outcomes ADD COLUMN years double precision CHECK (years > 0 AND years < 'Infinity');

-- Every distinct trial ever scored, whatever becomes of its run: what a deflated Sharpe ratio counts.
CREATE TABLE trials (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    trial_digest char(64) NOT NULL,
    run_id varchar(128),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (strategy_id, trial_digest)
);

-- What was absorbed before there was a ledger. The digest is that of sql/queries/record_trials.sql.
INSERT INTO trials (strategy_id, trial_digest, run_id, seen_at)
SELECT DISTINCT ON (r.strategy_id, found.trial_digest) r.strategy_id, found.trial_digest, r.run_id, a.absorbed_at
FROM backtest_runs r
JOIN absorbed_runs a ON a.run_id = r.run_id
CROSS JOIN LATERAL (
    SELECT encode(sha256(convert_to(
        r.market_id || '|' || COALESCE(CAST(r.start_date AS text), '') || '|'
        || COALESCE(CAST(r.end_date AS text), '') || '|'
        || r.campaign_id || '|' || r.config_digest || '|' || COALESCE(r.series_digest, r.content_digest), 'UTF8'
    )), 'hex') AS trial_digest
) AS found
ORDER BY r.strategy_id, found.trial_digest, a.absorbed_at, r.run_id COLLATE "C";

-- LORD++: each new set of campaigns of a strategy is tested once; `state` is what is left after the test.
CREATE TABLE online_tests (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    test integer NOT NULL CHECK (test >= 1),
    campaigns_digest char(64) NOT NULL,
    evidence_digest char(64) NOT NULL,
    p_value double precision NOT NULL CHECK (p_value BETWEEN 0 AND 1),
    level double precision NOT NULL CHECK (level BETWEEN 0 AND 1),
    rejected boolean NOT NULL,
    wealth double precision NOT NULL CHECK (wealth >= 0 AND wealth < 'Infinity'),
    state jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
    tested_at timestamptz NOT NULL,
    PRIMARY KEY (strategy_id, test),
    UNIQUE (strategy_id, campaigns_digest),
    CHECK (rejected = (p_value <= level))
);

CREATE TRIGGER trials_append_only BEFORE UPDATE OR DELETE ON trials
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER trials_no_truncate BEFORE TRUNCATE ON trials
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER online_tests_append_only BEFORE UPDATE OR DELETE ON online_tests
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER online_tests_no_truncate BEFORE TRUNCATE ON online_tests
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER candidate_predictions_append_only BEFORE UPDATE OR DELETE ON candidate_predictions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER candidate_predictions_no_truncate BEFORE TRUNCATE ON candidate_predictions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How much more risk a strategy accepts from one change; NULL: the engine's defaults.
ALTER TABLE strategies ADD COLUMN risk_limits jsonb CHECK (jsonb_typeof(risk_limits) = 'object');
