-- Hyperband: the searches and what they found. The ledger itself is an Optuna study, in a schema of its own ("optuna") or
-- in a journal file; these tables are what is read of it, and the checkpoints of searches on many machines.

-- digest is the sha256 of all configurations and values: two machines that agree found the same.
CREATE TABLE searches (
    search_name varchar(128) PRIMARY KEY CHECK (search_name <> ''),
    status varchar(12) NOT NULL CHECK (status IN ('running', 'finished')),
    place text NOT NULL,
    settings jsonb NOT NULL CHECK (jsonb_typeof(settings) = 'object'),
    summary jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(summary) = 'object'),
    verdict jsonb CHECK (jsonb_typeof(verdict) = 'object'),
    digest char(64),
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((status = 'finished') = (digest IS NOT NULL)),
    CHECK (started_at <= updated_at)
);

-- The configurations that had the whole resource, the best first.
CREATE TABLE top_configs (
    search_name varchar(128) NOT NULL REFERENCES searches ON DELETE CASCADE,
    rank integer NOT NULL CHECK (rank > 0),
    slot varchar(32) NOT NULL,
    config jsonb NOT NULL CHECK (jsonb_typeof(config) = 'object'),
    value double precision NOT NULL CHECK (value > '-Infinity' AND value < 'Infinity'),
    feasible boolean NOT NULL,
    metrics jsonb NOT NULL CHECK (jsonb_typeof(metrics) = 'object'),
    constraints jsonb NOT NULL CHECK (jsonb_typeof(constraints) = 'object'),
    PRIMARY KEY (search_name, rank)
);

-- Every evaluation. A NULL value is a failure, and error says why.
CREATE TABLE optimization_history (
    search_name varchar(128) NOT NULL REFERENCES searches ON DELETE CASCADE,
    iteration integer NOT NULL,
    bracket integer NOT NULL,
    number integer NOT NULL,
    resource integer NOT NULL CHECK (resource > 0),
    config jsonb NOT NULL CHECK (jsonb_typeof(config) = 'object'),
    value double precision CHECK (value > '-Infinity' AND value < 'Infinity'),
    metrics jsonb NOT NULL CHECK (jsonb_typeof(metrics) = 'object'),
    error text,
    PRIMARY KEY (search_name, iteration, bracket, number, resource)
);

-- What goes on where a configuration was, for workers that share no disk. content is the record, digest its sha256.
CREATE TABLE search_checkpoints (
    search_name varchar(128) NOT NULL,
    iteration integer NOT NULL,
    bracket integer NOT NULL,
    number integer NOT NULL,
    resource integer NOT NULL CHECK (resource > 0),
    digest char(64) NOT NULL,
    content bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (search_name, iteration, bracket, number, resource)
);

-- Every look at a locked holdout. One per scope (what is traded) and as-of date, whoever asks, however many at once.
CREATE TABLE holdout_openings (
    opening_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope text NOT NULL CHECK (scope <> ''),
    as_of date NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    config char(64) NOT NULL,
    search_name varchar(128) NOT NULL,
    opened_by varchar(128) NOT NULL,
    opened_at timestamptz NOT NULL,
    UNIQUE (scope, as_of),
    CHECK (first_day <= last_day),
    CHECK (last_day <= as_of)
);

CREATE TRIGGER holdout_openings_append_only BEFORE UPDATE OR DELETE ON holdout_openings
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER holdout_openings_no_truncate BEFORE TRUNCATE ON holdout_openings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
