-- The tables of the governed loop: strategies, backtests, evidence, proposals, decisions, changes, audit.
-- Names of the predecessors' public tables are kept, so that existing readers go on working.

CREATE TABLE strategies (
    strategy_id varchar(64) PRIMARY KEY CHECK (strategy_id <> ''),
    family varchar(64) NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    live_version integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by varchar(128) NOT NULL
);

-- PostgreSQL holds NaN for greater than every number, infinity included: "< 'Infinity'" keeps both out, here and below.
CREATE TABLE strategy_knobs (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    path varchar(256) NOT NULL CHECK (path <> ''),
    knob_type varchar(16) NOT NULL,
    lower_bound double precision CHECK (lower_bound > '-Infinity' AND lower_bound < 'Infinity'),
    upper_bound double precision CHECK (upper_bound > '-Infinity' AND upper_bound < 'Infinity'),
    max_step double precision CHECK (max_step > 0 AND max_step < 'Infinity'),
    choices jsonb CHECK (jsonb_typeof(choices) = 'array'),
    risk_direction varchar(24) NOT NULL
        CHECK (risk_direction IN ('higher_is_riskier', 'lower_is_riskier', 'neutral', 'unknown')),
    changeable boolean NOT NULL,
    optional boolean NOT NULL,
    PRIMARY KEY (strategy_id, path),
    CHECK (lower_bound <= upper_bound)
);

