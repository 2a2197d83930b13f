"""What a strategy says about a knob: its type, bounds, largest step, and direction of risk."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json, level_key
from meta_pipeline.errors import InputError


class RiskDirection(StrEnum):
    """What a rise of the knob's value does to risk."""

    HIGHER_IS_RISKIER = "higher_is_riskier"
    LOWER_IS_RISKIER = "lower_is_riskier"
    NEUTRAL = "neutral"
    UNKNOWN = "unknown"


def _is_int(value: Level) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Level) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_json(value: Level) -> bool:
    if value is ABSENT:
        return False
    try:
        canonical_json(value)
    except (TypeError, ValueError):  # NaN somewhere inside, or something that JSON does not have
        return False
    return True


KNOB_TYPES: Final[Mapping[str, Callable[[Level], bool]]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": _is_float,
    "str": lambda value: isinstance(value, str) and _is_json(value),
    "json": _is_json,
}
"""The knob types by name, each with the test that says whether a value is of it."""

NUMERIC_TYPES: Final = frozenset({"int", "float"})

LONGEST_PATH: Final = 256
"""In characters: the width of the columns that hold a path."""

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_IDENTIFIER_OR_DATE: Final = frozenset(
    {"id", "ids", "uuid", "guid", "date", "dates", "datetime", "datetimes", "timestamp", "timestamps", "asof"}
)
_ISO_DATE: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}([T ].*)?\s*", re.DOTALL)


def is_identifier_or_date(path: str) -> bool:
    """Say whether a path, by its name, holds an identifier or a date. Neither is ever changed by a proposal.

    Judged by the last word of the last key: `portfolio_id`, `sleeveId`, `risk.start_date`, `as_of`.
    """
    words = [word.lower() for word in _WORDS.findall(path.rsplit(".", maxsplit=1)[-1])]
    return bool(words) and (words[-1] in _IDENTIFIER_OR_DATE or words[-2:] == ["as", "of"])


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One declared knob of a strategy. Only declared knobs can be proposed or applied.

    Parameters
    ----------
    path
        Where the knob lives in the configuration; nested keys are joined by dots.
    knob_type
        One of `KNOB_TYPES`.
    lower, upper
        Inclusive bounds, for numeric types.
    max_step
        Largest absolute change in one proposal, for numeric types.
    choices
        The only allowed values, if given.
    risk_direction
        What a rise of the value does to risk. UNKNOWN is treated as if any change raised it.
    changeable
        False for knobs that are declared for evidence but may never be changed by a proposal.
    optional
        Whether the key may be absent from a live configuration.

    Raises
    ------
    InputError
        If the declaration contradicts itself.
    """

    path: str
    knob_type: str
    lower: float | None = None
    upper: float | None = None
    max_step: float | None = None
    choices: tuple[JsonValue, ...] | None = None
    risk_direction: RiskDirection = RiskDirection.UNKNOWN
    changeable: bool = True
    optional: bool = False

    def __post_init__(self) -> None:
        self._check_path()
        if self.knob_type not in KNOB_TYPES:
            raise InputError(f"knob {self.path}: type {self.knob_type!r} is not one of {sorted(KNOB_TYPES)}")
        for name in ("lower", "upper", "max_step"):
            self._check_number(name, getattr(self, name))
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise InputError(f"knob {self.path}: lower bound {self.lower} is above upper bound {self.upper}")
        if self.max_step is not None and self.max_step <= 0:
            raise InputError(f"knob {self.path}: max_step is {self.max_step}; it must be positive")
        if self.choices is not None and not self.choices:
            raise InputError(f"knob {self.path}: choices is empty, so no value is allowed; leave it out or name some")
        for choice in self.choices or ():
            if not KNOB_TYPES[self.knob_type](choice):
                raise InputError(f"knob {self.path}: choice {choice!r} is not of type {self.knob_type!r}")

    def _check_path(self) -> None:
        if not self.path or any(not part.strip() for part in self.path.split(".")):
            raise InputError(f"knob path {self.path!r} is empty or has an empty part; write it like 'risk.max_vol'")
        if len(self.path) > LONGEST_PATH:
            raise InputError(
                f"knob path {self.path[:40]!r}... has {len(self.path)} characters; at most {LONGEST_PATH} are allowed"
            )
        if not _is_json(self.path):
            raise InputError(f"knob path {self.path!a} holds a NUL or half a character; write it as plain text")

    def _check_number(self, name: str, number: float | None) -> None:
        if number is None:
            return
        if self.knob_type not in NUMERIC_TYPES:
            raise InputError(f"knob {self.path}: {name} is for numbers, but the type is {self.knob_type!r}")
        if not _is_float(number):
            raise InputError(f"knob {self.path}: {name} is {number!r}; give a finite number or leave it out")

    def objection(self, value: Level) -> str | None:
        """Say why a value is not allowed for this knob, or None if it is."""
        if value is ABSENT:
            return None if self.optional else f"{self.path} must be present; it is not declared optional"
        if not KNOB_TYPES[self.knob_type](value):
            return f"{self.path} = {value!r} is not of the declared type {self.knob_type}"
        if self.choices is not None and level_key(value) not in {level_key(c) for c in self.choices}:
            return f"{self.path} = {value!r} is not one of {list(self.choices)}"
        return self._out_of_bounds(value)

    def _out_of_bounds(self, value: Level) -> str | None:
        number = self._number(value)
        if number is None:
            return None
        # An integer is compared as it is: beyond 2**53 a float would round it onto a bound.
        if self.lower is not None and number < self.lower:
            return f"{self.path} = {number!r} is below its lower bound {self.lower!r}"
        if self.upper is not None and number > self.upper:
            return f"{self.path} = {number!r} is above its upper bound {self.upper!r}"
        return None

    def objection_to_change(self, before: Level, after: Level) -> str | None:
        """Say why a change is not allowed, or None if it is.

        Checked are: whether the knob may change at all (identifiers and dates never may), type, bounds and
        choices of the new value, that anything changes, and the step. A step that cannot be measured
        (nothing there before, or not a number) is larger than any declared largest step.
        """
        if not self.changeable:
            return f"{self.path} is declared as not changeable"
        if is_identifier_or_date(self.path):
            return f"{self.path} is an identifier or a date by its name; these are never changed by a proposal"
        if any(isinstance(level, str) and _ISO_DATE.fullmatch(level) for level in (before, after)):
            return f"{self.path}: {before!r} -> {after!r} changes a date; dates are never changed by a proposal"
        objection = self.objection(after)
        if objection is not None:
            return objection
        old, new = self._number(before), self._number(after)
        if _same_level(before, after) or (old is not None and old == new):
            return f"{self.path} is {before!r} already; the change to {after!r} would change nothing"
        return None if self.max_step is None else self._step_too_large(before, after, self.max_step)

    def _step_too_large(self, before: Level, after: Level, max_step: float) -> str | None:
        old, new = self._number(before), self._number(after)
        if old is None or new is None:
            return (
                f"{self.path}: no step can be measured from {before!r} to {after!r}, and the largest allowed step is "
                f"{max_step!r}; declare the knob without max_step to allow this"
            )
        try:
            step = abs(new - old)
        except OverflowError:
            step = math.inf
        if step > max_step * (1 + 1e-12):
            return f"{self.path}: step {step!r} is larger than the largest allowed step {max_step!r}"
        return None

    def risk_change(self, before: Level, after: Level) -> str:
        """Return "raises", "reduces", "neutral" or "unknown": what the change does to risk."""
        if self.risk_direction is RiskDirection.NEUTRAL:
            return "neutral"
        old, new = self._ordered(before), self._ordered(after)
        if self.risk_direction is RiskDirection.UNKNOWN or old is None or new is None or old == new:
            return "unknown"
        return "raises" if (new > old) == (self.risk_direction is RiskDirection.HIGHER_IS_RISKIER) else "reduces"

    def _number(self, value: Level) -> float | None:
        if self.knob_type not in NUMERIC_TYPES or not _is_float(value):
            return None
        assert isinstance(value, int | float)
        return value

    def _ordered(self, value: Level) -> float | None:
        if self.knob_type == "bool" and isinstance(value, bool):
            return int(value)
        return self._number(value)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the declaration as a JSON object; `knob_of` reads it back."""
        fields = asdict(self)
        choices = None if self.choices is None else list(self.choices)
        return {**fields, "choices": choices, "risk_direction": str(self.risk_direction)}


