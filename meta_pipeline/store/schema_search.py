"""The tables of the searches, mirroring sql/migrations/versions/0007_search.sql."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from meta_pipeline.store.schema_parts import DIGEST, INSTANT, an_object, check, created_at, finite, metadata, required


def _search_name(**options: Any) -> Column[Any]:
    return Column(
        "search_name", String(128), ForeignKey("searches.search_name", ondelete="CASCADE"), primary_key=True, **options
    )


def _place() -> tuple[Column[Any], ...]:
    names = ("iteration", "bracket", "number", "resource")
    return tuple(Column(name, Integer, primary_key=True, autoincrement=False) for name in names)


searches: Final = Table(
    "searches",
    metadata,
    Column("search_name", String(128), primary_key=True),
    required("status", String(12)),
    required("place", Text),
    required("settings", JSONB),
    required("summary", JSONB, server_default=text("'{}'")),
    Column("verdict", JSONB(none_as_null=True)),
    Column("digest", DIGEST),
    required("started_at", INSTANT),
    required("updated_at", INSTANT),
    check("search_name <> ''"),
    check("status IN ('running', 'finished')"),
    an_object("settings"),
    an_object("summary"),
    an_object("verdict"),
    check("(status = 'finished') = (digest IS NOT NULL)"),
    check("started_at <= updated_at"),
)

top_configs: Final = Table(
    "top_configs",
    metadata,
    _search_name(),
    Column("rank", Integer, primary_key=True, autoincrement=False),
    required("slot", String(32)),
    required("config", JSONB),
    required("value", Double),
    required("feasible", Boolean),
    required("metrics", JSONB),
    required("constraints", JSONB),
    check("rank > 0"),
    an_object("config"),
    finite("value"),
    an_object("metrics"),
    an_object("constraints"),
)

optimization_history: Final = Table(
    "optimization_history",
    metadata,
    _search_name(),
    *_place(),
    required("config", JSONB),
    Column("value", Double),
    required("metrics", JSONB),
    Column("error", Text),
    check("resource > 0"),
    an_object("config"),
    finite("value"),
    an_object("metrics"),
)

search_checkpoints: Final = Table(
    "search_checkpoints",
    metadata,
    Column("search_name", String(128), primary_key=True),
    *_place(),
    required("digest", DIGEST),
    required("content", LargeBinary),
    created_at("saved_at"),
    check("resource > 0"),
)

holdout_openings: Final = Table(
    "holdout_openings",
    metadata,
    Column("opening_id", BigInteger, Identity(always=True), primary_key=True),
    required("scope", Text),
    required("as_of", Date),
    required("first_day", Date),
    required("last_day", Date),
    required("config", DIGEST),
    required("search_name", String(128)),
    required("opened_by", String(128)),
    required("opened_at", INSTANT),
    UniqueConstraint("scope", "as_of"),
    check("scope <> ''"),
    check("first_day <= last_day"),
    check("last_day <= as_of"),
)

APPEND_ONLY: Final = ("holdout_openings",)
"""A look cannot be unseen: triggers keep its row."""
