"""What the tables' declarations have in common: the metadata, and short words for columns and checks."""

from typing import Any, Final

from sqlalchemy import CHAR, CheckConstraint, Column, DateTime, MetaData, text

metadata: Final = MetaData()

NOW: Final = text("now()")
EMPTY: Final = text("''")
DIGEST: Final = CHAR(64)
INSTANT: Final = DateTime(timezone=True)


def required(name: str, type_: Any, *rest: Any, **options: Any) -> Column[Any]:
    """Declare a column that is NOT NULL."""
    return Column(name, type_, *rest, nullable=False, **options)


def created_at(name: str = "created_at") -> Column[Any]:
    """Declare the time of the row, filled in by the server."""
    return required(name, INSTANT, server_default=NOW)


def check(condition: str) -> CheckConstraint:
    """Declare a CHECK without a name of its own."""
    return CheckConstraint(condition)


def finite(name: str) -> CheckConstraint:
    """Keep out both infinities, and NaN, which PostgreSQL holds for greater than every number."""
    return CheckConstraint(f"{name} > '-Infinity' AND {name} < 'Infinity'")


def an_object(name: str) -> CheckConstraint:
    """Declare that a JSONB column holds an object."""
    return CheckConstraint(f"jsonb_typeof({name}) = 'object'")


def a_list(name: str) -> CheckConstraint:
    """Declare that a JSONB column holds an array."""
    return CheckConstraint(f"jsonb_typeof({name}) = 'array'")
