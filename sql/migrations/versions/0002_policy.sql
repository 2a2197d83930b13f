-- The live books, what was traded in them, and the policies that were made from it. A scope is one book.

CREATE TABLE live_scopes (
    scope varchar(64) PRIMARY KEY CHECK (scope <> ''),
    -- Names the sequence of policy versions: executors take versions of one epoch only.
    epoch char(32) NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    -- A replay of recorded days: by how many days they were moved. NULL: real trading.
    replay_days integer,
    -- When somebody last reported fills, also that there were none.
    fills_seen_at timestamptz,
    created_by varchar(128) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- admitted: a person let a strategy in that has no record yet, for a time.
CREATE TABLE live_strategies (
    strategy_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    strategy_id varchar(64) NOT NULL CHECK (strategy_id <> ''),
    name varchar(128) NOT NULL DEFAULT '',
    status varchar(12) NOT NULL CHECK (status IN ('LIVE', 'PAUSED', 'UNDECLARED')),
    regime_tags jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(regime_tags) = 'array'),
    admitted_until timestamptz,
    admitted_by varchar(128),
    admission_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (scope, strategy_id),
    CHECK ((admitted_until IS NULL) = (admitted_by IS NULL)),
    CHECK ((admitted_until IS NULL) = (admission_reason IS NULL))
);

-- Deposits (positive) and withdrawals; the first is what the book started with.
CREATE TABLE live_capital (
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    flow_id varchar(128) NOT NULL CHECK (flow_id <> ''),
    amount double precision NOT NULL CHECK (amount <> 0 AND amount > '-Infinity' AND amount < 'Infinity'),
    effective_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    recorded_by varchar(128) NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, flow_id)
);

CREATE TABLE live_fills (
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    execution_id varchar(128) NOT NULL CHECK (execution_id <> ''),
    strategy_no integer NOT NULL REFERENCES live_strategies,
    symbol varchar(50) NOT NULL CHECK (symbol <> ''),
    side varchar(4) NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity double precision NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    price double precision NOT NULL CHECK (price <> 0 AND price > '-Infinity' AND price < 'Infinity'),
    fee double precision NOT NULL CHECK (fee > '-Infinity' AND fee < 'Infinity'),
    initial_risk double precision CHECK (initial_risk > 0 AND initial_risk < 'Infinity'),
    executed_at timestamptz NOT NULL,
    content_digest char(64) NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, execution_id)
);
CREATE INDEX idx_live_fills_stream ON live_fills (strategy_no, symbol, executed_at, execution_id);

-- What was refused, until somebody mends or dismisses it: a book with gaps is not known.
CREATE TABLE live_refused_fills (
    refusal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    execution_id varchar(128) NOT NULL,
    content_digest char(64) NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    received_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by varchar(128),
    UNIQUE (scope, content_digest),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);

-- Made from the fills, and made anew where one comes late. trip: the round trip that is open, NULL if flat.
CREATE TABLE live_positions (
    strategy_no integer NOT NULL REFERENCES live_strategies,
    symbol varchar(50) NOT NULL,
    trip jsonb CHECK (jsonb_typeof(trip) = 'object'),
    last_executed_at timestamptz NOT NULL,
    last_execution_id varchar(128) NOT NULL,
    PRIMARY KEY (strategy_no, symbol)
);

CREATE TABLE live_closed_trades (
    strategy_no integer NOT NULL REFERENCES live_strategies,
    symbol varchar(50) NOT NULL,
    exit_execution_id varchar(128) NOT NULL,
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    direction varchar(5) NOT NULL CHECK (direction IN ('LONG', 'SHORT')),
    quantity double precision NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    entry_price double precision NOT NULL CHECK (entry_price > '-Infinity' AND entry_price < 'Infinity'),
    exit_price double precision NOT NULL CHECK (exit_price > '-Infinity' AND exit_price < 'Infinity'),
    pnl double precision NOT NULL CHECK (pnl > '-Infinity' AND pnl < 'Infinity'),
    fees double precision NOT NULL CHECK (fees > '-Infinity' AND fees < 'Infinity'),
    notional double precision NOT NULL CHECK (notional >= 0 AND notional < 'Infinity'),
    initial_risk double precision CHECK (initial_risk > 0 AND initial_risk < 'Infinity'),
    n_fills integer NOT NULL CHECK (n_fills >= 2),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (strategy_no, symbol, exit_execution_id),
    CHECK (opened_at <= closed_at)
);
CREATE INDEX idx_live_closed_trades_scope ON live_closed_trades (scope, closed_at);

-- The fills of a UTC day, summed: what the book is marked to market from.
CREATE TABLE live_days (
    strategy_no integer NOT NULL REFERENCES live_strategies,
    symbol varchar(50) NOT NULL,
    day date NOT NULL,
    quantity double precision NOT NULL CHECK (quantity > '-Infinity' AND quantity < 'Infinity'),
    cash double precision NOT NULL CHECK (cash > '-Infinity' AND cash < 'Infinity'),
    last_price double precision NOT NULL CHECK (last_price > '-Infinity' AND last_price < 'Infinity'),
    n_fills integer NOT NULL CHECK (n_fills > 0),
    PRIMARY KEY (strategy_no, symbol, day)
);

