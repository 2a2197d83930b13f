-- Governance complete: roles, keys of approvers, freezes, and limits per strategy.

-- Who may do what beside approving, which the list of approvers says. A role that nobody ever had is open to all.
CREATE TABLE person_roles (
    name_key varchar(128) NOT NULL CHECK (name_key <> ''),
    role varchar(12) NOT NULL CHECK (role IN ('researcher', 'operator', 'auditor')),
    display_name varchar(128) NOT NULL,
    active boolean NOT NULL DEFAULT true,
    granted_by varchar(128) NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (name_key, role)
);

-- Public halves of Ed25519 keys. An id is the start of the key's sha256.
CREATE TABLE approver_keys (
    key_id varchar(32) PRIMARY KEY CHECK (key_id <> ''),
    name_key varchar(128) NOT NULL REFERENCES approvers,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    registered_by varchar(128) NOT NULL,
    registered_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by varchar(128),
    revoked_reason text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)),
    CHECK (registered_at <= revoked_at)
);
CREATE INDEX idx_approver_keys_name ON approver_keys (name_key);

ALTER TABLE approvals ADD COLUMN signature text CHECK (signature <> '');

-- Times in which nothing is applied. Weekly: weekdays (bit 0 is Monday) and times of day; else: from one time to another,
-- or without an end. All of them are local times of the zone.
CREATE TABLE freezes (
    freeze_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strategy_id varchar(64) REFERENCES strategies,
    time_zone varchar(64) NOT NULL CHECK (time_zone <> ''),
    weekdays smallint CHECK (weekdays BETWEEN 1 AND 127),
    starts_time time,
    ends_time time,
    starts_local timestamp,
    ends_local timestamp,
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    created_by varchar(128) NOT NULL,
    created_at timestamptz NOT NULL,
    lifted_at timestamptz,
    lifted_by varchar(128),
    lift_reason text,
    CHECK ((weekdays IS NULL) = (starts_time IS NULL)),
    CHECK ((weekdays IS NULL) = (ends_time IS NULL)),
    CHECK ((weekdays IS NULL) = (starts_local IS NOT NULL)),
    CHECK (weekdays IS NULL OR ends_local IS NULL),
    CHECK (starts_local < ends_local),
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL)),
    CHECK ((lifted_at IS NULL) = (lift_reason IS NULL))
);
CREATE INDEX idx_freezes_in_force ON freezes (freeze_id) WHERE lifted_at IS NULL;

-- What holds for one strategy instead of the settings, and who answers for it.
CREATE TABLE strategy_limits (
    strategy_id varchar(64) PRIMARY KEY REFERENCES strategies,
    owner varchar(128) CHECK (owner <> ''),
    max_changes integer CHECK (max_changes >= 0),
    window_hours double precision CHECK (window_hours > 0 AND window_hours < 'Infinity'),
    set_by varchar(128) NOT NULL,
    set_at timestamptz NOT NULL,
    CHECK ((max_changes IS NULL) = (window_hours IS NULL))
);
