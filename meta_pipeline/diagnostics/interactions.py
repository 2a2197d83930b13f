"""Interactions that overturn a main effect: settings of another knob in which a change does the opposite.

Belongs here: the search, corrected for its size. Does not belong here: the contrast at the live configuration, which is
a rule of its own (proposals.screening).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri

from meta_pipeline.evidence.contrasts import NEGLIGIBLE, standard_errors
from meta_pipeline.evidence.factors import Role
from meta_pipeline.evidence.influence import SHARPE_RATIO, by_calendar_day, day_series
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.changes import Change
from meta_pipeline.proposals.rationale import show_level
from meta_pipeline.proposals.weighting import weigh

MINIMUM_PAIRS: Final = 5
MOST_LEVELS: Final = 12
LEVEL: Final = 0.90


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """A change of one knob whose effect turns round with another.

    Parameters
    ----------
    knob, change
        The change, in words.
    where
        The other knob and its level.
    main, main_error
        The effect over all settings, in annualised Sharpe ratio.
    estimate, standard_error, lower, upper
        The effect there; the interval holds for all settings that were looked at together (Bonferroni).
    n_pairs
        Matched pairs there.
    """

    knob: str
    change: str
    where: str
    main: float
    main_error: float
    estimate: float
    standard_error: float
    lower: float
    upper: float
    n_pairs: int


def overturning_interactions(campaign: Campaign, changes: Sequence[Change]) -> tuple[Interaction, ...]:
    """Return the interactions in which a change has shown the opposite of its main effect, strongest first.

    Parameters
    ----------
    campaign
        The campaign.
    changes
        Changes without a refusal, at least one.
    """
    weighting = weigh(campaign, changes)
    main, errors = weighting.estimates[: len(changes)], standard_errors(weighting.daily[:, : len(changes)])
    cells = list(_cells(campaign, changes))
    if not cells:
        return ()
    weights = np.column_stack([weights for _, _, weights, _ in cells])
    series = day_series(campaign.runs, {SHARPE_RATIO: weights})[SHARPE_RATIO]
    daily, _ = by_calendar_day(series, campaign.panel.dates)
    estimates, spread = weights.T @ campaign.runs.metric(SHARPE_RATIO), standard_errors(daily)
    width = float(ndtri(1 - (1 - LEVEL) / 2 / len(cells)))
    found = []
    for (index, where, _, n_pairs), estimate, error in zip(cells, estimates.tolist(), spread.tolist(), strict=True):
        opposite = estimate * main[index] < 0 and error > NEGLIGIBLE and abs(main[index]) > NEGLIGIBLE
        if opposite and abs(estimate) > width * error:
            change = changes[index]
            found.append(
                Interaction(
                    knob=change.knob.path,
                    change=f"{show_level(change.from_value)} → {show_level(change.to_value)}",
                    where=where,
                    main=float(main[index]),
                    main_error=float(errors[index]),
                    estimate=estimate,
                    standard_error=error,
                    lower=estimate - width * error,
                    upper=estimate + width * error,
                    n_pairs=n_pairs,
                )
            )
    return tuple(sorted(found, key=lambda one: (-abs(one.estimate) / one.standard_error, one.knob, one.where)))


def _cells(
    campaign: Campaign, changes: Sequence[Change]
) -> Iterator[tuple[int, str, np.ndarray[tuple[int], np.dtype[np.float64]], int]]:
    """Yield the change, the setting in words, weights and number of pairs of every setting with enough pairs."""
    others = [f for f in campaign.design.factors if f.role is Role.KNOB and 1 < len(f.levels) <= MOST_LEVELS]
    for index, change in enumerate(changes):
        if change.factor is None:
            continue
        for other in others:
            if other.path == change.knob.path:
                continue
            for code, level in enumerate(other.levels):
                weights = campaign.design.pairs_where(change.factor, change.low, change.high, other.codes == code)
                if weights.weights is not None and weights.n_pairs >= MINIMUM_PAIRS:
                    yield index, f"{other.path} = {show_level(level)}", weights.weights, weights.n_pairs
