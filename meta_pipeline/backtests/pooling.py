"""Pooling the figures of several runs into one set.

Belongs here: the weights. Which runs are pooled is for `aggregates` to say.

A run weighs with its years of returns: the variance of an annualised Sharpe ratio is close to 1 / years (Lo 2002,
The Statistics of Sharpe Ratios), so this is inverse-variance weighting, and two runs of 20 days cannot outvote ten of
ten years (A12). Cumulative returns of unequal windows are never averaged. The standard error counts each day once,
however many runs traded on it: runs of one campaign share the market's days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.metrics import summarize

Floats = NDArray[np.float64]

_MISSING: Final[Mapping[str, str]] = {
    "sharpe": "no run of the slice has a Sharpe ratio: too few returns, or they do not vary",
    "mean_return": "no run of the slice has returns",
    "volatility": "no run of the slice has two returns",
    "max_drawdown": "no run of the slice has returns",
    "win_rate": "every return is zero",
}


class PooledFigures(TypedDict):
    """The figures every aggregate has; None where one could not be computed."""

    sharpe: float | None
    mean_return: float | None
    volatility: float | None
    max_drawdown: float | None
    win_rate: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFigures:
    """Figures per run, each of shape (n_runs,); annualised where that applies, NaN where undefined."""

    n: Floats
    years: Floats
    sharpe: Floats
    mean_return: Floats
    volatility: Floats
    max_drawdown: Floats
    wins: Floats
    traded: Floats

    def __len__(self) -> int:
        return len(self.n)

    def take(self, runs: NDArray[np.intp]) -> "RunFigures":
        """Return the figures of some of the runs."""
        return RunFigures(**{name: getattr(self, name)[runs] for name in self.__dataclass_fields__})

    def spread(self, places: NDArray[np.intp]) -> "RunFigures":
        """Return the figures of runs that are at these places, shape (n,); -1: a run without returns, no figures."""
        there = places >= 0
        spread = {name: np.full(len(places), np.nan) for name in self.__dataclass_fields__}
        for name, values in spread.items():
            values[there] = getattr(self, name)[places[there]]
            if name in {"n", "years", "wins", "traded"}:
                values[~there] = 0.0
        return RunFigures(**spread)

    @classmethod
    def joined(cls, parts: "list[RunFigures]") -> "RunFigures":
        """Put the runs of several parts behind each other."""
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__})


def run_figures(by_run: Floats, periods_per_year: Floats) -> RunFigures:
    """Compute the figures of runs.

    Parameters
    ----------
    by_run
        Shape (n_runs, n_days), contiguous by run; NaN where a run has no observation.
    periods_per_year
        Shape (n_runs,); NaN leaves what is annualised undefined.
    """
    summary = summarize(by_run.T, np.where(periods_per_year > 0, periods_per_year, np.nan))
    wins, traded = np.empty(len(by_run)), np.empty(len(by_run))
    for run, returns in enumerate(by_run):  # row by row, in the cache: comparing the whole would copy it
        wins[run] = np.count_nonzero(returns > 0)
        traded[run] = wins[run] + np.count_nonzero(returns < 0)
    n = summary.n_observations.astype(np.float64)
    return RunFigures(
        n=n,
        years=n / periods_per_year,
        sharpe=summary.sharpe_ratio,
        mean_return=summary.mean_return,
        volatility=summary.volatility,
        max_drawdown=summary.max_drawdown,
        wins=wins,
        traded=traded,
    )


def pool(runs: RunFigures) -> PooledFigures:
    """Pool distinct runs: Sharpe ratio and mean return by years, variance by degrees of freedom, wins by number."""
    variance = weighted_mean(runs.volatility**2, np.maximum(runs.n - 1.0, 0.0))
    traded = float(runs.traded.sum())
    return {
        "sharpe": weighted_mean(runs.sharpe, runs.years),
        "mean_return": weighted_mean(runs.mean_return, runs.years),
        "volatility": None if variance is None else float(np.sqrt(variance)),
        "max_drawdown": smallest(runs.max_drawdown),
        "win_rate": float(runs.wins.sum()) / traded if traded > 0 else None,
    }


def missing_figures(figures: PooledFigures) -> dict[str, str]:
    """Say why figures pooled from returns are missing."""
    return {name: _MISSING[name] for name, value in figures.items() if value is None}


def spread(runs: RunFigures, *, n_days: int) -> dict[str, JsonValue]:
    """Describe how far the pooled runs lie apart, and how much their Sharpe ratio can be trusted.

    Parameters
    ----------
    n_days
        Different days among them.
    """
    n, years = float(runs.n.sum()), float(np.nansum(runs.years))
    calendar_years = n_days * years / n if n > 0 else 0.0
    defined = np.isfinite(runs.sharpe)
    return {
        "sharpe_standard_error": float(1.0 / np.sqrt(calendar_years)) if calendar_years > 0 and defined.any() else None,
        "sharpe_median": _median(runs.sharpe),
        "drawdown_median": _median(runs.max_drawdown),
        "run_years": years,
        "n_undefined_sharpe": int((~defined).sum()),
    }


def weighted_mean(values: Floats, weights: Floats) -> float | None:
    """Return the weighted mean of what is finite, None if nothing is."""
    known = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    return float(np.sum(values[known] * weights[known]) / np.sum(weights[known])) if known.any() else None


def smallest(values: Floats) -> float | None:
    """Return the smallest finite value, None if there is none."""
    known = values[np.isfinite(values)]
    return float(known.min()) if len(known) else None


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
