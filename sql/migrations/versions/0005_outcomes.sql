-- Outcomes of changes, experiments, and automatic application.

-- How a change will be judged, fixed in the proposal and part of its digest. Null: from before there were such rules.
ALTER TABLE meta_config_proposals ADD COLUMN outcome_rule jsonb CHECK (jsonb_typeof(outcome_rule) = 'object');

ALTER TABLE config_change_log ADD COLUMN outcome_verdict varchar(20)
    CHECK (outcome_verdict IN ('KEEP', 'REVERT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA'));

ALTER TABLE approvals DROP CONSTRAINT approvals_channel_check;
ALTER TABLE approvals ADD CHECK (channel IN ('gate', 'cli', 'api', 'python', 'automation'));

-- Every look at a change. judged_until is the last day that was over; simulated: held-back days played the days after.
CREATE TABLE change_outcomes (
    change_id varchar(64) NOT NULL REFERENCES config_change_log,
    judged_until date NOT NULL,
    simulated boolean NOT NULL,
    looked_at timestamptz NOT NULL,
    n_days integer NOT NULL CHECK (n_days >= 0),
    verdict varchar(20) NOT NULL CHECK (verdict IN ('KEEP', 'REVERT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')),
    reason text NOT NULL CHECK (reason <> ''),
    estimate double precision CHECK (estimate > '-Infinity' AND estimate < 'Infinity'),
    lower_bound double precision CHECK (lower_bound > '-Infinity' AND lower_bound < 'Infinity'),
    upper_bound double precision CHECK (upper_bound > '-Infinity' AND upper_bound < 'Infinity'),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    PRIMARY KEY (change_id, judged_until),
    CHECK (lower_bound <= upper_bound)
);

-- Incumbent and challenger as shadow runs over the same days, with the rule fixed at the start.
CREATE TABLE experiments (
    experiment_id varchar(64) PRIMARY KEY CHECK (experiment_id <> ''),
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    knob_path varchar(256) NOT NULL CHECK (knob_path <> ''),
    incumbent_value jsonb,
    challenger_value jsonb,
    incumbent_version integer NOT NULL,
    challenger_config jsonb NOT NULL CHECK (jsonb_typeof(challenger_config) = 'object'),
    outcome_rule jsonb NOT NULL CHECK (jsonb_typeof(outcome_rule) = 'object'),
    digest char(64) NOT NULL,
    state varchar(8) NOT NULL CHECK (state IN ('running', 'decided', 'stopped')),
    verdict varchar(20) CHECK (verdict IN ('CHALLENGER', 'INCUMBENT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')),
    reason text NOT NULL DEFAULT '',
    why text NOT NULL CHECK (why <> ''),
    started_by varchar(128) NOT NULL CHECK (started_by <> ''),
    started_at timestamptz NOT NULL,
    ended_by varchar(128),
    ended_at timestamptz,
    proposal_id varchar(64) REFERENCES meta_config_proposals,
    FOREIGN KEY (strategy_id, incumbent_version) REFERENCES config_versions,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK (started_at <= ended_at)
);
CREATE UNIQUE INDEX uq_one_experiment_per_knob ON experiments (strategy_id, knob_path) WHERE state = 'running';

CREATE TABLE experiment_looks (
    experiment_id varchar(64) NOT NULL REFERENCES experiments,
    judged_until date NOT NULL,
    simulated boolean NOT NULL,
    looked_at timestamptz NOT NULL,
    n_days integer NOT NULL CHECK (n_days >= 0),
    verdict varchar(20) NOT NULL CHECK (verdict IN ('CHALLENGER', 'INCUMBENT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    PRIMARY KEY (experiment_id, judged_until)
);

-- Who may let a knob move. path '*': every knob of the strategy that has no tier of its own. No row: human.
CREATE TABLE automation_tiers (
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    path varchar(256) NOT NULL CHECK (path <> ''),
    tier varchar(12) NOT NULL CHECK (tier IN ('blocked', 'human', 'four_eyes', 'automatic')),
    set_by varchar(128) NOT NULL CHECK (set_by <> ''),
    set_at timestamptz NOT NULL,
    PRIMARY KEY (strategy_id, path)
);

-- Deliberately bad proposals, put through the checks of automatic application. refused = false freezes it.
CREATE TABLE negative_controls (
    control_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strategy_id varchar(64) NOT NULL REFERENCES strategies,
    knob_path varchar(256) NOT NULL,
    kind varchar(48) NOT NULL CHECK (kind <> ''),
    refused boolean NOT NULL,
    detail text NOT NULL,
    ran_at timestamptz NOT NULL
);
CREATE INDEX idx_negative_controls_strategy ON negative_controls (strategy_id, ran_at);

CREATE TABLE automation_freezes (
    freeze_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    frozen_at timestamptz NOT NULL,
    frozen_by varchar(128) NOT NULL CHECK (frozen_by <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    lifted_at timestamptz,
    lifted_by varchar(128),
    lift_reason text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL)),
    CHECK ((lifted_at IS NULL) = (lift_reason IS NULL)),
    CHECK (frozen_at <= lifted_at)
);
CREATE UNIQUE INDEX uq_one_automation_freeze ON automation_freezes ((true)) WHERE lifted_at IS NULL;

CREATE TRIGGER change_outcomes_append_only BEFORE UPDATE OR DELETE ON change_outcomes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER change_outcomes_no_truncate BEFORE TRUNCATE ON change_outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER experiment_looks_append_only BEFORE UPDATE OR DELETE ON experiment_looks
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER experiment_looks_no_truncate BEFORE TRUNCATE ON experiment_looks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER negative_controls_append_only BEFORE UPDATE OR DELETE ON negative_controls
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER negative_controls_no_truncate BEFORE TRUNCATE ON negative_controls
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