-- Every configuration a strategy ever had. Version 1 was declared; every later one cites the change that made it.
CREATE TABLE config_versions (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    version integer NOT NULL CHECK (version >= 1),
    config_json jsonb NOT NULL CHECK (jsonb_typeof(config_json) = 'object'),
    config_digest char(64) NOT NULL,
    action varchar(8) NOT NULL CHECK (action IN ('declare', 'apply', 'revert')),
    change_id varchar(64),
    created_by varchar(128) NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (strategy_id, version),
    UNIQUE (change_id, action),
    CHECK ((version = 1) = (action = 'declare')),
    CHECK ((version = 1) = (change_id IS NULL))
);
ALTER TABLE strategies ADD FOREIGN KEY (strategy_id, live_version)
    REFERENCES config_versions DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE approvers (
    name_key varchar(128) PRIMARY KEY CHECK (name_key <> ''),
    display_name varchar(128) NOT NULL,
    active boolean NOT NULL DEFAULT true,
    added_by varchar(128) NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaigns (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    campaign_id varchar(64) NOT NULL CHECK (campaign_id <> ''),
    state varchar(8) NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    PRIMARY KEY (strategy_id, campaign_id),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);

-- One calendar is shared by every run on it: timestamps are int64 seconds since 1970, little endian.
CREATE TABLE calendars (
    calendar_id char(64) PRIMARY KEY,
    n_periods integer NOT NULL CHECK (n_periods > 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    timestamps bytea NOT NULL,
    CHECK (octet_length(timestamps) = 8 * n_periods),
    CHECK (first_at <= last_at)
);
ALTER TABLE calendars ALTER COLUMN timestamps SET STORAGE EXTERNAL;

CREATE TABLE backtest_runs (
    run_id varchar(128) PRIMARY KEY CHECK (run_id <> ''),
    strategy_id varchar(64) NOT NULL,
    campaign_id varchar(64) NOT NULL,
    config_json jsonb NOT NULL CHECK (jsonb_typeof(config_json) = 'object'),
    config_digest char(64) NOT NULL,
    start_date date,
    end_date date,
    market_id varchar(32) NOT NULL DEFAULT '',
    universe_id varchar(64) NOT NULL DEFAULT '',
    sector varchar(64) NOT NULL DEFAULT '',
    code_version varchar(64) NOT NULL DEFAULT '',
    periods_per_year double precision CHECK (periods_per_year > 0 AND periods_per_year < 'Infinity'),
    config_version integer,
    metrics_json jsonb CHECK (jsonb_typeof(metrics_json) = 'object'),
    computed_json jsonb CHECK (jsonb_typeof(computed_json) = 'object'),
    state varchar(16) NOT NULL CHECK (state IN ('accepted', 'metrics_only', 'quarantined')),
    reason_code varchar(48),
    reason text,
    content_digest char(64) NOT NULL,
    series_digest char(64),
    source text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    ingest_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    FOREIGN KEY (strategy_id, campaign_id) REFERENCES campaigns,
    CHECK (start_date <= end_date),
    CHECK ((state = 'quarantined') = (reason_code IS NOT NULL)),
    CHECK ((reason_code IS NULL) = (reason IS NULL)),
    CHECK (state = 'quarantined' OR (start_date IS NOT NULL AND end_date IS NOT NULL)),
    CHECK (state <> 'accepted' OR (periods_per_year IS NOT NULL AND series_digest IS NOT NULL))
);
CREATE INDEX idx_backtest_runs_strategy ON backtest_runs (strategy_id, campaign_id, state);
CREATE INDEX idx_backtest_runs_ingest ON backtest_runs (ingest_xid);

-- One row per run, never one per day. `first_period` is where the run starts on its calendar.
CREATE TABLE return_series (
    run_id varchar(128) PRIMARY KEY REFERENCES backtest_runs,
    calendar_id char(64) NOT NULL REFERENCES calendars,
    first_period integer NOT NULL CHECK (first_period >= 0),
    n_periods integer NOT NULL CHECK (n_periods > 0),
    returns bytea NOT NULL,
    CHECK (octet_length(returns) = 8 * n_periods)
);
ALTER TABLE return_series ALTER COLUMN returns SET STORAGE EXTERNAL;

CREATE TABLE backtest_trades (
    trade_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id varchar(128) NOT NULL REFERENCES backtest_runs,
    trade_date date NOT NULL,
    ticker varchar(50) NOT NULL,
    direction varchar(8) NOT NULL CHECK (direction IN ('BUY', 'SELL', 'LONG', 'SHORT')),
    size double precision NOT NULL CHECK (size >= 0 AND size < 'Infinity'),
    price double precision NOT NULL CHECK (price > '-Infinity' AND price < 'Infinity')
);
CREATE INDEX idx_backtest_trades_run ON backtest_trades (run_id, trade_date);

CREATE TABLE market_regimes (
    market_id varchar(32) NOT NULL,
    as_of date NOT NULL,
    label varchar(32) NOT NULL CHECK (label <> ''),
    PRIMARY KEY (market_id, as_of)
);

CREATE TABLE aggregations (
    aggregation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    n_absorbed integer NOT NULL CHECK (n_absorbed >= 0),
    evidence_digest char(64) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_aggregations_strategy ON aggregations (strategy_id, aggregation_id);

-- Which runs are in the evidence. "Which are not?" is an anti-join against this table.
CREATE TABLE absorbed_runs (
    run_id varchar(128) PRIMARY KEY REFERENCES backtest_runs,
    aggregation_id bigint NOT NULL REFERENCES aggregations,
    absorbed_at timestamptz NOT NULL DEFAULT now()
);

-- The present aggregates; a refresh replaces those of its strategy.
CREATE TABLE backtest_aggregates (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    dimension varchar(16) NOT NULL
        CHECK (dimension IN ('strategy', 'market', 'regime', 'sector', 'config', 'state')),
    label varchar(128) NOT NULL,
    aggregation_id bigint NOT NULL REFERENCES aggregations,
    n_runs integer NOT NULL CHECK (n_runs >= 0),
    n_distinct integer NOT NULL CHECK (n_distinct >= 0),
    n_days integer NOT NULL CHECK (n_days >= 0),
    sharpe double precision CHECK (sharpe > '-Infinity' AND sharpe < 'Infinity'),
    mean_return double precision CHECK (mean_return > '-Infinity' AND mean_return < 'Infinity'),
    volatility double precision CHECK (volatility >= 0 AND volatility < 'Infinity'),
    max_drawdown double precision CHECK (max_drawdown BETWEEN -1 AND 0),
    win_rate double precision CHECK (win_rate BETWEEN 0 AND 1),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    PRIMARY KEY (strategy_id, dimension, label)
);

CREATE TABLE diagnostics_reports (
    report_id char(64) PRIMARY KEY,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    evidence_digest char(64) NOT NULL,
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    CHECK (created_at <= seen_at)
);
CREATE INDEX idx_diagnostics_reports_strategy ON diagnostics_reports (strategy_id, seen_at DESC);

-- Every candidate the engine looked at. seen_at: when it was last found; evidence that returns (a change was
-- reverted) makes its candidates the latest ones again. suppressed_by names the rule that stopped it; null: it became a proposal.
CREATE TABLE candidates (
    candidate_id char(64) PRIMARY KEY,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    evidence_digest char(64) NOT NULL,
    knob_path varchar(256) NOT NULL,
    from_value jsonb,
    to_value jsonb,
    grade char(1) NOT NULL CHECK (grade IN ('A', 'B', 'C', 'D')),
    suppressed_by varchar(48),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    CHECK (created_at <= seen_at)
);
CREATE INDEX idx_candidates_strategy ON candidates (strategy_id, seen_at DESC);
CREATE INDEX idx_candidates_evidence ON candidates (evidence_digest);

-- current_value and proposed_value: SQL NULL means the key is absent, JSON null is the value null.
CREATE TABLE meta_config_proposals (
    proposal_id varchar(64) PRIMARY KEY,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    market_id varchar(32),
    candidate_id char(64) REFERENCES candidates,
    proposal_type varchar(64) NOT NULL,
    target_component varchar(256) NOT NULL CHECK (target_component <> ''),
    current_value jsonb,
    proposed_value jsonb,
    confidence_score double precision CHECK (confidence_score BETWEEN 0 AND 1),
    expected_sharpe_improvement double precision
        CHECK (expected_sharpe_improvement > '-Infinity' AND expected_sharpe_improvement < 'Infinity'),
    expected_return_improvement double precision
        CHECK (expected_return_improvement > '-Infinity' AND expected_return_improvement < 'Infinity'),
    expected_risk_reduction double precision
        CHECK (expected_risk_reduction > '-Infinity' AND expected_risk_reduction < 'Infinity'),
    rationale text NOT NULL,
    supporting_metrics jsonb NOT NULL CHECK (jsonb_typeof(supporting_metrics) = 'object'),
    grade char(1) CHECK (grade IN ('A', 'B', 'C', 'D')),
    legacy_confidence double precision CHECK (legacy_confidence > '-Infinity' AND legacy_confidence < 'Infinity'),
    risk_change varchar(8) NOT NULL CHECK (risk_change IN ('raises', 'reduces', 'neutral', 'unknown')),
    base_version integer NOT NULL,
    author varchar(128) NOT NULL CHECK (author <> ''),
    author_kind varchar(8) NOT NULL CHECK (author_kind IN ('machine', 'human')),
    body text NOT NULL,
    body_digest char(64) NOT NULL,
    evidence_digest char(64) NOT NULL,
    status varchar(32) NOT NULL DEFAULT 'PENDING' CHECK (status IN
        ('PENDING', 'APPROVED', 'APPLIED', 'KEPT', 'REVERTED',
         'REJECTED', 'EXPIRED', 'STALE', 'SUPERSEDED', 'WITHDRAWN')),
    status_reason text,
    approved_by varchar(128),
    approved_at timestamptz,
    approval_expires_at timestamptz,
    applied_at timestamptz,
    reverted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (strategy_id, base_version) REFERENCES config_versions,
    CHECK (body::jsonb IS NOT NULL),
    CHECK (created_at < expires_at),
    CHECK (status NOT IN ('APPROVED', 'APPLIED', 'KEPT', 'REVERTED') OR approved_by IS NOT NULL),
    CHECK (status <> 'APPROVED' OR approval_expires_at IS NOT NULL),
    CHECK (status NOT IN ('APPLIED', 'KEPT', 'REVERTED') OR applied_at IS NOT NULL),
    CHECK ((status = 'REVERTED') = (reverted_at IS NOT NULL))
);
CREATE INDEX idx_meta_config_proposals_status ON meta_config_proposals (status, expires_at);
CREATE INDEX idx_meta_config_proposals_strategy ON meta_config_proposals (strategy_id, created_at);
CREATE INDEX idx_meta_config_proposals_type ON meta_config_proposals (proposal_type, target_component);
-- Rule 7: one approved proposal per target at a time.
CREATE UNIQUE INDEX uq_one_approved_per_target ON meta_config_proposals (strategy_id, target_component)
    WHERE status = 'APPROVED';

-- Who edited a proposal: together with the author they can never approve it.
CREATE TABLE proposal_editors (
    proposal_id varchar(64) NOT NULL REFERENCES meta_config_proposals,
    editor_key varchar(128) NOT NULL,
    edited_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (proposal_id, editor_key)
);

CREATE TABLE approvals (
    approval_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    proposal_id varchar(64) NOT NULL REFERENCES meta_config_proposals,
    body_digest char(64) NOT NULL,
    decision varchar(8) NOT NULL CHECK (decision IN ('approve', 'reject')),
    approver varchar(128) NOT NULL CHECK (approver <> ''),
    approver_key varchar(128) NOT NULL CHECK (approver_key <> ''),
    reason text NOT NULL CHECK (decision = 'approve' OR btrim(reason) <> ''),
    channel varchar(16) NOT NULL CHECK (channel IN ('gate', 'cli', 'api', 'python')),
    channel_ref varchar(128) NOT NULL DEFAULT '',
    decided_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (decided_at < expires_at),
    CHECK ((decision = 'approve') = (expires_at IS NOT NULL))
);
CREATE INDEX idx_approvals_proposal ON approvals (proposal_id, approval_id);

CREATE TABLE config_change_log (
    change_id varchar(64) PRIMARY KEY,
    proposal_id varchar(64) NOT NULL UNIQUE REFERENCES meta_config_proposals,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    market_id varchar(32),
    change_type varchar(64) NOT NULL,
    target_component varchar(256) NOT NULL,
    previous_value jsonb,
    new_value jsonb,
    base_version integer NOT NULL,
    new_version integer NOT NULL,
    risk_change varchar(8) NOT NULL CHECK (risk_change IN ('raises', 'reduces', 'neutral', 'unknown')),
    sharpe_before double precision CHECK (sharpe_before > '-Infinity' AND sharpe_before < 'Infinity'),
    sharpe_after double precision CHECK (sharpe_after > '-Infinity' AND sharpe_after < 'Infinity'),
    return_before double precision CHECK (return_before > '-Infinity' AND return_before < 'Infinity'),
    return_after double precision CHECK (return_after > '-Infinity' AND return_after < 'Infinity'),
    risk_before double precision CHECK (risk_before > '-Infinity' AND risk_before < 'Infinity'),
    risk_after double precision CHECK (risk_after > '-Infinity' AND risk_after < 'Infinity'),
    evaluation_start_date date,
    evaluation_end_date date,
    evaluation_missing_reason text,
    applied_by varchar(128) NOT NULL CHECK (applied_by <> ''),
    applied_at timestamptz NOT NULL,
    is_reverted boolean NOT NULL DEFAULT false,
    reverted_at timestamptz,
    reverted_by varchar(128),
    reversion_reason text,
    revert_version integer,
    FOREIGN KEY (strategy_id, base_version) REFERENCES config_versions,
    FOREIGN KEY (strategy_id, new_version) REFERENCES config_versions DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (strategy_id, revert_version) REFERENCES config_versions DEFERRABLE INITIALLY DEFERRED,
    CHECK (new_version = base_version + 1),
    CHECK (is_reverted = (reverted_at IS NOT NULL)),
    CHECK (is_reverted = (reverted_by IS NOT NULL)),
    CHECK (is_reverted = (reversion_reason IS NOT NULL)),
    CHECK (is_reverted = (revert_version IS NOT NULL))
);
CREATE INDEX idx_config_change_log_strategy ON config_change_log (strategy_id, applied_at);
CREATE INDEX idx_config_change_log_component ON config_change_log (change_type, target_component);
CREATE INDEX idx_config_change_log_reverted ON config_change_log (is_reverted, applied_at);

ALTER TABLE config_versions ADD FOREIGN KEY (change_id)
    REFERENCES config_change_log DEFERRABLE INITIALLY DEFERRED;

-- Hash-chained: hash = sha256 of (seq, prev_hash, at, actor, actor_kind, action, subject, payload), canonical.
CREATE TABLE audit_log (
    seq bigint PRIMARY KEY CHECK (seq >= 1),
    prev_hash char(64) NOT NULL UNIQUE,
    hash char(64) NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    actor varchar(128) NOT NULL CHECK (actor <> ''),
    actor_kind varchar(8) NOT NULL CHECK (actor_kind IN ('machine', 'human')),
    action varchar(48) NOT NULL,
    subject_type varchar(32) NOT NULL,
    subject_id varchar(128) NOT NULL,
    payload text NOT NULL CHECK (payload::jsonb IS NOT NULL)
);
CREATE INDEX idx_audit_log_subject ON audit_log (subject_type, subject_id, seq);

-- The outcome ledger: what a candidate's change really did on days after its evidence.
CREATE TABLE outcomes (
    outcome_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    candidate_id char(64) NOT NULL REFERENCES candidates,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    kind varchar(16) NOT NULL CHECK (kind IN ('pseudo', 'replay', 'applied')),
    scale varchar(8) NOT NULL CHECK (scale IN ('main', 'incumbent')),
    window_start date NOT NULL,
    window_end date NOT NULL,
    n_days integer NOT NULL CHECK (n_days >= 0),
    claimed double precision CHECK (claimed > '-Infinity' AND claimed < 'Infinity'),
    realised double precision CHECK (realised > '-Infinity' AND realised < 'Infinity'),
    standard_error double precision CHECK (standard_error >= 0 AND standard_error < 'Infinity'),
    missing_reason text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (candidate_id, kind, scale, window_start, window_end),
    CHECK (window_start <= window_end),
    CHECK ((realised IS NULL) = (missing_reason IS NOT NULL))
);
CREATE INDEX idx_outcomes_strategy ON outcomes (strategy_id, window_end);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER approvals_append_only BEFORE UPDATE OR DELETE ON approvals
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approvals_no_truncate BEFORE TRUNCATE ON approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER config_versions_append_only BEFORE UPDATE OR DELETE ON config_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER config_versions_no_truncate BEFORE TRUNCATE ON config_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The predecessors' readers: the live configuration, and the controller's view of proposals.
CREATE VIEW strategy_configs AS
    SELECT s.strategy_id, v.config_json, v.created_at AS updated_at
    FROM strategies s JOIN config_versions v ON v.strategy_id = s.strategy_id AND v.version = s.live_version;

CREATE VIEW meta_controller_config_proposals AS
    SELECT p.proposal_id, p.created_at, 'STRATEGY_CONFIG'::text AS target_type, p.strategy_id AS target_id,
           v.config_json AS current_config_snapshot_json,
           jsonb_build_object(p.target_component, p.proposed_value) AS proposed_config_json,
           p.rationale AS rationale_text, p.supporting_metrics AS evidence_json,
           CASE WHEN p.status = 'KEPT' THEN 'APPLIED' ELSE p.status END AS status,
           p.applied_at, CASE WHEN p.applied_at IS NOT NULL THEN 'HUMAN' END AS applied_by
    FROM meta_config_proposals p
    JOIN config_versions v ON v.strategy_id = p.strategy_id AND v.version = p.base_version;
