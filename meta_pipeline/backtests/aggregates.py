"""Performance by strategy, market, regime, sector and configuration, pooled over runs.

Belongs here: pooling, pure. Does not belong here: comparing configurations (evidence), or which of
them are worth a researcher's attention (diagnostics).

Identical return series count once; how the rest is weighted is in `pooling`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
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
    spread,
    weighted_mean,
)
from meta_pipeline.backtests.reported import DRAWDOWN, SHARPE, VOLATILITY
from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.records import Records

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

UNLABELLED: Final = "unlabelled"
"""The regime of days that have no label, where other days have one: so that the slices add up to the whole."""

FIGURES: Final = ("sharpe", "mean_return", "volatility", "max_drawdown", "win_rate")


class Dimension(StrEnum):
    """What an aggregate is about."""

    STRATEGY = "strategy"
    MARKET = "market"
    REGIME = "regime"
    SECTOR = "sector"
    CONFIG = "config"
    STATE = "state"


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Pooled figures of some runs. A figure that could not be computed is None, and `missing` says why.

    Parameters
    ----------
    dimension, label
        Which slice. The label of a configuration is its digest, that of a state its name, for runs in quarantine
        `quarantined:<reason code>`.
    n_runs
        Runs in the slice, copies and metrics-only runs included.
    n_distinct
        Different ones among them: return series, or for metrics-only runs what they report.
    n_days
        Different days on which any of them has a return.
    sharpe
        Annualised, mean over distinct runs weighted by years.
    mean_return
        Arithmetic, annualised, as a fraction.
    volatility
        Annualised: the root of the pooled variance.
    max_drawdown
        The deepest of any single run, so the smallest number: -0.3 is worse than -0.1. Never of pooled equity.
    win_rate
        Share of positive returns among all returns that are not zero.
    body
        More about the slice, as JSON.
    """

    dimension: Dimension
    label: str
    n_runs: int
    n_distinct: int
    n_days: int = 0
    sharpe: float | None = None
    mean_return: float | None = None
    volatility: float | None = None
    max_drawdown: float | None = None
    win_rate: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, JsonValue] = field(default_factory=dict)


def aggregate(
    panel: RunPanel,
    *,
    strategy_id: str,
    regimes: Mapping[str, NDArray[np.str_]] | None = None,
    states: Mapping[str, int] | None = None,
    distinct_series: Mapping[str, int] | None = None,
) -> tuple[Aggregate, ...]:
    """Aggregate the runs of one strategy in every dimension.

    Parameters
    ----------
    panel
        Accepted and metrics-only runs. Runs with returns carry the figures; metrics-only runs count, and carry a slice
        only where it has no returns at all.
    strategy_id
        Label of the whole.
    regimes
        Per market (or "" for all others) the label of each of the panel's dates, shape (n_days,), known when that day
        begins; an empty text is no label. A market without labels is in no regime, and without any label there are no
        regime aggregates: none is made up (A19).
    states, distinct_series
        Number of all runs, and of different series among them, by state: what the quality gate made of them.

    Returns
    -------
    Ordered by dimension, then label; independent of the order of runs.
    """
    order = np.argsort(np.asarray(panel.run_ids, dtype=np.str_), kind="stable")
    by_run, places = panel.returns.T, panel.columns
    there = places >= 0
    observed: NDArray[np.bool_] = ~np.isnan(by_run)
    with_series = np.zeros(panel.n_runs, dtype=np.bool_)
    with_series[there] = np.asarray(observed.any(axis=1))[places[there]]
    periods = np.full(len(by_run), np.nan)
    periods[places[there]] = panel.periods_per_year[there]
    configs = Records.of(panel.configs).texts()
    slicer = _Slicer(
        panel=panel,
        observed=observed,
        with_series=with_series,
        identities=_identities(panel, by_run, with_series, configs),
        figures=run_figures(by_run, periods).spread(places),
    )
    everyone: list[int] = order.tolist()
    found = [slicer.pool(Dimension.STRATEGY, strategy_id, everyone)] if everyone else []
    for dimension, labels in ((Dimension.MARKET, panel.markets), (Dimension.SECTOR, panel.sectors)):
        found += [slicer.pool(dimension, label, runs) for label, runs in _groups(everyone, labels) if label]
    for text, runs in _groups(everyone, configs):
        label = hashlib.sha256(text.encode("utf-8")).hexdigest()
        found.append(slicer.pool(Dimension.CONFIG, label, runs, {"config": panel.configs[runs[0]]}))
    found += _by_regime(slicer, everyone, regimes or {})
    found += _by_state(states or {}, distinct_series or {})
    rank = {dimension: position for position, dimension in enumerate(Dimension)}
    return tuple(sorted(found, key=lambda one: (rank[one.dimension], one.label)))


