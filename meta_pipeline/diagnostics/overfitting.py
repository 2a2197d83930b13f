"""How much of the best configuration may be luck, and how the configurations held over time.

Belongs here: statements about the choice of the best. Does not belong here: effects of single knobs (evidence).

Each configuration is one series here: the mean of its distinct runs on each day, so that the days are the sample and
not the runs. Series of one frequency only are compared.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.diagnostics.absolute import AbsoluteTests, absolute_tests
from meta_pipeline.diagnostics.configurations import Configurations
from meta_pipeline.diagnostics.records import Configuration
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY, summarize
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.sharpe import expected_maximum_sharpe_ratio
from meta_pipeline.proposals.candidate import finite

MINIMUM_DAYS: Final = 20
"""Days below which a half or a slice has no Sharpe ratio worth showing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Period:
    """One calendar slice: the Sharpe ratio of all configurations together, and of the live one.

    Parameters
    ----------
    start, end
        First and last day, ISO dates.
    """

    start: str
    end: str
    n_days: int
    sharpe: float | None
    sharpe_live: float | None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the period as a canonical-JSON-safe object."""
        return {
            "start": self.start,
            "end": self.end,
            "n_days": self.n_days,
            "sharpe": finite(self.sharpe),
            "sharpe_live": finite(self.sharpe_live),
            "missing": dict(self.missing),
        }


@dataclass(frozen=True, kw_only=True)
class SplitHalf:
    """What became, in the second half of the days, of the configuration that was best in the first.

    Parameters
    ----------
    split_at
        First day of the second half, ISO date.
    in_sample, out_of_sample
        Its annualised Sharpe ratio in each half.
    rank, n_configurations
        Its place in the second half (1 is best), among those that have figures in both.
    median_out_of_sample
        Of all of them in the second half: what a blind choice gives.
    rank_correlation
        Spearman's, between the halves: whether the order of the configurations lasts.
    """

    configuration_id: str | None = None
    split_at: str | None = None
    in_sample: float | None = None
    out_of_sample: float | None = None
    rank: int | None = None
    n_configurations: int = 0
    median_out_of_sample: float | None = None
    rank_correlation: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the comparison as a canonical-JSON-safe object."""
        return {
            "configuration_id": self.configuration_id,
            "split_at": self.split_at,
            "in_sample": finite(self.in_sample),
            "out_of_sample": finite(self.out_of_sample),
            "rank": self.rank,
            "n_configurations": self.n_configurations,
            "median_out_of_sample": finite(self.median_out_of_sample),
            "rank_correlation": finite(self.rank_correlation),
            "missing": dict(self.missing),
        }


