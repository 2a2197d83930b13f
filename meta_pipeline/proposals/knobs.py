"""What a strategy says about a knob: its type, bounds, largest step, and direction of risk."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meta_pipeline.canonical import ABSENT, JsonValue, Level, level_key
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
    return (_is_int(value) or isinstance(value, float)) and math.isfinite(float(value))  # type: ignore[arg-type]


KNOB_TYPES: Final[Mapping[str, Callable[[Level], bool]]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": _is_float,
    "str": lambda value: isinstance(value, str),
    "json": lambda value: value is not ABSENT,
}
"""The knob types by name, each with the test that says whether a value is of it."""

NUMERIC_TYPES: Final = frozenset({"int", "float"})


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
        if not self.path or any(not part for part in self.path.split(".")):
            raise InputError(f"knob path {self.path!r} is empty or has an empty part; write it like 'risk.max_vol'")
        if self.knob_type not in KNOB_TYPES:
            raise InputError(f"knob {self.path}: type {self.knob_type!r} is not one of {sorted(KNOB_TYPES)}")
        numbers = {"lower": self.lower, "upper": self.upper, "max_step": self.max_step}
        for name, number in numbers.items():
            if number is None:
                continue
            if self.knob_type not in NUMERIC_TYPES:
                raise InputError(f"knob {self.path}: {name} is for numbers, but the type is {self.knob_type!r}")
            if not math.isfinite(number):
                raise InputError(f"knob {self.path}: {name} is {number!r}; give a finite number or leave it out")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise InputError(f"knob {self.path}: lower bound {self.lower} is above upper bound {self.upper}")
        if self.max_step is not None and self.max_step <= 0:
            raise InputError(f"knob {self.path}: max_step is {self.max_step}; it must be positive")
        for choice in self.choices or ():
            if not KNOB_TYPES[self.knob_type](choice):
                raise InputError(f"knob {self.path}: choice {choice!r} is not of type {self.knob_type!r}")

    def objection(self, value: Level) -> str | None:
        """Say why a value is not allowed for this knob, or None if it is."""
        if value is ABSENT:
            return None if self.optional else f"{self.path} must be present; it is not declared optional"
        if not KNOB_TYPES[self.knob_type](value):
            return f"{self.path} = {value!r} is not of the declared type {self.knob_type}"
        if self.choices is not None and level_key(value) not in {level_key(c) for c in self.choices}:
            return f"{self.path} = {value!r} is not one of {list(self.choices)}"
        if self.knob_type in NUMERIC_TYPES:
            return self._out_of_bounds(float(value))  # type: ignore[arg-type]
        return None

    def _out_of_bounds(self, value: float) -> str | None:
        if self.lower is not None and value < self.lower:
            return f"{self.path} = {value:g} is below its lower bound {self.lower:g}"
        if self.upper is not None and value > self.upper:
            return f"{self.path} = {value:g} is above its upper bound {self.upper:g}"
        return None

    def objection_to_change(self, before: Level, after: Level) -> str | None:
        """Say why a change is not allowed, or None if it is: type, bounds, step, and whether it may change."""
        if not self.changeable:
            return f"{self.path} is declared as not changeable"
        objection = self.objection(after)
        if objection is not None:
            return objection
        numeric = self.knob_type in NUMERIC_TYPES and before is not ABSENT and after is not ABSENT
        if self.max_step is not None and numeric and KNOB_TYPES[self.knob_type](before):
            step = abs(float(after) - float(before))  # type: ignore[arg-type]
            if step > self.max_step * (1 + 1e-12):
                return f"{self.path}: step {step:g} is larger than the largest allowed step {self.max_step:g}"
        return None

    def risk_change(self, before: Level, after: Level) -> str:
        """Return "raises", "reduces", "neutral" or "unknown": what the change does to risk."""
        if self.risk_direction is RiskDirection.NEUTRAL:
            return "neutral"
        comparable = self.knob_type in {*NUMERIC_TYPES, "bool"} and all(
            isinstance(level, bool | int | float) for level in (before, after)
        )
        if self.risk_direction is RiskDirection.UNKNOWN or not comparable or before == after:
            return "unknown"
        up = float(after) > float(before)  # type: ignore[arg-type]
        return "raises" if up == (self.risk_direction is RiskDirection.HIGHER_IS_RISKIER) else "reduces"
