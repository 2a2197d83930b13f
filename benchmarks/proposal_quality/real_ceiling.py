"""What could be had on real prices: a response surface that knows every other year, the future included.

Belongs here: the hindsight bound, and how far below the bars it stays. Does not belong here: contestants (real_prices,
real_rivals).
"""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Final

import numpy as np

from benchmarks.proposal_quality.real_campaigns import DEAD, OUTCOME_YEARS, RealCampaign
from benchmarks.proposal_quality.real_rivals import Decision, decide, levels_of_runs
from benchmarks.proposal_quality.worlds import Floats
from meta_pipeline.evidence.expected_value.decision import SWITCHING_COST
from meta_pipeline.evidence.expected_value.probability import fit_win_odds
from meta_pipeline.evidence.expected_value.surface import Samples, Surface, fit_surface

HARM_BAR: Final = 0.27
BRIER_BAR: Final = 0.237
ENOUGH_YEARS: Final = 20  # with few, the others are those that made up for the one left out, and mislead
_OUT_OF_REACH: Final = (
    "So the same model misses both bars even when it is given the future: what a change does in two years is mostly "
    "these two years' own doing. The bars were measured by a prototype, on other campaigns than these."
)
_WITHIN_REACH: Final = "What the bound reaches, and ours does not, is what is left to learn."
FAR: Final = np.datetime64("2100-01-01", "D")


def samples(campaign: RealCampaign, sharpe: Floats, ended: np.datetime64) -> Samples:
    """Return a campaign's runs as the surface sees them, with their Sharpe ratios of some span."""
    return Samples(
        campaign=campaign.name,
        ended=ended,
        levels={path: levels_of_runs(campaign, path) for path in campaign.live},
        groups=np.repeat(np.array(campaign.markets, dtype=np.object_), sharpe.shape[1]),
        sharpe=sharpe.ravel(),
    )


def hindsight(drawn: Sequence[RealCampaign]) -> list[Decision]:
    """Choose by a response surface fitted to the outcomes of all other years, the future included.

    Left out are the outcomes that share days with the one that is judged. The probability is a logistic curve on the
    claim, fitted to the same years.
    """
    claims = _claims(drawn)
    said = _probabilities(drawn, claims)
    chosen = []
    for campaign, claim, probability in zip(drawn, claims, said, strict=True):
        pairs = zip(campaign.changes, claim.tolist(), strict=True)
        worth = [(value, effect) for effect, value in pairs if value >= SWITCHING_COST]
        told = zip(campaign.changes, probability.tolist(), strict=True)
        chosen.append(decide(campaign, worth, {effect: p for effect, p in told if math.isfinite(p)}))
    return chosen


def _claims(drawn: Sequence[RealCampaign]) -> list[Floats]:
    outcomes = [(c, samples(c, c.outcome_sharpe, _last_day(c))) for c in drawn]
    surfaces: dict[tuple[str, int], Surface] = {}
    found = []
    for campaign in drawn:
        key = (campaign.family, campaign.year)
        if key not in surfaces:
            others = [part for c, part in outcomes if c.family == key[0] and abs(c.year - key[1]) >= OUTCOME_YEARS]
            surfaces[key] = fit_surface(others, at=FAR) if others else Surface()
        found.append(np.array([surfaces[key].uplift(campaign.live, *effect) for effect in campaign.changes]))
    return found


def _last_day(campaign: RealCampaign) -> np.datetime64:
    return np.datetime64(f"{campaign.year + OUTCOME_YEARS}-12-31", "D")


def _probabilities(drawn: Sequence[RealCampaign], claims: Sequence[Floats]) -> list[Floats]:
    """Return the probability of each change; NaN where it moved no return in the evidence, or nothing is claimed."""
    claim, came = np.concatenate(claims), np.concatenate([campaign.realised for campaign in drawn])
    year = np.concatenate([np.full(len(campaign.changes), campaign.year) for campaign in drawn])
    moved = ~np.concatenate([campaign.dead for campaign in drawn]) & np.isfinite(claim)
    scale = float(np.sqrt(np.mean(claim[moved] ** 2))) if moved.any() else 1.0
    result = np.full(len(claim), np.nan)
    for one in np.unique(year):
        others = moved & (np.abs(came) > DEAD) & (np.abs(year - one) >= OUTCOME_YEARS)
        odds = fit_win_odds(claim[others] / scale, np.zeros(int(others.sum())), came[others])
        mine = moved & (year == one)
        result[mine] = odds.probability(claim[mine] / scale, np.zeros(int(mine.sum())))
    return np.split(result, np.cumsum([len(campaign.changes) for campaign in drawn])[:-1])


def harm_at(rows: Sequence[Decision], coverage: float) -> float:
    """Return the harm share of the largest claims that make up a coverage; NaN where fewer were made."""
    acted = sorted((row for row in rows if row.acted), key=lambda row: -row.claim)
    wanted = round(coverage * len(rows))
    if not 0 < wanted <= len(acted):
        return math.nan
    return float(np.mean([row.realised < 0 for row in acted[:wanted]]))


def brier(rows: Sequence[Decision]) -> float:
    """Return the Brier score of all that was said; NaN where nothing was."""
    pairs = [pair for row in rows for pair in row.pairs]
    return float(np.mean([(said - came) ** 2 for said, came in pairs])) if pairs else math.nan


def sentences(ours: Sequence[Decision], predecessor: Sequence[Decision], bound: Sequence[Decision]) -> list[str]:
    """Say how far the bars are from what could be had, and what the predecessor's harm share leaves out."""
    moved = [row for row in predecessor if row.acted and row.realised != 0]
    n_acted, harmed = sum(row.acted for row in predecessor), sum(row.realised < 0 for row in moved)
    wide, half = harm_at(bound, 0.75), harm_at(bound, 0.5)
    lines = []
    if math.isfinite(wide) and len({row.year for row in bound}) >= ENOUGH_YEARS:
        lines.append(
            "*The ceiling.* The bars are a harm share of .27 at a coverage of .75, and a Brier score of .237. The "
            f"hindsight bound, which knows all other years, has {wide:.3f} at a coverage of .75, {half:.3f} at .50, "
            f"and a Brier score of {brier(bound):.4f} (ours: {brier(ours):.4f}). "
            + (_OUT_OF_REACH if wide > HARM_BAR and brier(bound) > BRIER_BAR else _WITHIN_REACH)
        )
    if moved:
        lines.append(
            f"Of the predecessor's {n_acted} proposals {n_acted - len(moved)} are of the value that is live already, "
            f"which harms nobody; of the others {harmed / len(moved):.3f} were worse off."
        )
    return [line for text in lines for line in (fill(text, 120), "")]
