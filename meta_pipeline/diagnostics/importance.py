"""How much each knob matters, by three views; and what pairs of knobs tell. Describes; decides nothing.

Belongs here: what is asked of the evidence modules about knobs. Does not belong here: the statistics (evidence), or
effects of single levels (proposals).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import choose_block_length, evaluate
from meta_pipeline.evidence.factors import Factor, Role
from meta_pipeline.evidence.importance import information_views, wald_importance
from meta_pipeline.evidence.influence import SHARPE_RATIO
from meta_pipeline.evidence.permutation_importance import permutation_importance
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.changes import Change
from meta_pipeline.proposals.weighting import weigh

MOST_KNOBS: Final = 12
MOST_PAIRS: Final = 10
N_DRAWS: Final = 199
SEED: Final = 20261120


@dataclass(frozen=True, kw_only=True)
class KnobWeight:
    """How much a knob matters; None where a view cannot say.

    Parameters
    ----------
    wald, degrees_of_freedom, p_value, strength
        Over days, as `wald_importance`.
    mutual_information, information_p_value
        Over runs, as `information_views`.
    permutation
        Over runs, as `permutation_importance`: rise of the squared error of prediction when the knob is shuffled.
    """

    path: str
    wald: float | None = None
    degrees_of_freedom: int | None = None
    p_value: float | None = None
    strength: float | None = None
    mutual_information: float | None = None
    information_p_value: float | None = None
    permutation: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnobPair:
    """What two knobs tell about each other (redundancy), and together beyond what each tells alone (synergy)."""

    first: str
    second: str
    redundancy: float | None
    synergy: float
    adjusted_p_value: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Knobs by falling strength, pairs by falling synergy, and how well the knobs predict runs at all.

    Parameters
    ----------
    r_squared
        Of the permutation view's surface, on runs that it was not fitted to; None: `why` says so.
    """

    knobs: tuple[KnobWeight, ...] = ()
    pairs: tuple[KnobPair, ...] = ()
    r_squared: float | None = None
    why: str | None = None


def importance(campaign: Campaign, changes: Sequence[Change]) -> Importance:
    """Ask each view about each knob.

    Parameters
    ----------
    changes
        Those of the campaign that have a contrast.
    """
    weights: dict[str, dict[str, Any]] = _by_days(campaign, changes) if changes else {}
    factors = [f for f in campaign.design.factors if f.role is Role.KNOB and len(f.levels) > 1][:MOST_KNOBS]
    pairs: tuple[KnobPair, ...] = ()
    r_squared, why = None, None if factors else "no knob varies"
    if factors:
        pairs = _by_information(campaign, factors, weights)
        r_squared, why = _by_shuffling(campaign, factors, weights)
    knobs = [KnobWeight(path=path, **parts) for path, parts in weights.items()]
    knobs.sort(key=lambda knob: (-(knob.strength if knob.strength is not None else -np.inf), knob.path))
    return Importance(knobs=tuple(knobs), pairs=pairs, r_squared=r_squared, why=why)


def _by_days(campaign: Campaign, changes: Sequence[Change]) -> dict[str, dict[str, Any]]:
    weighting, n = weigh(campaign, changes), len(changes)
    tested = evaluate(
        weighting.estimates[:n],
        weighting.daily[:, :n],
        confidence_level=0.9,
        n_draws=N_DRAWS,
        generator=np.random.default_rng(SEED),
        block_length=choose_block_length(weighting.daily[:, :n]),
    )
    return {
        knob.path: {
            "wald": knob.wald,
            "degrees_of_freedom": knob.degrees_of_freedom,
            "p_value": knob.p_value_bootstrap,
            "strength": knob.strength,
        }
        for knob in wald_importance(tested, [change.knob.path for change in changes])
    }


def _by_information(
    campaign: Campaign, factors: Sequence[Factor], weights: dict[str, dict[str, Any]]
) -> tuple[KnobPair, ...]:
    views = information_views(
        factors,
        campaign.distinct.blocks,
        campaign.runs.metric(SHARPE_RATIO),
        generator=np.random.default_rng(SEED),
        n_permutations=N_DRAWS,
    )
    for one in views.knobs:
        told = {"mutual_information": one.mutual_information, "information_p_value": one.adjusted_p_value}
        weights[one.path] = weights.get(one.path, {}) | told
    return tuple(
        KnobPair(
            first=pair.paths[0],
            second=pair.paths[1],
            redundancy=finite(pair.redundancy),
            synergy=pair.synergy,
            adjusted_p_value=pair.adjusted_p_value,
        )
        for pair in views.pairs[:MOST_PAIRS]
    )


def _by_shuffling(
    campaign: Campaign, factors: Sequence[Factor], weights: dict[str, dict[str, Any]]
) -> tuple[float | None, str | None]:
    try:
        found = permutation_importance(
            factors,
            campaign.distinct.blocks,
            campaign.runs.metric(SHARPE_RATIO),
            generator=np.random.default_rng(SEED),
        )
    except InputError as error:
        return None, str(error)
    for one in found.knobs:
        weights[one.path] = weights.get(one.path, {}) | {"permutation": one.importance}
    return found.r_squared, None
