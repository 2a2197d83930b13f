"""The proposer's score: what proposals of each type claimed, and what their changes brought."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

from meta_pipeline.canonical import JsonValue
from meta_pipeline.proposals.candidate import finite

CONFIDENCE: Final = 0.90
OVERCLAIM: Final = 0.5
"""Realised over claimed below which the claims are called too large."""
JOINT: Final = "several types together"
"""Row of changes of different types that were applied together: their one outcome is no single type's."""


@dataclass(frozen=True, kw_only=True)
class ScoredChange:
    """One judged change: its proposal's type, what was claimed, and what was realised (None: not known yet).

    `n_changes`: how many were applied together and have this one outcome; `claimed` is then the sum of their claims.
    `jointly`: applied together with changes of other types, so that its outcome is in the row `JOINT`, and not here.
    """

    proposal_type: str
    claimed: float | None
    realised: float | None
    verdict: str
    n_changes: int = 1
    jointly: bool = False


@dataclass(frozen=True, kw_only=True)
class Score:
    """Expected against realised improvement of one type of proposals, in annualised Sharpe ratio.

    Parameters
    ----------
    n_changes, n_realised
        Changes applied, and outcomes that can be held against a claim: those applied together have one.
    claimed, realised
        Means over the latter; None if there are none.
    lower, upper
        Student's interval of the mean realised improvement; None with fewer than two.
    verdicts
        Verdict -> number of changes.
    reason
        Why something is None.
    n_joint
        Those of `n_changes` that were applied together with changes of other types. What they brought jointly is
        held against the sum of their claims in the row `JOINT`, which counts them again; it is in no figure here.
    """

    proposal_type: str
    n_changes: int
    n_realised: int
    claimed: float | None
    realised: float | None
    lower: float | None
    upper: float | None
    verdicts: Mapping[str, int]
    reason: str | None = None
    n_joint: int = 0

    @property
    def ratio(self) -> float | None:
        """Realised over claimed, None if nothing was claimed."""
        if self.claimed is None or self.realised is None or not self.claimed > 0:
            return None
        return self.realised / self.claimed

    @property
    def overclaims(self) -> bool:
        """Whether even the upper end of what was realised is below half of what was claimed."""
        return self.upper is not None and self.claimed is not None and self.upper < OVERCLAIM * self.claimed

    def to_json(self) -> dict[str, JsonValue]:
        """Return the score as a JSON object."""
        return {
            "proposal_type": self.proposal_type,
            "n_changes": self.n_changes,
            "n_realised": self.n_realised,
            "claimed": finite(self.claimed),
            "realised": finite(self.realised),
            "lower": finite(self.lower),
            "upper": finite(self.upper),
            "ratio": finite(self.ratio),
            "overclaims": self.overclaims,
            "verdicts": dict(self.verdicts),
            "reason": self.reason,
            "n_joint": self.n_joint,
        }


def score(changes: Iterable[ScoredChange]) -> tuple[Score, ...]:
    """Score every type of proposals, by name, and after them what was applied across types."""
    by_type: dict[str, list[ScoredChange]] = {}
    for change in changes:
        by_type.setdefault(change.proposal_type, []).append(change)
    kinds = sorted(by_type, key=lambda kind: (kind == JOINT, kind))
    return tuple(_score(kind, by_type[kind]) for kind in kinds)


def _score(kind: str, changes: list[ScoredChange]) -> Score:
    both = [(one.claimed, one.realised) for one in changes if one.claimed is not None and one.realised is not None]
    realised = np.array([outcome for _, outcome in both], dtype=np.float64)
    lower = upper = reason = None
    if len(both) >= 2:
        error = float(np.std(realised, ddof=1)) / math.sqrt(len(both))
        width = float(stdtrit(len(both) - 1, 0.5 + CONFIDENCE / 2)) * error
        lower, upper = float(realised.mean()) - width, float(realised.mean()) + width
    else:
        reason = f"{len(both)} with a claim and an outcome; an interval needs two"
    verdicts: dict[str, int] = {}
    for one in changes:
        verdicts[one.verdict] = verdicts.get(one.verdict, 0) + one.n_changes
    return Score(
        proposal_type=kind,
        n_changes=sum(one.n_changes for one in changes),
        n_realised=len(both),
        claimed=float(np.mean([claim for claim, _ in both])) if both else None,
        realised=float(realised.mean()) if both else None,
        lower=lower,
        upper=upper,
        verdicts=dict(sorted(verdicts.items())),
        reason=reason,
        n_joint=sum(one.n_changes for one in changes if one.jointly),
    )
