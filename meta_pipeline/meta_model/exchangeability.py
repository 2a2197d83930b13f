"""The exchangeability alarm: says when outcomes no longer look like those the model was tested on.

A conformal test martingale: each outcome is ranked among all before it, and a gambler bets against the ranks being
uniform. Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, Retrain or not retrain (2021): the Simple Jumper,
watched by CUSUM. While outcomes stay exchangeable, the mean number of outcomes between false alarms is at least
`limit`.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

LIMIT: Final = 500.0
_BETS: Final = (-1.0, 0.0, 1.0)
_JUMP: Final = 0.01
"""Share of the capital that changes its bet with each outcome, the paper's choice."""


@dataclass(frozen=True, kw_only=True)
class AlarmReport:
    """What watching found.

    Parameters
    ----------
    n
        Outcomes watched.
    statistic, largest
        CUSUM now, and the largest it was.
    limit
        Where the alarm is raised.
    raised_at
        Index of the outcome that raised it, None if none did.
    """

    n: int
    statistic: float
    largest: float
    limit: float
    raised_at: int | None

    @property
    def raised(self) -> bool:
        """Whether the alarm was raised."""
        return self.raised_at is not None

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the report, ready for JSON."""
        return {
            "n": self.n,
            "statistic": self.statistic,
            "largest": self.largest,
            "limit": self.limit,
            "raised_at": self.raised_at,
            "raised": self.raised,
        }


class ExchangeabilityMonitor:
    """Watches scores one by one.

    Parameters
    ----------
    reference
        Scores of outcomes the model was tested on.
    generator
        Breaks ties of rank.
    limit
        Alarm level: mean number of outcomes between false alarms, at least.
    """

    def __init__(self, reference: Iterable[float], *, generator: np.random.Generator, limit: float = LIMIT) -> None:
        if not limit > 1.0:
            raise InputError(f"limit is {limit!r}; it must be above 1 outcome between false alarms")
        self._scores = sorted(reference)
        self._generator = generator
        self._limit = limit
        self._capital = [1.0 / len(_BETS)] * len(_BETS)
        self._n = 0
        self._statistic = self._largest = 1.0
        self._raised_at: int | None = None

    def add(self, score: float) -> float:
        """Watch one score (larger is worse); returns the statistic."""
        growth = self._bet(self._rank(score))
        insort(self._scores, score)
        # CUSUM: the gain since the best moment to have started betting.
        self._statistic = max(self._statistic, 1.0) * growth
        self._largest = max(self._largest, self._statistic)
        if self._raised_at is None and self._statistic >= self._limit:
            self._raised_at = self._n
        self._n += 1
        return self._statistic

    def report(self) -> AlarmReport:
        """Return what was found so far."""
        return AlarmReport(
            n=self._n,
            statistic=self._statistic,
            largest=self._largest,
            limit=self._limit,
            raised_at=self._raised_at,
        )

    def _rank(self, score: float) -> float:
        """Return the share of scores above, ties and itself counted by a random part: uniform if exchangeable."""
        low, high = bisect_left(self._scores, score), bisect_right(self._scores, score)
        above, equal = len(self._scores) - high, high - low + 1
        return (above + float(self._generator.uniform()) * equal) / (len(self._scores) + 1)

    def _bet(self, rank: float) -> float:
        total = sum(self._capital)
        mixed = [(1.0 - _JUMP) * capital + _JUMP * total / len(_BETS) for capital in self._capital]
        won = [capital * (1.0 + bet * (rank - 0.5)) for capital, bet in zip(mixed, _BETS, strict=True)]
        growth = sum(won) / total
        # Only ratios matter; kept at a sum of one, the capital can neither overflow nor vanish.
        self._capital = [capital / sum(won) for capital in won]
        return growth


def watch(reference: Iterable[float], scores: Iterable[float], *, seed: int, limit: float = LIMIT) -> AlarmReport:
    """Watch a sequence of scores from its start. A function of its arguments."""
    monitor = ExchangeabilityMonitor(reference, generator=np.random.default_rng(seed), limit=limit)
    for score in scores:
        monitor.add(score)
    return monitor.report()


def disjoint_rows(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose rows whose labels do not overlap, the earliest first: overlapping ones are not exchangeable.

    Parameters
    ----------
    starts, ends
        Shape (n,), microseconds, sorted by start.
    """
    chosen, free_from = [], None
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if free_from is None or start >= free_from:
            chosen.append(row)
            free_from = max(end, start + 1)
    return np.array(chosen, dtype=np.int64)
