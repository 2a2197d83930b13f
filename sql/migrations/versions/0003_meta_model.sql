-- The meta-model: what the base models said, what came of it, the models trained on both, and their alarms.

CREATE TABLE meta_model_predictions (
    predicted_at timestamptz NOT NULL,
    symbol varchar(64) NOT NULL CHECK (symbol <> ''),
    base_predictions jsonb NOT NULL CHECK (jsonb_typeof(base_predictions) = 'object'),
    regime jsonb,
    data_kind varchar(12) CHECK (data_kind IN ('real', 'synthetic')),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (predicted_at, symbol)
);

-- One row per fill. horizon names the time held where several are traded, and is empty where there is one.
CREATE TABLE meta_model_outcomes (
    outcome_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    filled_at timestamptz NOT NULL,
    symbol varchar(64) NOT NULL CHECK (symbol <> ''),
    horizon varchar(32) NOT NULL DEFAULT '',
    action varchar(4) NOT NULL CHECK (action IN ('BUY', 'SELL')),
    outcome varchar(16) NOT NULL,
    pnl_pct double precision NOT NULL CHECK (pnl_pct > '-Infinity' AND pnl_pct < 'Infinity'),
    hold_duration_minutes double precision NOT NULL
        CHECK (hold_duration_minutes >= 0 AND hold_duration_minutes < 'Infinity'),
    propensity double precision CHECK (propensity > 0 AND propensity <= 1),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (filled_at, symbol, horizon, action, pnl_pct, hold_duration_minutes)
);

-- model_id is the sha256 of the artifact, which is a file. Only a model that passed the gate on real data was ever more
-- than a candidate.
CREATE TABLE meta_model_versions (
    model_id char(64) PRIMARY KEY,
    horizon varchar(32) NOT NULL DEFAULT '',
    status varchar(12) NOT NULL DEFAULT 'candidate' CHECK (status IN ('candidate', 'champion', 'retired')),
    data_kind varchar(12) NOT NULL CHECK (data_kind IN ('real', 'synthetic', 'undeclared')),
    n_samples integer NOT NULL CHECK (n_samples >= 0),
    passed boolean NOT NULL,
    verdict jsonb NOT NULL CHECK (jsonb_typeof(verdict) = 'object'),
    compared_with char(64) REFERENCES meta_model_versions,
    created_at timestamptz NOT NULL DEFAULT now(),
    promoted_at timestamptz,
    retired_at timestamptz,
    retired_by varchar(128),
    retired_reason text,
    CHECK (status = 'candidate' OR (passed AND data_kind = 'real')),
    CHECK ((status = 'candidate') = (promoted_at IS NULL)),
    CHECK ((status = 'retired') = (retired_at IS NOT NULL)),
    CHECK ((retired_at IS NULL) = (retired_by IS NULL)),
    CHECK ((retired_at IS NULL) = (retired_reason IS NULL)),
    CHECK (promoted_at <= retired_at)
);
CREATE INDEX idx_meta_model_versions_horizon ON meta_model_versions (horizon, created_at DESC);
CREATE UNIQUE INDEX uq_one_champion_per_horizon ON meta_model_versions (horizon) WHERE status = 'champion';

-- The exchangeability alarm of a model. While one is open, the model is not trusted.
CREATE TABLE meta_model_alarms (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id char(64) NOT NULL REFERENCES meta_model_versions,
    report jsonb NOT NULL CHECK (jsonb_typeof(report) = 'object'),
    raised_at timestamptz NOT NULL,
    cleared_at timestamptz,
    cleared_by varchar(128),
    cleared_reason text,
    CHECK ((cleared_at IS NULL) = (cleared_by IS NULL)),
    CHECK ((cleared_at IS NULL) = (cleared_reason IS NULL)),
    CHECK (raised_at <= cleared_at)
);
CREATE INDEX idx_meta_model_alarms_model ON meta_model_alarms (model_id, raised_at);
CREATE UNIQUE INDEX uq_one_open_alarm_per_model ON meta_model_alarms (model_id) WHERE cleared_at IS NULL;
