"""Which strategies may trade: the documented choice, and one that looks at correlation and may choose none.

Caps are hard, and nothing is filled up: where no strategy qualifies, none is allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.policy.scores import TOLERANCE_OF_SCORE, Flags, Floats

MOST: Final[Mapping[RiskMode, int]] = MappingProxyType(
    {RiskMode.DEFENSIVE: 4, RiskMode.NORMAL: 8, RiskMode.AGGRESSIVE: 10}
)
"""The most strategies of each mode, as documented."""

CLASSIC_FLOOR: Final = 0.3
"""A documented score qualifies above this."""

REDUNDANT: Final = 0.85
"""Correlation of daily returns from which on two strategies are one bet."""

FEWEST_DAYS: Final = 20
"""Days on which one of two strategies moved, below which their correlation is not judged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The chosen strategies.

    Parameters
    ----------
    chosen
        Indices, the best first.
    codes
        Shape (n_strategies,): why each was not chosen, "" for the chosen.
    """

    chosen: tuple[int, ...]
    codes: NDArray[np.str_]


def choose_classic(scores: Floats, objections: NDArray[np.str_], *, mode: RiskMode, most: int) -> Selection:
    """Choose the best documented scores above 0.3, up to the cap of the mode and `most`."""
    codes = _coded(objections)
    codes[(codes == "") & ~(scores > CLASSIC_FLOOR + TOLERANCE_OF_SCORE)] = "low_score"
    return _best(scores, codes, cap=most_of(mode, most))


def choose(
    bounds: Floats,
    objections: NDArray[np.str_],
    *,
    suitable: Flags,
    returns: Floats,
    mode: RiskMode,
    most: int,
) -> Selection:
    """Choose the best positive lower bounds, no two of them one bet.

    Parameters
    ----------
    bounds
        Lower confidence bound of each strategy's net edge; NaN where there is none.
    suitable
        Whether each may trade in the present regime.
    returns
        Shape (n_days, n_strategies), daily returns: what correlation is measured on.
    """
    codes = _coded(objections)
    codes[(codes == "") & np.isnan(bounds)] = "no_variation"
    codes[(codes == "") & ~suitable] = "not_for_this_regime"
    codes[(codes == "") & ~(bounds > 0.0)] = "edge_not_proven"
    cap = most_of(mode, most)
    chosen: list[int] = []
    standard: list[Floats] = []
    candidates = np.flatnonzero(codes == "")
    for index in candidates[np.argsort(-bounds[candidates], kind="stable")].tolist():
        if len(chosen) == cap:
            codes[index] = "beyond_the_cap"
            continue
        own = _standardised(returns[:, index])
        if own is not None and any(float(own @ other) > REDUNDANT for other in standard):
            codes[index] = "same_bet"
            continue
        chosen.append(index)
        if own is not None:
            standard.append(own)
    return Selection(chosen=tuple(chosen), codes=codes)


def _standardised(returns: Floats) -> Floats | None:
    """Return a series with mean zero and length one, or None if it hardly moved: then nothing correlates with it."""
    if int(np.count_nonzero(returns)) < FEWEST_DAYS:
        return None
    centred = returns - returns.mean()
    length = float(np.sqrt(centred @ centred))
    return centred / length if length > 0 else None


def _best(scores: Floats, codes: NDArray[np.str_], *, cap: int) -> Selection:
    candidates = np.flatnonzero(codes == "")
    ranked = candidates[np.argsort(-scores[candidates], kind="stable")]
    codes[ranked[cap:]] = "beyond_the_cap"
    return Selection(chosen=tuple(ranked[:cap].tolist()), codes=codes)


def most_of(mode: RiskMode, most: int) -> int:
    """Return how many strategies may be allowed: the cap of the mode, and the configured one."""
    return max(min(MOST[mode], most), 0)


def _coded(objections: NDArray[np.str_]) -> NDArray[np.str_]:
    return objections.astype("<U24")