def _same_level(before: Level, after: Level) -> bool:
    """Tell whether two levels are one; what no configuration can hold (NaN, NUL, lone surrogates) is like nothing."""
    try:
        return level_key(before) == level_key(after)
    except ValueError:
        return False


def knob_of(declaration: Mapping[str, Any]) -> Knob:
    """Read a knob from a JSON object, as `Knob.to_json` writes it; fields may be left out.

    Raises
    ------
    InputError
        If a field is unknown, missing, or has a value that cannot be used.
    """
    known = set(Knob.__dataclass_fields__)
    unknown = sorted(set(declaration) - known)
    missing = sorted({"path", "knob_type"} - set(declaration))
    if unknown or missing:
        raise InputError(
            f"knob {declaration.get('path', '?')!r}: unknown fields {unknown}, missing fields {missing}; "
            f"there are {', '.join(sorted(known))}"
        )
    fields = dict(declaration)
    try:
        fields["risk_direction"] = RiskDirection(fields.get("risk_direction", RiskDirection.UNKNOWN))
    except ValueError as error:
        raise InputError(
            f"knob {fields['path']}: risk_direction {fields['risk_direction']!r} is not one of "
            f"{[str(direction) for direction in RiskDirection]}"
        ) from error
    for name, wanted in (("path", str), ("knob_type", str), ("changeable", bool), ("optional", bool)):
        if name in fields and not isinstance(fields[name], wanted):
            raise InputError(f"knob {fields['path']!r}: {name} is {fields[name]!r}; it must be a {wanted.__name__}")
    if fields.get("choices") is not None:
        if not isinstance(fields["choices"], list | tuple):
            raise InputError(f"knob {fields['path']}: choices is {fields['choices']!r}; give a list")
        fields["choices"] = tuple(fields["choices"])
    return Knob(**fields)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that occurs twice: the one that is read is not the one that is kept."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"the key {twice[:80]!r} occurs twice")
    return found


def typed_value(knob: Knob, text: str) -> JsonValue:
    """Read a value for a knob as a person types it.

    Parameters
    ----------
    text
        For text knobs taken as it is; `true` or `false`; a number; for JSON knobs, JSON.

    Raises
    ------
    InputError
        If the text cannot be read as the knob's type. Whether the knob allows the value is not judged here.
    """
    if knob.knob_type == "str":
        return text
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        kind = knob.knob_type
        raise InputError(f"{knob.path}: {text[:80]!r} cannot be read as {kind}; write it as JSON ({error})") from error
    if not KNOB_TYPES[knob.knob_type](value):
        raise InputError(f"{knob.path}: {text[:80]!r} is not of the declared type {knob.knob_type}")
    if knob.knob_type != "float":
        parsed: JsonValue = value
        return parsed
    # 1 means 1.0 here, as the knob is a float, unless it is declared to be chosen from integers.
    equal = [choice for choice in knob.choices or () if _is_float(choice) and choice == value]
    return equal[0] if equal else float(value)
