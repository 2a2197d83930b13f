"""Scores of a contestant over the campaigns of one world, each with its standard error over campaigns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.proposal_quality.contestants import Answer
from benchmarks.proposal_quality.worlds import Campaign, Change

FOUND: Final[Change] = (1, 1)
"""The change that is planted in worlds with one effect."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, its Monte Carlo standard error, and the number of campaigns it rests on. NaN: nothing to score."""

    value: float
    error: float
    n: int

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "-"
        return f"{self.value:.3f} ± {self.error:.3f}"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one contestant did in one campaign, reduced to the sums the scores need.

    `found`: the planted effect is proposed; `detected`: it is called significant (ours: grade A or B), proposed or not.
    True and realised effects of proposals are those of changing the live configuration as proposed. `pairs` holds each
    probability and whether the realised effect was positive.
    """

    alarmed: bool
    found: bool
    detected: bool
    proposals: int
    not_better: int
    false_share: float
    harmful: int
    dead: int
    aliased: int
    claimed: float
    measured: float
    true: float
    squared: float
    forecasts: int
    pairs: tuple[tuple[float, bool], ...]
    value: float


def score(campaign: Campaign, answer: Answer) -> Scored:
    """Hold an answer against the truth."""
    truth, realised, world = campaign.truth, campaign.realised, campaign.world
    changes = [proposal.change for proposal in answer.proposals]
    true = [truth.get(change, 0.0) for change in changes]
    later = [realised.get(change, 0.0) for change in changes]
    pairs = []
    for forecast in answer.forecasts:
        if forecast.knob not in world.live:
            continue  # dead knobs flatter a Brier score
        outcome = realised.get((forecast.knob, forecast.high), 0.0) - realised.get((forecast.knob, forecast.low), 0.0)
        pairs.append((forecast.probability, outcome > 0))
    best = max(answer.proposals, key=lambda proposal: proposal.claim, default=None)
    return Scored(
        alarmed=answer.alarmed,
        found=FOUND in changes,
        detected=FOUND in answer.significant,
        proposals=len(changes),
        not_better=sum(effect <= 0 for effect in true),
        false_share=sum(effect <= 0 for effect in true) / max(len(true), 1),
        harmful=sum(effect < 0 for effect in later),
        dead=sum(knob in world.dead for knob, _ in changes),
        aliased=sum(world.aliased is not None and knob in world.aliased for knob, _ in changes),
        claimed=sum(proposal.claim for proposal in answer.proposals),
        measured=sum(proposal.contrast for proposal in answer.proposals),
        true=sum(true),
        squared=sum((probability - float(came)) ** 2 for probability, came in pairs),
        forecasts=len(pairs),
        pairs=tuple(pairs),
        value=0.0 if best is None else realised.get(best.change, 0.0),
    )


def mean(rows: Sequence[Scored], name: str) -> Figure:
    """Return the mean of a field per campaign."""
    return ratio(np.array([float(getattr(row, name)) for row in rows]), np.ones(len(rows)))


def rate(rows: Sequence[Scored], numerator: str, denominator: str) -> Figure:
    """Return the ratio of two sums; its error takes campaigns as the independent units."""
    top = np.array([float(getattr(row, numerator)) for row in rows])
    return ratio(top, np.array([float(getattr(row, denominator)) for row in rows]))


def ratio(top: np.ndarray, bottom: np.ndarray) -> Figure:
    """Return sum(top) / sum(bottom) with the delta-method standard error over rows."""
    n, total = len(top), float(bottom.sum())
    if n < 2 or total == 0:
        return Figure(value=math.nan, error=math.nan, n=n)
    value = float(top.sum()) / total
    residuals = top - value * bottom
    return Figure(value=value, error=float(math.sqrt(n / (n - 1) * (residuals @ residuals)) / abs(total)), n=n)


def clustered(groups: Sequence[int], top: Sequence[float], bottom: Sequence[float] | None = None) -> Figure:
    """Return the ratio of two sums whose rows are independent between groups only; `bottom` left out: the mean."""
    below = np.ones(len(top)) if bottom is None else np.asarray(bottom)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    figure = ratio(np.bincount(codes, weights=np.asarray(top)), np.bincount(codes, weights=below))
    return Figure(value=figure.value, error=figure.error, n=len(top))
