"""The field's rules on campaigns of real prices: the predecessor's, and Welch with Benjamini-Hochberg."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

from benchmarks.proposal_quality.contestants import ALPHA, MINIMUM_CONFIDENCE, MINIMUM_IMPROVEMENT
from benchmarks.proposal_quality.real_campaigns import DEAD, Effect, RealCampaign
from meta_pipeline.evidence.multiplicity import benjamini_hochberg
from meta_pipeline.proposals.legacy import legacy_confidence


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a contestant did in one campaign.

    Parameters
    ----------
    year
        Of the decision.
    claim, realised
        Of the change it made; both 0 where it made none, or proposed what was live.
    acted
        Whether it proposed anything.
    pairs
        Probability said, and whether the realised effect was positive, of each change that moved returns.
    """

    year: int
    claim: float = 0.0
    realised: float = 0.0
    acted: bool = False
    pairs: tuple[tuple[float, bool], ...] = ()


def decide(campaign: RealCampaign, proposed: Sequence[tuple[float, Effect]], said: Mapping[Effect, float]) -> Decision:
    """Hold the largest claim, and what was said of every change, against what came."""
    came = dict(zip(campaign.changes, campaign.realised.tolist(), strict=True))
    pairs = tuple(
        (probability, came[effect] > 0) for effect, probability in said.items() if abs(came.get(effect, 0.0)) > DEAD
    )
    if not proposed:
        return Decision(year=campaign.year, pairs=pairs)
    claim, effect = max(proposed)
    realised = came.get(effect, 0.0)  # what is live already changes nothing
    return Decision(year=campaign.year, claim=claim, realised=realised, acted=True, pairs=pairs)


def levels_of_runs(campaign: RealCampaign, path: str) -> np.ndarray:
    """Return the level of each run, markets one after another."""
    return np.tile(campaign.levels[path], len(campaign.markets))


def predecessor(campaign: RealCampaign) -> Decision:
    """Compare the mean Sharpe ratios of the first two values of each knob, newest run first."""
    sharpe = campaign.evidence_sharpe.ravel()[campaign.stored]
    proposed, said = [], {}
    for path, live in campaign.live.items():
        levels = levels_of_runs(campaign, path)[campaign.stored]
        low, high = list(dict.fromkeys(levels.tolist()))[:2]
        at_low, at_high = levels == low, levels == high
        delta = float(sharpe[at_high].mean() - sharpe[at_low].mean())
        confidence = legacy_confidence(int(at_low.sum() + at_high.sum()), delta)
        if low == live:
            said[path, high] = confidence
        if delta > 0 and confidence >= MINIMUM_CONFIDENCE and delta >= MINIMUM_IMPROVEMENT:
            proposed.append((delta, (path, high)))
    return decide(campaign, proposed, said)


def welch(campaign: RealCampaign) -> Decision:
    """Welch's test of each level's runs against the live one's, Benjamini-Hochberg over all."""
    sharpe, tested, said = campaign.evidence_sharpe.ravel(), [], {}
    for path, level in campaign.changes:
        levels = levels_of_runs(campaign, path)
        low, high = sharpe[levels == campaign.live[path]], sharpe[levels == level]
        p_value, delta = float(ttest_ind(high, low, equal_var=False).pvalue), float(high.mean() - low.mean())
        tested.append((p_value, delta, (path, level)))
        said[path, level] = 1 - p_value / 2 if delta > 0 else p_value / 2
    adjusted = benjamini_hochberg(np.array([p_value for p_value, _, _ in tested]))
    found = zip(tested, adjusted, strict=True)
    return decide(campaign, [(d, effect) for (_, d, effect), q in found if q <= ALPHA and d > 0], said)
