"""A defect of a run: a reason code, and a sentence that names the value."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from meta_pipeline.backtests.reasons import ReasonCode

_ORDER: Final = {code: position for position, code in enumerate(ReasonCode)}
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_SHOWN_CHARACTERS: Final = 200


class Defect(NamedTuple):
    """Why a run cannot be evidence."""

    code: ReasonCode
    sentence: str


def first_defect(defects: Iterable[Defect]) -> Defect | None:
    """Return the defect that comes first in the order of `ReasonCode`, or None."""
    return min(defects, key=lambda defect: _ORDER[defect.code], default=None)


def shown(value: object) -> str:
    """Write any value so that it can be stored: escaped, cut, and the same in every process."""
    text = written(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def written(value: object) -> str:
    """Write any value in full, in ASCII, the same in every process."""
    try:
        return _ADDRESS.sub("", ascii(value))
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, or lists in lists in lists
        return f"<{type(value).__name__}: {error}>"


def storable(text: str) -> bool:
    """Return whether PostgreSQL can store the text: no NUL, no lone surrogate."""
    try:
        return b"\x00" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


def printable(text: str) -> str:
    """Return the text, escaped if it could not be stored as it is."""
    return text if storable(text) else ascii(text)[1:-1]
