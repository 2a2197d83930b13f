"""Absolute tests of one configuration's Sharpe ratio: above zero, above luck, and on a record that is long enough.

Belongs here: what is asked of `evidence.sharpe`, and in which unit it is told. Does not belong here: which
configuration is asked about (overfitting).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.metrics import Summary
from meta_pipeline.evidence.sharpe import (
    VarianceAt,
    deflated_sharpe_ratio,
    minimum_backtest_length,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)
from meta_pipeline.proposals.candidate import finite

CONVENTIONS: Final[tuple[VarianceAt, ...]] = ("estimate", "null")
"""Where the variance of an estimated Sharpe ratio is taken: at the estimate (2012, the usual), or the null (2025)."""
CONFIDENCE: Final = 0.95
NO_VARIANCE: Final = "the moments of the returns give the estimate no variance"


@dataclass(frozen=True, kw_only=True)
class AbsoluteTests:
    """What one Sharpe ratio is worth by itself.

    Parameters
    ----------
    probabilistic
        Probability that it is above zero, by convention (`CONVENTIONS`).
    deflated
        Probability that it is above what the best of all trials shows by luck, by convention.
    years
        Of returns that there are.
    track_record_years
        Years of returns from which a Sharpe ratio of this size is above zero at 95 %. None: it is not above zero.
    backtest_years
        Years below which the best of as many trials without skill shows such a Sharpe ratio by luck.
    missing
        For each figure that is None: why.
    """

    years: float
    probabilistic: Mapping[str, float | None] = field(default_factory=dict)
    deflated: Mapping[str, float | None] = field(default_factory=dict)
    track_record_years: float | None = None
    backtest_years: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the tests as a canonical-JSON-safe object."""
        numbers = ("years", "track_record_years", "backtest_years")
        return asdict(self) | {
            **{name: finite(getattr(self, name)) for name in numbers},
            "probabilistic": {name: finite(value) for name, value in self.probabilistic.items()},
            "deflated": {name: finite(value) for name, value in self.deflated.items()},
            "missing": dict(self.missing),
        }


def absolute_tests(
    best: Summary, periods_per_year: float, *, n_trials: int, variance_of_trials: float | None
) -> AbsoluteTests:
    """Test the Sharpe ratio of one series.

    Parameters
    ----------
    best
        Of the series alone, its Sharpe ratio *per period* (summarised with one period per year).
    periods_per_year
        To tell periods as years.
    n_trials
        All distinct trials ever scored.
    variance_of_trials
        Of the Sharpe ratios per period across trials; None: not known, and then nothing is deflated.
    """
    sharpe, n = float(best.sharpe_ratio[0]), int(best.n_observations[0])
    skewness, kurtosis = float(best.skewness[0]), float(best.kurtosis[0])
    missing: dict[str, str] = {}
    probabilistic: dict[str, float | None] = {
        at: finite(probabilistic_sharpe_ratio(sharpe, n, skewness=skewness, kurtosis=kurtosis, variance_at=at))
        for at in CONVENTIONS
    }
    deflated: dict[str, float | None] = dict.fromkeys(CONVENTIONS)
    if variance_of_trials is None:
        missing["deflated"] = "one configuration only: the spread between trials is not known"
    else:
        deflated = {
            at: finite(
                deflated_sharpe_ratio(
                    sharpe,
                    n,
                    n_trials=n_trials,
                    variance_of_trials=variance_of_trials,
                    skewness=skewness,
                    kurtosis=kurtosis,
                    variance_at=at,
                )
            )
            for at in CONVENTIONS
        }
    for name, values in (("probabilistic", probabilistic), ("deflated", deflated)):
        if None in values.values():
            missing.setdefault(name, NO_VARIANCE)
    periods = minimum_track_record_length(sharpe, skewness=skewness, kurtosis=kurtosis, confidence=CONFIDENCE)
    needed = periods / periods_per_year
    if not math.isfinite(needed):
        missing["track_record_years"] = "no record is long enough: the Sharpe ratio is not above zero"
    backtest = None
    if sharpe > 0:
        backtest = minimum_backtest_length(n_trials, sharpe) / periods_per_year
    else:
        missing["backtest_years"] = "the Sharpe ratio is not above zero"
    return AbsoluteTests(
        years=n / periods_per_year,
        probabilistic=probabilistic,
        deflated=deflated,
        track_record_years=finite(needed),
        backtest_years=finite(backtest),
        missing=missing,
    )
