"""The tables of the decision core, mirroring sql/migrations/versions/0006_evidence.sql.

What 0006 adds to `outcomes` stands with that table, in `schema`.
"""

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from meta_pipeline.store.schema_parts import DIGEST, INSTANT, an_object, check, created_at, finite, metadata, required

_NOT_NEGATIVE = "{0} >= 0 AND {0} < 'Infinity'"


def _strategy(**options: Any) -> Column[Any]:
    return required("strategy_id", String(64), ForeignKey("strategies.strategy_id"), **options)


run_half_years: Final = Table(
    "run_half_years",
    metadata,
    Column("run_id", String(128), ForeignKey("backtest_runs.run_id"), primary_key=True),
    required("first_half_year", Integer),
    required("counts", ARRAY(Integer)),
    required("totals", ARRAY(Double)),
    required("squares", ARRAY(Double)),
    check(
        "cardinality(counts) > 0 AND cardinality(counts) = cardinality(totals) "
        "AND cardinality(counts) = cardinality(squares)"
    ),
)

candidate_predictions: Final = Table(
    "candidate_predictions",
    metadata,
    Column("candidate_id", DIGEST, ForeignKey("candidates.candidate_id"), primary_key=True),
    _strategy(),
    required("family", String(64)),
    required("campaign", String(96)),
    required("look", DIGEST),
    required("evidence_start", Date),
    required("evidence_end", Date),
    required("decided_on", Date),
    required("live_config", JSONB),
    Column("contrast", Double),
    Column("standard_error", Double),
    Column("surface", Double),
    Column("claimed", Double),
    Column("probability", Double),
    required("dead", Boolean),
    created_at(),
    UniqueConstraint("look"),
    Index("idx_candidate_predictions_family", "family", "campaign"),
    Index("idx_candidate_predictions_strategy", "strategy_id", "evidence_end"),
    check("family <> ''"),
    check("campaign <> ''"),
    an_object("live_config"),
    finite("contrast"),
    check(_NOT_NEGATIVE.format("standard_error")),
    finite("surface"),
    finite("claimed"),
    check("probability BETWEEN 0 AND 1"),
    check("evidence_start <= evidence_end"),
    check("evidence_end <= decided_on"),
)

trials: Final = Table(
    "trials",
    metadata,
    _strategy(primary_key=True),
    Column("trial_digest", DIGEST, primary_key=True),
    Column("run_id", String(128)),
    required("seen_at", INSTANT),
)

online_tests: Final = Table(
    "online_tests",
    metadata,
    _strategy(primary_key=True),
    Column("test", Integer, primary_key=True),
    required("campaigns_digest", DIGEST),
    required("evidence_digest", DIGEST),
    required("p_value", Double),
    required("level", Double),
    required("rejected", Boolean),
    required("wealth", Double),
    required("state", JSONB),
    required("tested_at", INSTANT),
    UniqueConstraint("strategy_id", "campaigns_digest"),
    check("test >= 1"),
    check("p_value BETWEEN 0 AND 1"),
    check("level BETWEEN 0 AND 1"),
    check(_NOT_NEGATIVE.format("wealth")),
    an_object("state"),
    check("rejected = (p_value <= level)"),
)

APPEND_ONLY: Final = ("candidate_predictions", "online_tests", "trials")
"""Tables whose rows triggers keep from being changed, deleted or truncated."""
