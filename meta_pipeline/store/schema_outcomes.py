"""The tables of outcomes, experiments and automatic application, mirroring sql/migrations/versions/0005_outcomes.sql.

What 0005 adds to older tables stands with these, in `schema`.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from meta_pipeline.store.column_types import LevelJson
from meta_pipeline.store.schema_parts import DIGEST, EMPTY, INSTANT, an_object, check, finite, metadata, required

_VERDICT = "verdict IN ('KEEP', 'REVERT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')"
_EXPERIMENT_VERDICT = "verdict IN ('CHALLENGER', 'INCUMBENT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')"


def _strategy(**options: Any) -> Column[Any]:
    return required("strategy_id", String(64), ForeignKey("strategies.strategy_id"), **options)


change_outcomes: Final = Table(
    "change_outcomes",
    metadata,
    Column("change_id", String(64), ForeignKey("config_change_log.change_id"), primary_key=True),
    Column("judged_until", Date, primary_key=True),
    required("simulated", Boolean),
    required("looked_at", INSTANT),
    required("n_days", Integer),
    required("verdict", String(20)),
    required("reason", Text),
    Column("estimate", Double),
    Column("lower_bound", Double),
    Column("upper_bound", Double),
    required("body", JSONB),
    check("n_days >= 0"),
    check(_VERDICT),
    check("reason <> ''"),
    finite("estimate"),
    finite("lower_bound"),
    finite("upper_bound"),
    an_object("body"),
    check("lower_bound <= upper_bound"),
)

experiments: Final = Table(
    "experiments",
    metadata,
    Column("experiment_id", String(64), primary_key=True),
    _strategy(),
    required("knob_path", String(256)),
    Column("incumbent_value", LevelJson),
    Column("challenger_value", LevelJson),
    required("incumbent_version", Integer),
    required("challenger_config", JSONB),
    required("outcome_rule", JSONB),
    required("digest", DIGEST),
    required("state", String(8)),
    Column("verdict", String(20)),
    required("reason", Text, server_default=EMPTY),
    required("why", Text),
    required("started_by", String(128)),
    required("started_at", INSTANT),
    Column("ended_by", String(128)),
    Column("ended_at", INSTANT),
    Column("proposal_id", String(64), ForeignKey("meta_config_proposals.proposal_id")),
    ForeignKeyConstraint(
        ["strategy_id", "incumbent_version"], ["config_versions.strategy_id", "config_versions.version"]
    ),
    Index(
        "uq_one_experiment_per_knob",
        "strategy_id",
        "knob_path",
        unique=True,
        postgresql_where=text("state = 'running'"),
    ),
    check("experiment_id <> ''"),
    check("knob_path <> ''"),
    an_object("challenger_config"),
    an_object("outcome_rule"),
    check("state IN ('running', 'decided', 'stopped')"),
    check(_EXPERIMENT_VERDICT),
    check("why <> ''"),
    check("started_by <> ''"),
    check("(state = 'running') = (ended_at IS NULL)"),
    check("(ended_at IS NULL) = (ended_by IS NULL)"),
    check("started_at <= ended_at"),
)

experiment_looks: Final = Table(
    "experiment_looks",
    metadata,
    Column("experiment_id", String(64), ForeignKey("experiments.experiment_id"), primary_key=True),
    Column("judged_until", Date, primary_key=True),
    required("simulated", Boolean),
    required("looked_at", INSTANT),
    required("n_days", Integer),
    required("verdict", String(20)),
    required("body", JSONB),
    check("n_days >= 0"),
    check(_EXPERIMENT_VERDICT),
    an_object("body"),
)

automation_tiers: Final = Table(
    "automation_tiers",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("path", String(256), primary_key=True),
    required("tier", String(12)),
    required("set_by", String(128)),
    required("set_at", INSTANT),
    check("path <> ''"),
    check("tier IN ('blocked', 'human', 'four_eyes', 'automatic')"),
    check("set_by <> ''"),
)

negative_controls: Final = Table(
    "negative_controls",
    metadata,
    Column("control_id", BigInteger, Identity(always=True), primary_key=True),
    _strategy(),
    required("knob_path", String(256)),
    required("kind", String(48)),
    required("refused", Boolean),
    required("detail", Text),
    required("ran_at", INSTANT),
    Index("idx_negative_controls_strategy", "strategy_id", "ran_at"),
    check("kind <> ''"),
)

automation_freezes: Final = Table(
    "automation_freezes",
    metadata,
    Column("freeze_id", BigInteger, Identity(always=True), primary_key=True),
    required("frozen_at", INSTANT),
    required("frozen_by", String(128)),
    required("reason", Text),
    Column("lifted_at", INSTANT),
    Column("lifted_by", String(128)),
    Column("lift_reason", Text),
    Index("uq_one_automation_freeze", text("(true)"), unique=True, postgresql_where=text("lifted_at IS NULL")),
    check("frozen_by <> ''"),
    check("reason <> ''"),
    check("(lifted_at IS NULL) = (lifted_by IS NULL)"),
    check("(lifted_at IS NULL) = (lift_reason IS NULL)"),
    check("frozen_at <= lifted_at"),
)

APPEND_ONLY: Final = ("change_outcomes", "experiment_looks", "negative_controls")
"""Looks and controls are facts about a moment: triggers keep them as they were written."""
