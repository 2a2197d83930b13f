"""The acting threshold: the smallest confidence at which the share of wrong acted trades is bounded.

Learn then test (Angelopoulos, Bates, Candès, Jordan and Lei, 2021): thresholds are tried from the strictest down, each
by an exact binomial test, and the first that fails ends it. As the order is fixed beforehand, no correction for the
number of thresholds is owed.
"""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

GRID: Final = tuple(round(0.99 - 0.01 * step, 2) for step in range(67))
"""Thresholds tried, from 0.99 down to 0.33: below one third every answer is confident enough."""


@dataclass(frozen=True, kw_only=True)
class RiskControl:
    """What the search found.

    Parameters
    ----------
    threshold
        Smallest confidence whose error was bounded; None if there is none.
    max_error, level
        The bound on the share of acted trades that do not pay, and the confidence it is held with.
    n_acted, n_effective
        Acted trades at the threshold (at the strictest one tried, where there is none), and how many independent
        ones they are.
    error_rate, upper_bound
        Share of them that did not pay, and its upper confidence bound; None without trades.
    """

    threshold: float | None
    max_error: float
    level: float
    n_acted: int
    n_effective: float
    error_rate: float | None
    upper_bound: float | None

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def choose_threshold(
    confidence: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    uniqueness: NDArray[np.float64],
    *,
    max_error: float,
    level: float,
    minimum: float = 30.0,
) -> RiskControl:
    """Search the acting threshold.

    Parameters
    ----------
    confidence, wrong, uniqueness
        Shape (n,), of trades the model would make out of sample: its confidence, whether the trade did not pay, and
        what share of an independent observation it is.
    max_error
        Largest share of trades that may not pay, 0..1.
    level
        Confidence of the bound, 0..1.
    minimum
        Independent trades needed at the strictest threshold that is tried.
    """
    for name, value in (("max_error", max_error), ("level", level)):
        if not 0.0 < value < 1.0:
            raise InputError(f"{name} is {value!r}; it must be between 0 and 1")
    best: RiskControl | None = None
    for threshold in GRID:
        acted = confidence >= threshold
        effective = float(uniqueness[acted].sum())
        if effective < minimum:
            continue
        tried = _tested(threshold, acted, wrong, uniqueness, effective, max_error, level)
        assert tried.upper_bound is not None
        if tried.upper_bound > max_error:
            return best or _without_threshold(tried)
        best = tried
    if best is not None:
        return best
    return RiskControl(
        threshold=None, max_error=max_error, level=level, n_acted=len(confidence),
        n_effective=float(uniqueness.sum()), error_rate=float(wrong.mean()) if len(wrong) else None, upper_bound=None,
    )  # fmt: skip


def upper_bound(n_wrong: float, n: float, level: float) -> float:
    """Return the exact upper confidence bound of a share (Clopper and Pearson, 1934); counts need not be whole."""
    from scipy.stats import beta

    return 1.0 if n_wrong >= n else float(beta.ppf(level, n_wrong + 1.0, n - n_wrong))


def _tested(
    threshold: float,
    acted: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    uniqueness: NDArray[np.float64],
    effective: float,
    max_error: float,
    level: float,
) -> RiskControl:
    rate = float((wrong[acted] * uniqueness[acted]).sum() / effective)
    return RiskControl(
        threshold=threshold,
        max_error=max_error,
        level=level,
        n_acted=int(acted.sum()),
        n_effective=effective,
        error_rate=rate,
        upper_bound=upper_bound(rate * effective, effective, level),
    )


def _without_threshold(tried: RiskControl) -> RiskControl:
    return RiskControl(**{**asdict(tried), "threshold": None})
