"""JSON as it is read from requests: what is ambiguous or cannot be stored is refused, with the place and the reason.

Python's own reader takes NaN and Infinity, turns 1e400 into infinity, keeps the last of two equal keys, and lets NUL
and half characters through. Each of those has gone around somebody's check.
"""

import json
import math
from typing import Any, Final, NoReturn

DEEPEST: Final = 32
LARGEST_INTEGER: Final = 2**63 - 1
MOST_VALUES: Final = 4_000_000
MOST_CONTAINERS: Final = 500_000
"""More than any request of ours holds; a body of nothing but brackets takes a thousand times its size in memory."""


class StrictJsonError(json.JSONDecodeError):
    """A document that is refused; FastAPI answers it as invalid input."""


def strict_loads(data: bytes) -> Any:
    """Read a JSON document.

    Raises
    ------
    StrictJsonError
        If it is not UTF-8 or not JSON, holds NaN, an infinity, a number beyond what can be stored, a key twice, NUL
        or half a character, is nested deeper than `DEEPEST`, or has more parts than can be meant.
    """
    if data.count(b",") > MOST_VALUES or data.count(b"[") + data.count(b"{") > MOST_CONTAINERS:
        raise StrictJsonError("the body has too many parts; send less at once", "", 0)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"the body is not UTF-8: {error.reason}", "", error.start) from None
    try:
        value = json.loads(
            text,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
            object_pairs_hook=_pairs,
        )
    except RecursionError:
        raise StrictJsonError(f"the body is nested deeper than {DEEPEST}", "", 0) from None
    except StrictJsonError:
        raise
    except ValueError as error:
        raise StrictJsonError(str(error), "", getattr(error, "pos", 0)) from None
    _walk(value)
    return value


def _refuse(reason: str) -> NoReturn:
    raise StrictJsonError(reason, "", 0)


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(f"the number {text[:40]} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > LARGEST_INTEGER:
        _refuse(f"the integer {text[:40]} is too large")
    return int(text)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        _refuse(f"the key {twice[:80]!a} occurs twice")
    return found


def _walk(value: Any) -> None:
    waiting = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, str):
            _check_text(node)
        elif isinstance(node, list | dict):
            if depth > DEEPEST:
                _refuse(f"the body is nested deeper than {DEEPEST}")
            if isinstance(node, dict):
                for key in node:
                    _check_text(key)
            inner = node.values() if isinstance(node, dict) else node
            waiting.extend((item, depth + 1) for item in inner)


def _check_text(text: str) -> None:
    if "\x00" in text:
        _refuse(f"a text holds NUL, which cannot be stored: {text[:40]!a}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(f"a text holds half a character: {text[:40]!a}")