@dataclass(frozen=True, kw_only=True)
class Overfitting:
    """How much of the best configuration may be luck.

    Parameters
    ----------
    n_trials
        Distinct trials ever scored: what the deflated Sharpe ratio counts.
    n_effective
        Effective number of independent ones: shown, never counted with.
    best
        The configuration with the highest Sharpe ratio.
    sharpe
        Of its returns, averaged over its runs day by day; annualised.
    luck
        The annualised Sharpe ratio that the best of as many trials without skill shows on average.
    deflated_sharpe
        Probability that its true Sharpe ratio is above that; `variance_convention` says how.
    absolute
        The same by both conventions, whether it is above zero at all, and how long a record that takes.
    """

    n_trials: int
    n_effective: float | None = None
    best: Configuration | None = None
    sharpe: float | None = None
    luck: float | None = None
    deflated_sharpe: float | None = None
    variance_convention: str = "estimate"
    absolute: AbsoluteTests | None = None
    split_half: SplitHalf = field(default_factory=SplitHalf)
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the panel as a canonical-JSON-safe object."""
        return {
            "n_trials": self.n_trials,
            "n_effective": finite(self.n_effective),
            "best": None if self.best is None else self.best.to_json(),
            "sharpe": finite(self.sharpe),
            "luck": finite(self.luck),
            "deflated_sharpe": finite(self.deflated_sharpe),
            "variance_convention": self.variance_convention,
            "absolute": None if self.absolute is None else self.absolute.to_json(),
            "split_half": self.split_half.to_json(),
            "missing": dict(self.missing),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scores:
    """Per configuration: Sharpe ratio per period over all days and in each half; NaN where there is none."""

    whole: Floats
    first: Floats
    second: Floats


def overfitting(
    panel: RunPanel, found: Configurations, *, n_trials: int, n_effective: float | None = None
) -> Overfitting:
    """Judge the configuration with the highest Sharpe ratio against all that were tried.

    Parameters
    ----------
    n_trials
        Distinct trials ever scored, at least those of the panel.
    n_effective
        Effective number of independent ones, for show.
    """
    periods, why = common_frequency(panel, found)
    if periods is None:
        return _nothing(n_trials, n_effective, why)
    scores = _scores(panel, found.members)
    if not np.isfinite(scores.whole).any():
        why = f"no configuration has {MINIMUM_DAYS} days of returns that vary"
        return _nothing(n_trials, n_effective, why)
    position = int(np.nanargmax(scores.whole))
    root = math.sqrt(periods)
    known = np.sort(scores.whole[np.isfinite(scores.whole)])
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else None
    series = summarize(daily_mean(panel, found.members[position]), 1.0)
    tests = absolute_tests(series, periods, n_trials=n_trials, variance_of_trials=variance)
    missing = {"deflated_sharpe": tests.missing["deflated"]} if "deflated" in tests.missing else {}
    if variance is None:
        missing["luck"] = tests.missing["deflated"]
    return Overfitting(
        n_trials=n_trials,
        n_effective=n_effective,
        best=found.all[position],
        sharpe=float(scores.whole[position]) * root,
        luck=None if variance is None else expected_maximum_sharpe_ratio(n_trials, variance) * root,
        deflated_sharpe=tests.deflated["estimate"],
        absolute=tests,
        split_half=_split_half(panel, found, scores, root),
        missing=missing,
    )


def _nothing(n_trials: int, n_effective: float | None, why: str) -> Overfitting:
    missing = dict.fromkeys(("best", "sharpe", "luck", "deflated_sharpe"), why)
    return Overfitting(
        n_trials=n_trials,
        n_effective=n_effective,
        split_half=SplitHalf(missing={"out_of_sample": why}),
        missing=missing,
    )


def common_frequency(panel: RunPanel, found: Configurations) -> tuple[float | None, str]:
    """Return the periods per year that all runs with returns share; else None and why."""
    used = [column for columns in found.members for column in columns]
    held = np.array([run for run in used if panel.columns[run] >= 0], dtype=np.intp)
    with_returns = ~np.isnan(panel.returns[:, panel.columns[held]]).all(axis=0)
    frequencies = {float(panel.periods_per_year[run]) for run in held[with_returns]}
    if not frequencies:
        return None, "no run has a return series"
    if len(frequencies) > 1:
        listed = ", ".join(f"{value:g}" for value in sorted(frequencies))
        return None, f"runs of different frequency ({listed} periods per year) are not compared"
    return frequencies.pop(), ""


def daily_mean(panel: RunPanel, columns: NDArray[np.intp]) -> Floats:
    """Return the mean of some runs on each day, shape (n_days,); NaN on days without any."""
    returns = panel.rows(columns).T
    there = ~np.isnan(returns)
    counts = there.sum(axis=1)
    totals = np.where(there, returns, 0.0).sum(axis=1)
    mean: Floats = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    return mean


def _sharpe(series: Floats) -> float:
    """Return the Sharpe ratio per period, NaN below `MINIMUM_DAYS` returns or without volatility."""
    known = series[~np.isnan(series)]
    if len(known) < MINIMUM_DAYS:
        return math.nan
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    return mean / deviation if deviation > ZERO_VOLATILITY * max(1.0, abs(mean)) else math.nan


def _scores(panel: RunPanel, members: Sequence[NDArray[np.intp]]) -> _Scores:
    middle = len(panel.dates) // 2
    table = np.full((3, len(members)), np.nan)
    for position, columns in enumerate(members):
        series = daily_mean(panel, columns)
        table[:, position] = (_sharpe(series), _sharpe(series[:middle]), _sharpe(series[middle:]))
    return _Scores(whole=table[0], first=table[1], second=table[2])


def _split_half(panel: RunPanel, found: Configurations, scores: _Scores, root: float) -> SplitHalf:
    both = np.flatnonzero(np.isfinite(scores.first) & np.isfinite(scores.second))
    if len(both) < 2:
        why = f"fewer than two configurations have {MINIMUM_DAYS} days in each half"
        missing = dict.fromkeys(("in_sample", "out_of_sample", "rank", "median_out_of_sample", "rank_correlation"), why)
        return SplitHalf(n_configurations=len(both), missing=missing)
    first, second = scores.first[both], scores.second[both]
    chosen = int(np.argmax(first))
    correlation = _rank_correlation(first, second)
    return SplitHalf(
        configuration_id=found.all[both[chosen]].configuration_id,
        split_at=str(panel.dates[len(panel.dates) // 2].astype("datetime64[D]")),
        in_sample=float(first[chosen]) * root,
        out_of_sample=float(second[chosen]) * root,
        rank=1 + int((second > second[chosen]).sum()),
        n_configurations=len(both),
        median_out_of_sample=float(np.median(second)) * root,
        rank_correlation=correlation,
        missing={} if correlation is not None else {"rank_correlation": "fewer than three distinct ranks"},
    )


def _rank_correlation(first: Floats, second: Floats) -> float | None:
    if len(np.unique(first)) < 3 or len(np.unique(second)) < 3:
        return None
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    # scipy.stats has this too, but takes over a second to import.
    _, positions, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = last - (counts - 1) / 2
    return shared[positions]


def periods(panel: RunPanel, found: Configurations, *, n_periods: int = 8) -> tuple[Period, ...]:
    """Return the Sharpe ratio in slices of equally many days: of all configurations together, and of the live one.

    Fewer slices where each would have fewer than `MINIMUM_DAYS` days; none without returns of one frequency.
    """
    frequency, _ = common_frequency(panel, found)
    if frequency is None:
        return ()
    root = math.sqrt(frequency)
    together = daily_mean(panel, np.concatenate(found.members))
    live = None if found.live is None else daily_mean(panel, found.members[found.live])
    n_slices = max(1, min(n_periods, len(panel.dates) // MINIMUM_DAYS))
    bounds = np.linspace(0, len(panel.dates), n_slices + 1).astype(np.intp)
    return tuple(_period(panel, slice(start, end), together, live, root) for start, end in pairwise(bounds))


def _period(panel: RunPanel, days: slice, together: Floats, live: Floats | None, root: float) -> Period:
    sharpe = _sharpe(together[days]) * root
    sharpe_live = math.nan if live is None else _sharpe(live[days]) * root
    missing = {}
    if not math.isfinite(sharpe):
        missing["sharpe"] = f"fewer than {MINIMUM_DAYS} days with returns that vary"
    if live is None:
        missing["sharpe_live"] = "no run replays the live configuration"
    elif not math.isfinite(sharpe_live):
        missing["sharpe_live"] = f"fewer than {MINIMUM_DAYS} days with returns that vary"
    dates = panel.dates[days].astype("datetime64[D]")
    return Period(
        start=str(dates[0]),
        end=str(dates[-1]),
        n_days=int((~np.isnan(together[days])).sum()),
        sharpe=sharpe if math.isfinite(sharpe) else None,
        sharpe_live=sharpe_live if math.isfinite(sharpe_live) else None,
        missing=missing,
    )