def _groups(runs: Iterable[int], labels: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for run in runs:
        groups.setdefault(labels[run], []).append(run)
    yield from groups.items()


def _identities(
    panel: RunPanel, by_run: Floats, with_series: NDArray[np.bool_], configs: Sequence[str]
) -> NDArray[np.int64]:
    """Give each run a number; two have the same one exactly when they are copies of each other."""
    numbers: dict[object, int] = {}
    identities, places = np.empty(panel.n_runs, dtype=np.int64), panel.columns
    for run in range(panel.n_runs):
        key: object
        if with_series[run]:
            # Adding zero turns -0.0 into 0.0, so that equal returns have equal bytes.
            key = (hashlib.sha256((by_run[places[run]] + 0.0).data).digest(), float(panel.periods_per_year[run]))
        else:
            key = (configs[run], panel.blocks[run], tuple(sorted(panel.reported[run].items())))
        identities[run] = numbers.setdefault(key, len(numbers))
    return identities


@dataclass(frozen=True, kw_only=True, eq=False)
class _Slicer:
    """Everything that slices are cut from; runs are rows."""

    panel: RunPanel
    observed: NDArray[np.bool_]
    with_series: NDArray[np.bool_]
    identities: NDArray[np.int64]
    figures: RunFigures

    def distinct(self, runs: Sequence[int]) -> tuple[Indices, Indices]:
        """Return the first of each set of copies: those with returns, and those without."""
        members = np.asarray(runs, dtype=np.intp)
        _, first = np.unique(self.identities[members], return_index=True)
        chosen = members[np.sort(first)]
        return chosen[self.with_series[chosen]], chosen[~self.with_series[chosen]]

    def pool(
        self,
        dimension: Dimension,
        label: str,
        runs: Sequence[int],
        body: Mapping[str, JsonValue] | None = None,
    ) -> Aggregate:
        """Pool the runs of a slice over all their days."""
        series, reports = self.distinct(runs)
        n_without = len(runs) - int(self.with_series[np.asarray(runs, dtype=np.intp)].sum())
        counts: dict[str, JsonValue] = {**(body or {}), "n_metrics_only": n_without}
        if len(series) == 0:
            return _from_reports(self.panel, dimension, label, runs, reports, counts)
        n_days = int(self.observed[series].any(axis=0).sum())
        return _pooled(
            dimension,
            label,
            self.figures.take(series),
            n_runs=len(runs),
            n_distinct=len(series) + len(reports),
            n_days=n_days,
            body=counts,
        )


def _pooled(
    dimension: Dimension,
    label: str,
    runs: RunFigures,
    *,
    n_runs: int,
    n_distinct: int,
    n_days: int,
    body: Mapping[str, JsonValue],
) -> Aggregate:
    """Pool figures of distinct runs."""
    figures = pool(runs)
    return Aggregate(
        dimension=dimension,
        label=label,
        n_runs=n_runs,
        n_distinct=n_distinct,
        n_days=n_days,
        missing=missing_figures(figures),
        body={**body, "basis": "returns", **spread(runs, n_days=n_days)},
        **figures,
    )


def _from_reports(
    panel: RunPanel,
    dimension: Dimension,
    label: str,
    runs: Sequence[int],
    reports: Indices,
    body: Mapping[str, JsonValue],
) -> Aggregate:
    """Pool what metrics-only runs report, each counting once: their numbers of days are unknown."""

    def reported(name: str) -> Floats:
        given = [panel.reported[run].get(name) for run in reports]
        return np.array([np.nan if value is None else value for value in given], dtype=np.float64)

    equal = np.ones(len(reports))
    variance = weighted_mean(reported(VOLATILITY) ** 2, equal)
    figures: PooledFigures = {
        "sharpe": weighted_mean(reported(SHARPE), equal),
        "mean_return": None,
        "volatility": None if variance is None else float(np.sqrt(variance)),
        "max_drawdown": smallest(reported(DRAWDOWN)),
        "win_rate": None,
    }
    missing = {name: "not reported" for name, value in figures.items() if value is None}
    missing |= dict.fromkeys(("mean_return", "win_rate"), "no run of the slice has returns")
    return Aggregate(
        dimension=dimension,
        label=label,
        n_runs=len(runs),
        n_distinct=len(reports),
        missing=missing,
        body={**body, "basis": "reported"},
        **figures,
    )


def _by_regime(
    slicer: _Slicer, everyone: Sequence[int], regimes: Mapping[str, NDArray[np.str_]]
) -> Iterator[Aggregate]:
    """Pool each regime over the days on which a run's market was in it.

    Drawdowns are of the equity compounded over those days alone.
    """
    slices: dict[str, list[tuple[Indices, NDArray[np.bool_]]]] = {}
    for market, runs in _groups(everyone, slicer.panel.markets):
        labels = regimes.get(market, regimes.get(""))
        series = [run for run in runs if slicer.with_series[run]]
        if labels is None or not series or not bool(np.any(labels != "")):
            continue
        for label in np.unique(labels).tolist():
            slices.setdefault(label or UNLABELLED, []).append((np.asarray(series, dtype=np.intp), labels == label))
    for label, parts in sorted(slices.items()):
        yield from _regime(slicer, label, parts)


def _regime(slicer: _Slicer, label: str, parts: Sequence[tuple[Indices, NDArray[np.bool_]]]) -> Iterator[Aggregate]:
    by_run, places = slicer.panel.returns.T, slicer.panel.columns
    figures: list[RunFigures] = []
    days = np.zeros(by_run.shape[1], dtype=np.bool_)
    n_runs = 0
    for series, on_days in parts:
        present = series[slicer.observed[np.ix_(places[series], on_days)].any(axis=1)]
        n_runs += len(present)
        chosen, _ = slicer.distinct(present.tolist())
        if len(chosen):
            cut = np.ascontiguousarray(by_run[places[chosen]][:, on_days])
            figures.append(run_figures(cut, slicer.panel.periods_per_year[chosen]))
            days |= on_days & slicer.observed[places[chosen]].any(axis=0)
    if not figures:
        return
    pooled = RunFigures.joined(figures)
    yield _pooled(
        Dimension.REGIME, label, pooled, n_runs=n_runs, n_distinct=len(pooled), n_days=int(days.sum()), body={}
    )


def _by_state(states: Mapping[str, int], distinct: Mapping[str, int]) -> Iterator[Aggregate]:
    for state, count in states.items():
        why = dict.fromkeys(FIGURES, "counts only")
        yield Aggregate(
            dimension=Dimension.STATE, label=state, n_runs=count, n_distinct=distinct.get(state, count), missing=why
        )
