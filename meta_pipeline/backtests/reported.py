"""Metrics as a backtester reports them: names, readable values, and what is wrong with the rest.

Belongs here: reading one run's reported metrics, without its returns. Does not belong here:
comparing them with recomputed ones (quality).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from meta_pipeline.backtests.defect import Defect, shown, storable
from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.canonical import JsonValue, canonical_json

SHARPE: Final = "annualised_sharpe"
CUMULATIVE_RETURN: Final = "cumulative_return"
VOLATILITY: Final = "annualised_vol"
DRAWDOWN: Final = "max_drawdown"

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    SHARPE: ("sharpe", "sharpe_ratio", "annualized_sharpe"),
    CUMULATIVE_RETURN: ("total_return", "cum_return"),
    VOLATILITY: ("annualized_vol", "annualised_volatility", "annualized_volatility", "volatility", "vol"),
    DRAWDOWN: ("drawdown", "maximum_drawdown", "mdd"),
}
"""The metrics that are understood, by the predecessor's names, and the other names they go by."""

MAX_SHARPE: Final = 100.0
"""A reported annualised Sharpe ratio beyond this is a division by rounding errors (E02), not a strategy. It binds only
where there is no return series to recompute it from."""

MIN_VOLATILITY: Final = 1e-12
"""Volatility at or below this is rounding."""

_CANONICAL: Final = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


@dataclass(frozen=True, kw_only=True)
class ReportedMetrics:
    """Reported metrics, read.

    Parameters
    ----------
    values
        By canonical name; the understood ones are finite floats or None, others any JSON.
    missing
        Why a value is None, by name.
    defects
        What is wrong with the understood ones.
    """

    values: Mapping[str, JsonValue]
    missing: Mapping[str, str]
    defects: tuple[Defect, ...]

    def number(self, name: str) -> float | None:
        """Return one of the understood metrics, or None."""
        value = self.values.get(name)
        return value if isinstance(value, float) else None


def read_reported(metrics: Any) -> ReportedMetrics:
    """Read reported metrics of any shape.

    Numbers written as text are coerced; null is missing; NaN, infinities and other text are
    defects of an understood metric, and are stored as null with the reason in `missing`.
    """
    if not isinstance(metrics, Mapping):
        sentence = f"metrics are {shown(metrics)}, not an object of name and value"
        defect = Defect(ReasonCode.MALFORMED_METRIC, sentence)
        return ReportedMetrics(values={}, missing={"metrics": sentence}, defects=(defect,))
    values: dict[str, JsonValue] = {}
    missing: dict[str, str] = {}
    defects: list[Defect] = []
    for name, raw in _by_canonical_name(metrics):
        value, problem = _number(name, raw) if name in ALIASES else _any_json(raw)
        values[name] = value
        if isinstance(problem, Defect):
            defects.append(problem)
            missing[name] = problem.sentence
        elif problem is not None:
            missing[name] = problem
    drawdown = values.get(DRAWDOWN)
    if isinstance(drawdown, float) and drawdown > 0.0:
        sentence = f"max_drawdown is reported as {drawdown!r}; a drawdown is negative or zero"
        defects.append(Defect(ReasonCode.DRAWDOWN_SIGN, sentence))
    return ReportedMetrics(values=values, missing=missing, defects=tuple(defects))


def _by_canonical_name(metrics: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in metrics.items():
        name = key if isinstance(key, str) and storable(key) else shown(key)
        canonical = _CANONICAL.get(name, name)
        # Where a metric comes under two names, the predecessor's own stands and the other keeps its name.
        yield (name if canonical in metrics else canonical), value


def _number(name: str, raw: Any) -> tuple[float | None, Defect | str | None]:
    if raw is None:
        return None, "reported as null"
    value = _to_float(raw)
    if value is None:
        sentence = f"{name} is reported as {shown(raw)}, which is not a number"
        return None, Defect(ReasonCode.MALFORMED_METRIC, sentence)
    if not math.isfinite(value):
        return None, Defect(
            ReasonCode.METRIC_NOT_FINITE, f"{name} is reported as {value!r}; report null if there is none"
        )
    return value, None


def _to_float(raw: Any) -> float | None:
    if isinstance(raw, np.generic):
        raw = raw.item()
    if isinstance(raw, str) and "_" not in raw:
        try:
            return float(raw)
        except ValueError:
            return None
    if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
        try:
            return float(raw)
        except OverflowError:
            return math.inf
    return None


def _any_json(raw: Any) -> tuple[JsonValue, str | None]:
    value = raw.item() if isinstance(raw, np.generic) else raw
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return None, f"reported as {shown(raw)}, which JSON cannot hold"
    return value, None


def stand_alone_defects(reported: ReportedMetrics) -> Iterator[Defect]:
    """Say why reported metrics cannot stand for a run that has no return series."""
    sharpe = reported.number(SHARPE)
    if sharpe is None:
        why = reported.missing.get(SHARPE, "not reported")
        if all(defect.sentence != why for defect in reported.defects):  # else that defect says more
            yield Defect(ReasonCode.NO_RETURNS, f"there are no returns, and {SHARPE} is missing: {why}")
    elif abs(sharpe) > MAX_SHARPE:
        sentence = (
            f"{SHARPE} is reported as {sharpe:.6g}, beyond {MAX_SHARPE:g} and without returns to recompute it from"
        )
        yield Defect(ReasonCode.METRIC_OUT_OF_RANGE, sentence)
    volatility = reported.number(VOLATILITY)
    if volatility is not None and volatility < 0.0:
        yield Defect(
            ReasonCode.METRIC_OUT_OF_RANGE, f"{VOLATILITY} is reported as {volatility!r}; it is never negative"
        )
    elif volatility is not None and volatility <= MIN_VOLATILITY:
        yield Defect(
            ReasonCode.ZERO_VOLATILITY, f"{VOLATILITY} is reported as {volatility!r}; such returns do not vary"
        )
    for name in (DRAWDOWN, CUMULATIVE_RETURN):
        value = reported.number(name)
        if value is not None and value <= -1.0:
            yield Defect(ReasonCode.RUIN, f"{name} is reported as {value!r}: equity fell to zero or below")
