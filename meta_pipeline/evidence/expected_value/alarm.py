"""The alarm: what came of late is less than half of what was claimed.

Belongs here: realised over claimed of the last outcomes. Does not belong here: what is claimed instead (learning).
"""

from dataclasses import dataclass
from math import fsum
from typing import Final

import numpy as np

from meta_pipeline.counted import counted
from meta_pipeline.evidence.expected_value.ledger import Ledger

LAST: Final = 60
"""Outcomes that are looked at: the last ones with a positive claim, and all that ended on the first one's day."""
HALF: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Realised against claimed.

    Parameters
    ----------
    ratio
        Sum of realised effects over sum of claims of the last outcomes; NaN where fewer than 60 have a claim.
    n_outcomes
        How many outcomes that is.
    sounded
        Whether the ratio is below one half, over all of them and over the later half of them as well.
    """

    ratio: float
    n_outcomes: int
    sounded: bool

    @property
    def sentence(self) -> str | None:
        """Say what was done about it, or None where nothing was."""
        if not self.sounded:
            return None
        return (
            f"of what was claimed, {self.ratio:.2f} came in the last {counted(self.n_outcomes, 'outcome')}: "
            "all claims are halved until that share is one half again"
        )


def sound(ledger: Ledger) -> Alarm:
    """Compare what was claimed with what came. Only rows with a positive claim count; pseudo-outcomes have none."""
    with np.errstate(invalid="ignore"):
        claimed = ledger.take(ledger.claimed > 0)
    if len(claimed) < LAST:
        return Alarm(ratio=float("nan"), n_outcomes=len(claimed), sounded=False)
    last = _last(claimed, LAST)
    ratio = _ratio(last)
    return Alarm(ratio=ratio, n_outcomes=len(last), sounded=ratio < HALF and _ratio(_last(last, LAST // 2)) < HALF)


def _last(ledger: Ledger, n: int) -> Ledger:
    """Return the n rows that ended last, and all that ended on the same day as the first of these."""
    return ledger.take(ledger.outcome_end >= np.sort(ledger.outcome_end)[-n])


def _ratio(ledger: Ledger) -> float:
    return fsum(ledger.target.tolist()) / fsum(ledger.claimed.tolist())
