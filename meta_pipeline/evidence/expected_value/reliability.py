"""Whether past probabilities and claims held: Brier score and reliability of what was said.

Belongs here: what was said against what came. Does not belong here: what is made of it (probability, alarm).
"""

from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Final

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.expected_value.ledger import Ledger

EDGES: Final = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Outcomes whose probability lay in a range: how many, what was said on average, and the share that came."""

    lower: float
    upper: float
    n: int
    said: float
    came: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the bin as a canonical-JSON-safe object."""
        return {"lower": self.lower, "upper": self.upper, "n": self.n, "said": self.said, "came": self.came}


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What was said of changes whose outcome has ended, dead knobs left out.

    Parameters
    ----------
    n
        Outcomes with a probability.
    brier
        Mean squared difference of probability and outcome (a constant one half has .25); None without any.
    claimed, realised
        Means over outcomes with a claim, in annualised Sharpe ratio; None without any.
    bins
        Only those that hold outcomes.
    """

    n: int
    brier: float | None
    claimed: float | None
    realised: float | None
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as a canonical-JSON-safe object."""
        return {
            "n": self.n,
            "brier": self.brier,
            "claimed": self.claimed,
            "realised": self.realised,
            "bins": [found.to_json() for found in self.bins],
        }


def reliability(ledger: Ledger) -> Reliability:
    """Hold what was said against what came."""
    held = ledger.scored
    said = held.take(np.isfinite(held.probability))
    won = np.where(said.target == 0, 0.5, said.target > 0)
    place = np.clip(np.searchsorted(EDGES, said.probability, side="right") - 1, 0, len(EDGES) - 2)
    bins = []
    for index, (lower, upper) in enumerate(pairwise(EDGES)):
        inside = place == index
        if inside.any():
            n = int(inside.sum())
            mean, came = fsum(said.probability[inside].tolist()) / n, fsum(won[inside].tolist()) / n
            bins.append(Bin(lower=lower, upper=upper, n=n, said=mean, came=came))
    with np.errstate(invalid="ignore"):
        claimed = held.take(held.claimed > 0)
    return Reliability(
        n=len(said),
        brier=_mean((said.probability - won) ** 2),
        claimed=_mean(claimed.claimed),
        realised=_mean(claimed.target),
        bins=tuple(bins),
    )


def _mean(values: np.ndarray) -> float | None:
    return fsum(values.tolist()) / len(values) if len(values) else None