-- The latest price of each UTC day.
CREATE TABLE live_prices (
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    symbol varchar(50) NOT NULL CHECK (symbol <> ''),
    day date NOT NULL,
    close double precision NOT NULL CHECK (close > '-Infinity' AND close < 'Infinity'),
    volume double precision CHECK (volume >= 0 AND volume < 'Infinity'),
    as_of timestamptz NOT NULL,
    PRIMARY KEY (scope, symbol, day)
);

-- Halts by hand and their ends; the latest row of a scope says which.
CREATE TABLE policy_halts (
    halt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    action varchar(8) NOT NULL CHECK (action IN ('halt', 'resume')),
    actor varchar(128) NOT NULL CHECK (actor <> ''),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    at timestamptz NOT NULL
);
CREATE INDEX idx_policy_halts_scope ON policy_halts (scope, halt_id);

-- One policy per row, everything it was made from beside it. The predecessor's columns keep their names and units.
CREATE TABLE msc_policies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    epoch char(32) NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    risk_mode varchar(10) NOT NULL CHECK (risk_mode IN ('DEFENSIVE', 'NORMAL', 'AGGRESSIVE')),
    previous_mode varchar(10) CHECK (previous_mode IN ('DEFENSIVE', 'NORMAL', 'AGGRESSIVE')),
    max_risk_per_trade double precision NOT NULL CHECK (max_risk_per_trade BETWEEN 0 AND 1),
    max_positions integer NOT NULL CHECK (max_positions >= 0),
    min_confidence double precision NOT NULL CHECK (min_confidence BETWEEN 0 AND 1),
    max_daily_trades integer NOT NULL CHECK (max_daily_trades >= 0),
    max_slippage double precision NOT NULL CHECK (max_slippage BETWEEN 0 AND 1),
    allowed_strategies text NOT NULL CHECK (jsonb_typeof(allowed_strategies::jsonb) = 'array'),
    system_drawdown double precision CHECK (system_drawdown BETWEEN 0 AND 100),
    system_winrate double precision CHECK (system_winrate BETWEEN 0 AND 1),
    profile varchar(16) NOT NULL CHECK (profile IN ('default', 'classic')),
    trigger varchar(16) NOT NULL CHECK (trigger IN ('schedule', 'manual', 'outcomes', 'halt', 'resume')),
    actor varchar(128) NOT NULL CHECK (actor <> ''),
    idempotency_key varchar(128) CHECK (idempotency_key <> ''),
    halted boolean NOT NULL,
    document text NOT NULL CHECK (jsonb_typeof(document::jsonb) = 'object'),
    digest char(64) NOT NULL,
    inputs jsonb NOT NULL CHECK (jsonb_typeof(inputs) = 'object'),
    rankings jsonb NOT NULL CHECK (jsonb_typeof(rankings) = 'object'),
    reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array'),
    state jsonb NOT NULL CHECK (jsonb_typeof(state) = 'object'),
    inputs_as_of timestamptz,
    duration_seconds double precision NOT NULL CHECK (duration_seconds >= 0 AND duration_seconds < 'Infinity'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (scope, epoch, version),
    UNIQUE (scope, idempotency_key),
    CHECK (created_at < expires_at)
);
CREATE INDEX idx_msc_policies_scope ON msc_policies (scope, id DESC);

-- Where policies are also published, and how that went last.
CREATE TABLE policy_publications (
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    sink varchar(16) NOT NULL CHECK (sink IN ('redis', 'file')),
    version integer NOT NULL,
    attempted_at timestamptz NOT NULL,
    error text,
    PRIMARY KEY (scope, sink)
);

-- The latest that each executor said of itself.
CREATE TABLE executor_heartbeats (
    scope varchar(64) NOT NULL REFERENCES live_scopes,
    executor_id varchar(64) NOT NULL CHECK (executor_id <> ''),
    epoch varchar(64) NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    mode varchar(10) NOT NULL CHECK (mode IN ('DEFENSIVE', 'NORMAL', 'AGGRESSIVE')),
    reduce_only boolean NOT NULL,
    reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array'),
    problems jsonb NOT NULL CHECK (jsonb_typeof(problems) = 'object'),
    reported_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (scope, executor_id)
);

-- Who may use the API: only the digest of a token is kept.
CREATE TABLE api_tokens (
    token_id varchar(32) PRIMARY KEY CHECK (token_id <> ''),
    name varchar(128) NOT NULL CHECK (name <> ''),
    role varchar(12) NOT NULL CHECK (role IN ('reader', 'executor', 'researcher', 'approver', 'operator')),
    token_digest char(64) NOT NULL UNIQUE,
    created_by varchar(128) NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (created_at < expires_at)
);

-- Answers to requests that carried an idempotency key; status NULL: under way.
CREATE TABLE api_requests (
    request_key char(64) PRIMARY KEY,
    content_digest char(64) NOT NULL,
    status integer CHECK (status BETWEEN 100 AND 599),
    headers jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
    body text,
    started_at timestamptz NOT NULL,
    CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX idx_api_requests_started ON api_requests (started_at);

CREATE TRIGGER live_fills_append_only BEFORE UPDATE OR DELETE ON live_fills
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER live_fills_no_truncate BEFORE TRUNCATE ON live_fills
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER msc_policies_append_only BEFORE UPDATE OR DELETE ON msc_policies
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER msc_policies_no_truncate BEFORE TRUNCATE ON msc_policies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER policy_halts_append_only BEFORE UPDATE OR DELETE ON policy_halts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER policy_halts_no_truncate BEFORE TRUNCATE ON policy_halts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
