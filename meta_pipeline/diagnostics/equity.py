"""Two configurations over the same days: the live one, and one that would take its place.

Belongs here: which runs stand for a configuration, and their mean return by day. Does not belong here: drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, Level, level_key
from meta_pipeline.diagnostics.configurations import knob_levels
from meta_pipeline.diagnostics.regime_days import Labels, agreed_labels
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.knobs import Knob

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class EquityComparison:
    """The daily returns of incumbent and challenger, each averaged over its runs.

    Parameters
    ----------
    dates
        Shape (n_days,): the days on which both have returns; of the incumbent alone where there is no challenger.
    incumbent, challenger
        Shape (n_days,), simple returns per period. None: `missing` says why.
    challenger_name
        What it is, in a few words.
    n_incumbent, n_challenger
        Runs that each stands for.
    periods_per_year
        Of all these runs; None where they differ, or are not known.
    labels
        Shape (n_days,): regime of each day on which the markets agree; None where they have none.
    missing
        Why one of them is not there; empty if both are.
    """

    dates: NDArray[np.datetime64]
    incumbent: Floats | None
    challenger: Floats | None
    challenger_name: str
    n_incumbent: int = 0
    n_challenger: int = 0
    missing: str = ""
    periods_per_year: float | None = None
    labels: Labels | None = None


def compare_equity(
    panel: RunPanel,
    *,
    knobs: Sequence[Knob],
    live: Mapping[str, JsonValue],
    challenger: Mapping[str, JsonValue] | None,
    name: str,
    regimes: Mapping[str, Labels] | None = None,
) -> EquityComparison:
    """Compare the live configuration with a challenger over the days that both traded.

    Parameters
    ----------
    challenger
        Values of the declared knobs by path, as `level_to_json` writes them; None: there is none.
    name
        Of the challenger.
    regimes
        As in `propose`; None: no day carries a label.
    """
    paths = sorted(knob.path for knob in knobs)
    nothing = np.array([], dtype="datetime64[s]")
    try:
        wanted = knob_levels(live, paths)
    except InputError as error:
        return EquityComparison(
            dates=nothing, incumbent=None, challenger=None, challenger_name=name, missing=f"live: {error}"
        )
    rows = _members(panel, paths, {"live": wanted} | ({} if challenger is None else {"other": dict(challenger)}))
    first, second = _mean(panel, rows["live"]), _mean(panel, rows.get("other", []))
    missing = []
    if first is None:
        missing.append("no run with returns replays the live configuration")
    if second is None:
        missing.append("there is no challenger" if challenger is None else f"no run with returns replays {name}")
    there = [~np.isnan(series) for series in (first, second) if series is not None]
    days = np.logical_and.reduce(there) if there else np.zeros(len(panel.dates), dtype=bool)
    if there and not days.any():
        return EquityComparison(
            dates=nothing, incumbent=None, challenger=None, challenger_name=name, missing="the two share no day"
        )
    runs = np.array([*rows["live"], *rows.get("other", [])], dtype=np.intp)
    labels = agreed_labels(regimes, {panel.markets[run] for run in runs})
    return EquityComparison(
        dates=panel.dates[days],
        incumbent=None if first is None else first[days],
        challenger=None if second is None else second[days],
        challenger_name=name,
        n_incumbent=len(rows["live"]),
        n_challenger=len(rows.get("other", [])),
        missing="; ".join(missing),
        periods_per_year=_periods(panel, runs),
        labels=None if labels is None else labels[days],
    )


def _periods(panel: RunPanel, runs: NDArray[np.intp]) -> float | None:
    """Return the periods per year of some runs; None where they differ or are not known."""
    found = set(panel.periods_per_year[runs].tolist())
    return found.pop() if len(found) == 1 and all(periods > 0 for periods in found) else None


def changed(
    live: Mapping[str, JsonValue], *, knobs: Sequence[Knob], path: str, level: Level
) -> dict[str, JsonValue] | None:
    """Return the knobs of the live configuration with one changed, or None if it cannot be read at a declared path."""
    try:
        levels = {knob.path: level_to_json(level_at(live, knob.path)) for knob in knobs}
    except InputError:
        return None
    return {**levels, path: level_to_json(level)}


def _members(
    panel: RunPanel, paths: Sequence[str], wanted: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, list[int]]:
    keys = {name: level_key(dict(levels)) for name, levels in wanted.items()}
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for run, config in enumerate(panel.configs):
        try:
            key = level_key(knob_levels(config, paths))
        except InputError:
            continue
        for name, one in keys.items():
            if key == one:
                found[name].append(run)
    return found


def _mean(panel: RunPanel, runs: Sequence[int]) -> Floats | None:
    """Return the mean return of some runs by day, NaN on days without any; None if they have no returns at all."""
    if not runs:
        return None
    returns = panel.rows(np.array(runs, dtype=np.intp))
    traded = ~np.isnan(returns)
    if not traded.any():
        return None
    total = np.nan_to_num(returns).sum(axis=0) / np.maximum(traded.sum(axis=0), 1)
    return np.where(traded.any(axis=0), total, np.nan)
