"""Canonical JSON: one value, one text, one digest.

Belongs here: the text that is hashed, signed, or compared. Does not belong here: reading
user input (importers) or formatting for people (report).
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"


class Absent(Enum):
    """The type of `ABSENT`; an enum so that mypy narrows on `is ABSENT`."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
"""A key that is not in a configuration. Not the same as a key whose value is null."""

Level: TypeAlias = "JsonValue | Absent"
"""A knob's value in one configuration, or the fact that it has none."""


# One encoder for all: json.dumps makes a new one for each text.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


def canonical_json(value: JsonValue) -> str:
    """Write a value as canonical JSON: sorted keys, no white space, no NaN.

    Integers and floats stay apart (`1` and `1.0`), and floats are never written in exponent
    form with a positive exponent, so that a round trip through PostgreSQL's JSONB, which
    keeps decimals but drops exponents, gives the same text again. Negative zero is zero.

    Raises
    ------
    ValueError
        If the value holds NaN or an infinity, or a text that is not valid Unicode, or is nested too deeply.
    TypeError
        If the value, or a key, is of a type that JSON does not have.
    """
    try:
        return "".join(_pieces(value, "$"))
    except RecursionError:
        raise ValueError("the value is nested too deeply; flatten it to a few hundred levels at most") from None


def _pieces(value: JsonValue, path: str) -> list[str]:
    if value is None or isinstance(value, bool | str):
        return [_scalar(value, path)]
    if isinstance(value, int):
        return [int.__repr__(value)]
    if isinstance(value, float):
        return [_number(value, path)]
    if isinstance(value, Mapping):
        return _object_pieces(value, path)
    if isinstance(value, Sequence):
        parts = [",".join("".join(_pieces(item, f"{path}[{i}]")) for i, item in enumerate(value))]
        return ["[", *parts, "]"]
    raise TypeError(
        f"{path} is a {type(value).__name__} ({value!r}); JSON has null, booleans, numbers, texts, "
        "lists and objects only"
    )


def _object_pieces(value: Mapping[str, JsonValue], path: str) -> list[str]:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{path} has the key {key!r} of type {type(key).__name__}; JSON keys are texts")
    members = (_scalar(key, path) + ":" + "".join(_pieces(value[key], f"{path}.{key}")) for key in sorted(value))
    return ["{", ",".join(members), "}"]


def _scalar(value: str | bool | None, path: str) -> str:
    text = _ENCODER.encode(value)
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError(f"{path} holds a NUL character, which PostgreSQL cannot store: {value!r}")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{path} is not valid Unicode: {value!r}") from error
    return text


def _number(value: float, path: str) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{path} is {value!r}; canonical JSON has no NaN and no infinities, use null")
    text = float.__repr__(value + 0.0)  # adding zero turns -0.0 into 0.0
    if "e" not in text:
        return text
    plain = format(Decimal(text), "f")
    return plain if "." in plain else plain + ".0"


def digest(value: JsonValue) -> str:
    """Return the sha256 of a value's canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def level_key(level: Level) -> str:
    """Return a text that is equal for two levels exactly when they are the same value of the same type.

    `True`, `1` and `1.0` differ, nested values are compared by canonical JSON, and a level that
    is absent differs from every value, null included.
    """
    return "absent" if level is ABSENT else canonical_json(level)
