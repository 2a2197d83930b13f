"""Runs -> configurations: which runs share the values of the declared knobs, and how these fare together.

Belongs here: grouping, pooling, and which configurations are pointed out. Does not belong here: luck (overfitting).

A configuration is its declared knobs: ids, dates and everything else that a backtester writes into a config would
make each run a configuration of its own. Figures are pooled as in `backtests.pooling`, and copies of a run count
once (A13).
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.pooling import (
    PooledFigures,
    RunFigures,
    missing_figures,
    pool,
    run_figures,
    smallest,
    weighted_mean,
)
from meta_pipeline.backtests.reported import DRAWDOWN, SHARPE, VOLATILITY
from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.diagnostics.records import Configuration, Figures, Findings, Thresholds
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.knobs import Knob

MAX_SHOWN: Final = 100
"""Configurations that a report names per finding; it counts them all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Configurations:
    """All configurations of a panel, ordered by id, whatever the order of its runs.

    Parameters
    ----------
    all
        With their figures.
    members
        For each, the columns of its distinct runs, ordered by content.
    live
        Position of the live configuration, or None if no run replays it.
    unreadable
        Runs whose config cannot be read at a declared path, with the reason.
    """

    all: tuple[Configuration, ...]
    members: tuple[NDArray[np.intp], ...]
    live: int | None
    unreadable: Mapping[str, str]

    @property
    def n_distinct(self) -> int:
        """Distinct runs: same knobs, same block and same returns count once."""
        return sum(len(columns) for columns in self.members)


def configurations(panel: RunPanel, *, knobs: Sequence[Knob], live: Mapping[str, JsonValue]) -> Configurations:
    """Group a panel's runs into configurations and pool their figures."""
    paths = sorted(knob.path for knob in knobs)
    groups: dict[str, list[int]] = {}
    values: dict[str, Mapping[str, JsonValue]] = {}
    unreadable = {}
    for column, config in enumerate(panel.configs):
        try:
            levels = knob_levels(config, paths)
        except InputError as error:
            unreadable[panel.run_ids[column]] = str(error)
            continue
        name = digest(levels)
        values[name] = levels
        groups.setdefault(name, []).append(column)
    there = panel.columns >= 0
    periods = np.full(panel.returns.shape[1], np.nan)
    periods[panel.columns[there]] = panel.periods_per_year[there]
    runs = run_figures(panel.returns.T, periods).spread(panel.columns)
    order = sorted(groups)
    members = tuple(_distinct(panel, groups[name]) for name in order)
    return Configurations(
        all=tuple(
            Configuration(
                configuration_id=name,
                knobs=values[name],
                markets=tuple(sorted({panel.markets[column] for column in groups[name]} - {""})),
                figures=_figures(panel, runs, groups[name], columns),
            )
            for name, columns in zip(order, members, strict=True)
        ),
        members=members,
        live=_position(order, live, paths),
        unreadable=unreadable,
    )


def knob_levels(config: Mapping[str, JsonValue], paths: Sequence[str]) -> dict[str, JsonValue]:
    """Return the values of the declared knobs as `level_to_json` writes them, by path.

    Raises
    ------
    InputError
        If a path is ambiguous in this config.
    """
    return {path: level_to_json(level_at(config, path)) for path in paths}


def _position(order: Sequence[str], live: Mapping[str, JsonValue], paths: Sequence[str]) -> int | None:
    try:
        name = digest(knob_levels(live, paths))
    except InputError:
        return None
    return order.index(name) if name in order else None


def _distinct(panel: RunPanel, columns: Sequence[int]) -> NDArray[np.intp]:
    """Return one column per distinct content, ordered by block and content."""
    kept: dict[tuple[str, str], int] = {}
    for column in columns:
        kept.setdefault((panel.blocks[column], _content(panel, column)), column)
    return np.array([kept[key] for key in sorted(kept)], dtype=np.intp)


def _content(panel: RunPanel, column: int) -> str:
    returns = panel.rows(np.array([column]))[0]
    if not np.isnan(returns).all():
        return hashlib.sha256(returns.tobytes()).hexdigest()
    reported = {name: value for name, value in panel.reported[column].items() if _known(value)}
    return "reported " + canonical_json(reported)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _figures(panel: RunPanel, runs: RunFigures, columns: Sequence[int], distinct: NDArray[np.intp]) -> Figures:
    n_days = int((~np.isnan(panel.rows(distinct))).any(axis=0).sum())
    pooled = pool(runs.take(distinct[runs.n[distinct] > 0])) if n_days else _reported(panel, distinct)
    unreported = {name: "no return series, and not reported" for name, value in pooled.items() if value is None}
    missing = missing_figures(pooled) if n_days else unreported
    return Figures(n_runs=len(columns), n_distinct=len(distinct), n_days=n_days, missing=missing, **pooled)


