"""Column types that PostgreSQL has and SQLAlchemy's generic types do not express.

Belongs here: how one Python value travels to one column and back.
"""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Text, cast, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import UserDefinedType

from meta_pipeline.canonical import ABSENT, Level, canonical_json


class LevelJson(UserDefinedType[Level]):
    """A JSONB column that tells an absent key from the value null.

    In Python `ABSENT` is SQL NULL and `None` is JSON null, both ways. The driver reads both as
    None, so a select through this type fetches the text of the value; a hand-written statement
    does the same with `CAST(column AS text)` and `level_of_text`.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name the type in DDL."""
        return "JSONB"

    def bind_expression(self, bindvalue: BindParameter[Level]) -> ColumnElement[Level]:
        """Send the value as text and let the server make it JSONB."""
        return cast(bindvalue, JSONB)

    def bind_processor(self, dialect: Dialect) -> Callable[[Level], str | None]:  # noqa: ARG002 -- fixed signature
        """Return the writer: ABSENT to SQL NULL, everything else to canonical JSON."""
        return text_of_level

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Fetch the text, in which SQL NULL and JSON null differ."""
        # Without the coercion the result would be read as a plain text.
        return type_coerce(cast(colexpr, Text), self)

    def result_processor(
        self,
        dialect: Dialect,  # noqa: ARG002 -- fixed signature
        coltype: object,  # noqa: ARG002 -- fixed signature
    ) -> Callable[[str | None], Level]:
        """Return the reader."""
        return level_of_text


class Xid8(UserDefinedType[str]):
    """A 64-bit transaction id (`xid8`), in Python its decimal text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name the type in DDL."""
        return "xid8"


def text_of_level(level: Level) -> str | None:
    """Return the JSONB text of a level, or None (SQL NULL) for an absent key."""
    return None if level is ABSENT else canonical_json(level)


def level_of_text(text: str | None) -> Level:
    """Read a level from `CAST(column AS text)`: SQL NULL is ABSENT, 'null' is None."""
    if text is None:
        return ABSENT
    level: Level = json.loads(text)
    return level
