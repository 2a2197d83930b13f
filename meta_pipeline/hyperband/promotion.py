"""Who is better: the order of the configurations of one rung.

Belongs here: ranking what was reported. Does not belong here: how many are promoted (brackets) and when (schedule).

One objective: feasible before infeasible, these by the sum of what they break (Deb, "An efficient constraint handling
method for genetic algorithms", 2000), then by value. Several: by NSGA-II's non-dominated sorting and crowding distance
(Deb, Pratap, Agarwal and Meyarivan, 2002), constraints first, all by Optuna's own implementation. Ties go to the lower
number in the bracket, never to who was quicker.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from meta_pipeline.evidence.sharpe import deflated_sharpe_ratio
from meta_pipeline.hyperband.ledger import RungValue
from meta_pipeline.hyperband.search_settings import DEFLATED_SHARPE_RATIO, Objective
from meta_pipeline.hyperband.slots import Slot


def best_first(
    rung: Mapping[Slot, RungValue], objectives: Sequence[Objective] = (), *, scored: int | None = None
) -> list[Slot]:
    """Order the configurations of one rung. Those that failed are left out: they are never promoted.

    Parameters
    ----------
    rung
        What each came to.
    objectives
        None: the values alone decide.
    scored
        Configurations ever scored by then, which the deflated Sharpe ratio counts; by default those of the rung.
    """
    able = {slot: result for slot, result in sorted(rung.items()) if result.error is None}
    if not objectives:
        return sorted(able, key=lambda slot: (able[slot].violation, -able[slot].value, slot))
    return _by_domination(able, objectives, scored or len(rung))


def answer_first(rung: Mapping[Slot, RungValue], objectives: Sequence[Objective], *, scored: int) -> list[Slot]:
    """Order the configurations that had everything, for the answer: as `best_first`, but a front by its values.

    Promotion keeps a front wide, so its ends go first, as the one that hardly trades; the answer is its best value.
    """
    if not objectives:
        return best_first(rung)
    able = {slot: result for slot, result in sorted(rung.items()) if result.error is None}
    return [
        slot
        for front in _fronts(able, objectives, scored)
        for slot in sorted(front, key=lambda one: (able[one].violation, -able[one].value, one))
    ]


def objective_values(
    rung: Mapping[Slot, RungValue], objectives: Sequence[Objective], *, scored: int
) -> dict[Slot, list[float]]:
    """Return each configuration's objectives, higher being better; what is not known is minus infinity."""
    deflated = _deflated(rung, scored) if any(item.metric == DEFLATED_SHARPE_RATIO for item in objectives) else {}
    return {
        slot: [_objective(item, result, deflated.get(slot)) for item in objectives] for slot, result in rung.items()
    }


def _objective(objective: Objective, result: RungValue, deflated: float | None) -> float:
    figure = deflated if objective.metric == DEFLATED_SHARPE_RATIO else result.metrics.get(objective.metric)
    if figure is None or math.isnan(figure):
        return -math.inf
    return figure if objective.maximise else -figure


def _deflated(rung: Mapping[Slot, RungValue], scored: int) -> dict[Slot, float]:
    """Deflate each Sharpe ratio by the best of all scored: one benchmark for the rung, from its own spread."""
    known = {slot: result.moments for slot, result in rung.items() if result.moments is not None}
    if not known:
        return {}
    ratios = [moments.sharpe_ratio for moments in known.values()]
    variance = float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0
    return {
        slot: deflated_sharpe_ratio(
            moments.sharpe_ratio,
            moments.n_observations,
            n_trials=max(scored, 1),
            variance_of_trials=variance,
            skewness=moments.skewness,
            kurtosis=moments.kurtosis,
        )
        for slot, moments in known.items()
    }


def _by_domination(able: Mapping[Slot, RungValue], objectives: Sequence[Objective], scored: int) -> list[Slot]:
    from optuna.samplers.nsgaii._elite_population_selection_strategy import _crowding_distance_sort
    from optuna.trial import create_trial

    values = objective_values(able, objectives, scored=scored)
    order: list[Slot] = []
    for front in _fronts(able, objectives, scored):
        # Their sort reverses at the end, so ties come out in the order of slots when they go in backwards.
        members = [create_trial(values=[-figure for figure in values[slot]]) for slot in reversed(front)]
        for member, slot in zip(members, reversed(front), strict=True):
            member.number = front.index(slot)
        _crowding_distance_sort(members)
        order += [front[member.number] for member in members]
    return order


def _fronts(able: Mapping[Slot, RungValue], objectives: Sequence[Objective], scored: int) -> list[list[Slot]]:
    """Return the fronts of non-domination, constraints first; each in the order of slots."""
    # Optuna keeps this, and the crowding distance, as internals of its NSGA-II; the lock file pins its version, and
    # tests hold the order.
    from optuna.study._multi_objective import _fast_non_domination_rank

    if not able:
        return []
    slots = list(able)
    values = objective_values(able, objectives, scored=scored)
    losses = np.array([[-figure for figure in values[slot]] for slot in slots])
    penalty = np.array([able[slot].violation for slot in slots])
    ranks = _fast_non_domination_rank(losses, penalty=penalty)
    return [
        [slot for slot, found in zip(slots, ranks, strict=True) if found == rank]
        for rank in sorted({int(rank) for rank in ranks})
    ]