def _reported(panel: RunPanel, columns: NDArray[np.intp]) -> PooledFigures:
    """Pool what metrics-only runs report; each counts the same, as nobody knows their length."""

    def reported(name: str) -> NDArray[np.float64]:
        given = [panel.reported[column].get(name) for column in columns]
        return np.array([np.nan if value is None else value for value in given], dtype=np.float64)

    equal = np.ones(len(columns))
    variance = weighted_mean(reported(VOLATILITY) ** 2, equal)
    return {
        "sharpe": weighted_mean(reported(SHARPE), equal),
        "mean_return": None,
        "volatility": None if variance is None else math.sqrt(variance),
        "max_drawdown": smallest(reported(DRAWDOWN)),
        "win_rate": None,
    }


def underperforming(found: Sequence[Configuration], thresholds: Thresholds) -> Findings:
    """Point out the configurations whose Sharpe ratio is below the threshold, lowest first.

    A configuration without a Sharpe ratio is no underperformer: nothing is known about it (A17).
    """
    flagged = [
        replace(one, reasons=(f"Sharpe ratio {one.figures.sharpe:.2f} is below {thresholds.sharpe:.2f}",))
        for one in found
        if one.figures.sharpe is not None and one.figures.sharpe < thresholds.sharpe
    ]
    return _findings(flagged, lambda one: one.figures.sharpe or 0.0)


def high_risk(found: Sequence[Configuration], thresholds: Thresholds) -> Findings:
    """Point out the configurations whose volatility or drawdown is beyond its threshold, farthest beyond first."""
    flagged = [replace(one, reasons=reasons) for one in found if (reasons := tuple(_risks(one.figures, thresholds)))]
    return _findings(flagged, lambda one: -_excess(one.figures, thresholds))


def _excess(figures: Figures, thresholds: Thresholds) -> float:
    """Return the larger of volatility and drawdown, each as a multiple of its threshold."""
    volatility = (figures.volatility or 0.0) / thresholds.volatility
    drawdown = (figures.max_drawdown or 0.0) / min(thresholds.drawdown, -1e-9)
    return max(volatility, drawdown)


def _risks(figures: Figures, thresholds: Thresholds) -> Iterator[str]:
    if figures.volatility is not None and figures.volatility > thresholds.volatility:
        yield f"volatility {100 * figures.volatility:.1f} % is above {100 * thresholds.volatility:.1f} %"
    if figures.max_drawdown is not None and figures.max_drawdown < thresholds.drawdown:
        yield f"maximum drawdown {100 * figures.max_drawdown:.1f} % is below {100 * thresholds.drawdown:.1f} %"


def _findings(flagged: Sequence[Configuration], key: Callable[[Configuration], float]) -> Findings:
    ordered = sorted(flagged, key=lambda one: (key(one), one.configuration_id))
    return Findings(count=len(ordered), configurations=tuple(ordered[:MAX_SHOWN]))


def pareto_set(found: Sequence[Configuration]) -> Findings:
    """Keep the configurations that no other beats: in Sharpe ratio, drawdown and volatility at once.

    One is beaten by another that is at least as good in all three and better in one. Those that lack one of
    the figures are not compared. The highest Sharpe ratio comes first; of equals, the shallower drawdown.
    """
    complete = [one for one in found if _axes(one.figures) is not None]
    ordered = sorted(complete, key=lambda one: (*(-value for value in _axes(one.figures) or ()), one.configuration_id))
    front: list[tuple[float, float, float]] = []
    kept = []
    for one in ordered:
        axes = _axes(one.figures)
        assert axes is not None
        # Sorted by Sharpe ratio, so that only those that came before can be better.
        if not any(all(a >= b for a, b in zip(other, axes, strict=True)) and other != axes for other in front):
            front.append(axes)
            kept.append(one)
    return Findings(count=len(kept), configurations=tuple(kept[:MAX_SHOWN]))


def _axes(figures: Figures) -> tuple[float, float, float] | None:
    """Return Sharpe ratio, drawdown and volatility such that higher is better, or None if one is missing."""
    if figures.sharpe is None or figures.max_drawdown is None or figures.volatility is None:
        return None
    return figures.sharpe, figures.max_drawdown, -figures.volatility


def levels_of(found: Sequence[Configuration], path: str) -> set[str]:
    """Return the distinct values of one knob, as canonical JSON."""
    return {canonical_json(one.knobs[path]) for one in found}
