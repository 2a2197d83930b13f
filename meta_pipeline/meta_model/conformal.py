"""An adaptive threshold: the confidence asked for rises when the model is wrong more often than agreed, and falls back.

Online conformal prediction by quantile tracking (Gibbs and Candès, 2021; Angelopoulos, Candès and Tibshirani, 2023).
The set of actions with probability at least 1 - q misses the action that would have paid at most a chosen share of the
time, whatever the market does; the threshold is the confidence at which that set holds one action only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

DEFAULT_MISSES: Final = 0.40
DEFAULT_STEP: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveThreshold:
    """The tracked quantile; a value, `updated` makes the next.

    Parameters
    ----------
    quantile
        q: actions with probability at least 1 - q are in the set.
    misses
        Share of outcomes that may lie outside the set, between 0 and 1.
    step
        How far q moves per outcome, above 0. Larger follows drift faster and rests less.
    n, n_missed
        Outcomes seen, and those outside their set.

    Notes
    -----
    After n outcomes the share of misses is within (1 + 2 step) / (step n) of the agreed one, on every sequence: q
    is the start plus step times the excess of misses, and stays between -step and 1 + step.
    """

    quantile: float
    misses: float = DEFAULT_MISSES
    step: float = DEFAULT_STEP
    n: int = 0
    n_missed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.misses < 1.0:
            raise InputError(f"misses is {self.misses!r}; it must be between 0 and 1")
        if not 0.0 < self.step <= 1.0:
            raise InputError(f"step is {self.step!r}; it must be above 0 and at most 1")
        if not math.isfinite(self.quantile):
            raise InputError(f"quantile is {self.quantile!r}; it must be a number")

    @property
    def threshold(self) -> float:
        """Smallest confidence that leaves one action in the set, 0.5 or more; above 1 nothing does."""
        return max(self.quantile, 1.0 - self.quantile)

    @property
    def coverage(self) -> float | None:
        """Share of outcomes inside their set; None before the first."""
        return 1.0 - self.n_missed / self.n if self.n else None

    def contains(self, probability: float) -> bool:
        """Say whether an action of this probability is in the set."""
        return probability >= 1.0 - self.quantile

    def updated(self, probability_of_truth: float) -> "AdaptiveThreshold":
        """Return the threshold after one outcome, given the probability the model gave to what happened."""
        missed = not self.contains(probability_of_truth)
        return replace(
            self,
            quantile=self.quantile + self.step * (missed - self.misses),
            n=self.n + 1,
            n_missed=self.n_missed + missed,
        )

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the state, ready for JSON."""
        return {
            "quantile": self.quantile,
            "misses": self.misses,
            "step": self.step,
            "n": self.n,
            "n_missed": self.n_missed,
            "threshold": self.threshold,
        }


def first_threshold(
    reference_scores: Sequence[float], *, misses: float = DEFAULT_MISSES, step: float = DEFAULT_STEP
) -> AdaptiveThreshold:
    """Start at the quantile that would have held on reference scores.

    Parameters
    ----------
    reference_scores
        One minus the probability given to what happened, out of sample. Empty: start at 0.5.
    """
    scores = sorted(reference_scores)
    if not scores:
        return AdaptiveThreshold(quantile=0.5, misses=misses, step=step)
    rank = min(math.ceil((len(scores) + 1) * (1.0 - misses)), len(scores))
    return AdaptiveThreshold(quantile=scores[rank - 1], misses=misses, step=step)
