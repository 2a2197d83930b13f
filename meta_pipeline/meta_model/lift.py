"""Lift: what one way of deciding earned more than another, on the same decisions, with an interval."""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.bootstrap import studentised_draws
from meta_pipeline.evidence.longrun import automatic_block_length, sum_variance

FEWEST_INSTANTS: Final = 10

MOST_INSTANTS: Final = 5000
"""Of more instants, neighbours are summed before they are resampled: blocks hide them anyhow, and the resamples of
40,000 instants would cost 300 MB."""


@dataclass(frozen=True, kw_only=True)
class Lift:
    """A mean difference per decision, with its interval by block bootstrap.

    Parameters
    ----------
    estimate
        Mean difference, in the unit of what was compared (per cent of net return, or share of right answers).
    lower, upper
        Interval of confidence `level`; None where there are too few instants for one.
    level
        Its confidence, two-sided.
    block_length, n_instants, n_decisions
        Instants per block, instants and decisions compared.
    """

    estimate: float
    lower: float | None
    upper: float | None
    level: float
    block_length: int
    n_instants: int
    n_decisions: int

    @property
    def is_positive(self) -> bool:
        """Whether the interval lies above zero."""
        return self.lower is not None and self.lower > 0.0

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def lift(
    difference: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    *,
    level: float,
    n_draws: int,
    generator: np.random.Generator,
) -> Lift:
    """Estimate a mean difference and its interval.

    Parameters
    ----------
    difference
        Shape (n,): what the one earned more than the other, per decision.
    starts, ends
        Shape (n,), microseconds, sorted by start. Decisions of one instant are resampled together, and blocks are at
        least as long as the labels overlap.
    level
        Confidence of the two-sided interval, 0..1.
    n_draws, generator
        Number of resamples, and where they come from.

    Notes
    -----
    The studentised circular block bootstrap of `evidence.bootstrap`. Differences that are all the same (two ways that
    always decide alike) have an interval of no width.
    """
    instants, instant_of = np.unique(starts, return_inverse=True)
    n, n_instants = len(difference), len(instants)
    estimate = float(difference.mean()) if n else 0.0
    if n_instants < FEWEST_INSTANTS:
        return Lift(
            estimate=estimate, lower=None, upper=None, level=level,
            block_length=1, n_instants=n_instants, n_decisions=n,
        )  # fmt: skip
    # The influence of each instant on the mean over all decisions: they sum to zero.
    together = -(-n_instants // MOST_INSTANTS)
    group_of = instant_of // together
    influence = np.bincount(group_of, weights=(difference - estimate) / n).astype(np.float64)[:, None]
    block = _block_length(influence, instants[::together], starts, ends)
    error = float(np.sqrt(sum_variance(influence, bandwidth=block)[0]))
    draws = studentised_draws(influence, block_length=block, n_draws=n_draws, generator=generator)[:, 0]
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Lift(
        estimate=estimate,
        lower=estimate - float(high) * error,
        upper=estimate - float(low) * error,
        level=level,
        block_length=block * together,
        n_instants=n_instants,
        n_decisions=n,
    )


def _block_length(
    influence: NDArray[np.float64],
    instants: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> int:
    """Return instants per block: as long as the typical label lives, or longer if the series remembers more."""
    alive = np.searchsorted(instants, ends, side="right") - np.searchsorted(instants, starts, side="left")
    wanted = max(float(automatic_block_length(influence)[0]), float(np.median(alive)))
    return int(np.clip(np.ceil(wanted), 1, len(instants) // 2))
