"""Roles, keys, freezes and limits, mirroring sql/migrations/versions/0004_governance.sql."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    text,
)

from meta_pipeline.store.schema_parts import INSTANT, check, metadata, required

person_roles: Final = Table(
    "person_roles",
    metadata,
    Column("name_key", String(128), primary_key=True),
    Column("role", String(12), primary_key=True),
    required("display_name", String(128)),
    required("active", Boolean, server_default=text("true")),
    required("granted_by", String(128)),
    required("granted_at", INSTANT),
    check("name_key <> ''"),
    check("role IN ('researcher', 'operator', 'auditor')"),
)

approver_keys: Final = Table(
    "approver_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    required("name_key", String(128), ForeignKey("approvers.name_key")),
    required("public_key", LargeBinary),
    required("registered_by", String(128)),
    required("registered_at", INSTANT),
    Column("revoked_at", INSTANT),
    Column("revoked_by", String(128)),
    Column("revoked_reason", Text),
    Index("idx_approver_keys_name", "name_key"),
    check("key_id <> ''"),
    check("octet_length(public_key) = 32"),
    check("(revoked_at IS NULL) = (revoked_by IS NULL)"),
    check("(revoked_at IS NULL) = (revoked_reason IS NULL)"),
    check("registered_at <= revoked_at"),
)

freezes: Final = Table(
    "freezes",
    metadata,
    Column("freeze_id", BigInteger, Identity(always=True), primary_key=True),
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id")),
    required("time_zone", String(64)),
    Column("weekdays", SmallInteger),
    Column("starts_time", Time),
    Column("ends_time", Time),
    Column("starts_local", DateTime),
    Column("ends_local", DateTime),
    required("reason", Text),
    required("created_by", String(128)),
    required("created_at", INSTANT),
    Column("lifted_at", INSTANT),
    Column("lifted_by", String(128)),
    Column("lift_reason", Text),
    Index("idx_freezes_in_force", "freeze_id", postgresql_where=text("lifted_at IS NULL")),
    check("time_zone <> ''"),
    check("weekdays BETWEEN 1 AND 127"),
    check("btrim(reason) <> ''"),
    check("(weekdays IS NULL) = (starts_time IS NULL)"),
    check("(weekdays IS NULL) = (ends_time IS NULL)"),
    check("(weekdays IS NULL) = (starts_local IS NOT NULL)"),
    check("weekdays IS NULL OR ends_local IS NULL"),
    check("starts_local < ends_local"),
    check("(lifted_at IS NULL) = (lifted_by IS NULL)"),
    check("(lifted_at IS NULL) = (lift_reason IS NULL)"),
)

strategy_limits: Final = Table(
    "strategy_limits",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("owner", String(128)),
    Column("max_changes", Integer),
    Column("window_hours", Double),
    required("set_by", String(128)),
    required("set_at", INSTANT),
    check("owner <> ''"),
    check("max_changes >= 0"),
    check("window_hours > 0 AND window_hours < 'Infinity'"),
    check("(max_changes IS NULL) = (window_hours IS NULL)"),
)
