"""Fills and prices out of rows of text or JSON values, as files and requests hold them.

Belongs here: one row -> one record, or an error that names the field and the value.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from meta_pipeline.errors import InputError
from meta_pipeline.policy.fills import Fill
from meta_pipeline.policy.prices import Price

FILL_COLUMNS: Final = ("execution_id", "strategy_id", "symbol", "side", "quantity", "price", "executed_at")
PRICE_COLUMNS: Final = ("symbol", "at", "close")


def fill_of(row: Mapping[str, Any]) -> Fill:
    """Read a fill; `fee` (default 0) and `initial_risk` may be left out.

    Raises
    ------
    InputError
        If a field is missing or is no value of its kind.
    """
    _require(row, FILL_COLUMNS, (*FILL_COLUMNS, "fee", "initial_risk"))
    return Fill(
        execution_id=_text(row, "execution_id"),
        strategy_id=_text(row, "strategy_id"),
        symbol=_text(row, "symbol"),
        side=_text(row, "side").upper(),
        quantity=_number(row, "quantity"),
        price=_number(row, "price"),
        fee=0.0 if _absent(row, "fee") else _number(row, "fee"),
        executed_at=_moment(row, "executed_at"),
        initial_risk=None if _absent(row, "initial_risk") else _number(row, "initial_risk"),
    )


def price_of(row: Mapping[str, Any]) -> Price:
    """Read a price; `volume` may be left out.

    Raises
    ------
    InputError
        If a field is missing or is no value of its kind.
    """
    _require(row, PRICE_COLUMNS, (*PRICE_COLUMNS, "volume"))
    return Price(
        symbol=_text(row, "symbol"),
        at=_moment(row, "at"),
        close=_number(row, "close"),
        volume=None if _absent(row, "volume") else _number(row, "volume"),
    )


def _require(row: Mapping[str, Any], needed: tuple[str, ...], known: tuple[str, ...]) -> None:
    missing = [name for name in needed if _absent(row, name)]
    if missing:
        raise InputError(f"{', '.join(missing)} missing; there are {', '.join(map(str, row)) or 'no fields'}")
    unknown = [name for name in row if name not in known]
    if unknown:
        raise InputError(f"field {str(unknown[0])[:80]!a} is not known; there are {', '.join(known)}")


def _absent(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value) and name != "quantity")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{name} is {str(value)[:80]!a}, which is no text")
    return str(value).strip()


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{name} is {str(value)[:80]!a}, which is no number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise InputError(f"{name} is {str(value)[:80]!a}, which is no number") from None


def _moment(row: Mapping[str, Any], name: str) -> datetime:
    value = row[name]
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InputError(f"{name} is {value[:80]!a}; write it like 2026-11-20T14:30:00+00:00") from None
    if not isinstance(value, datetime):
        raise InputError(f"{name} is {str(value)[:80]!a}, which is no time")
    if value.tzinfo is None:
        raise InputError(f"{name} is {value}, without a time zone; add one, such as +00:00")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InputError(f"{name} is {value}, which is no time in UTC") from None
