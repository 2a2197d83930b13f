"""Drawing configurations: BOHB, with Optuna's tree-structured Parzen estimator as the model.

Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", ICML 2018: a share of the
draws is random; the others come from a model of the *highest* rung that has enough observations. The model sees only
brackets that are finished for sure whenever the draw may be made, and each draw has a seed of its own, so a
configuration is a function of the search's settings and the data: not of workers, timing or crashes.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from meta_pipeline.hyperband.ledger import Entry, RungValue, quiet_optuna
from meta_pipeline.hyperband.promotion import objective_values
from meta_pipeline.hyperband.protocol import CategoricalParameter, ParameterValue
from meta_pipeline.hyperband.search_settings import Objective, SearchSettings
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.spaces import distributions

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    Distributions: TypeAlias = dict[str, BaseDistribution]

CANDIDATES: Final = 64
"""Candidates of which the model takes the most promising one, for each draw."""


@dataclass(frozen=True, kw_only=True)
class _Model:
    """A rung's values as a study, and the space that its trials have in common: it is the same for every draw."""

    study: "optuna.Study"
    common: "Distributions"


def draw(
    settings: SearchSettings, slots: Sequence[Slot], earlier: Iterable[Entry]
) -> dict[Slot, dict[str, ParameterValue]]:
    """Draw a configuration for each slot.

    Parameters
    ----------
    slots
        Of one bracket.
    earlier
        The configurations that the model may see: those of the brackets that `schedule` calls finished for these.
    """
    import optuna

    with quiet_optuna():
        allowed = distributions(settings.space)
        given = sorted(earlier, key=lambda entry: entry.slot)
        model = _model(settings, allowed, given) if settings.sampler == "bohb" else None
        nothing = optuna.create_study()  # what random draws learn from
        return {slot: settings.space.check(_one(settings, slot, allowed, model, nothing)) for slot in slots}


def seed_of(settings: SearchSettings, slot: Slot) -> int:
    """Return the seed of a slot's draw, 32 bits: a hash of the search's seed and of where the slot stands."""
    text = f"{settings.seed}|{slot.iteration}|{slot.bracket}|{slot.number}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def observed_rung(settings: SearchSettings, earlier: Sequence[Entry]) -> int | None:
    """Return the highest resource with at least d + 2 observations, d the number of parameters; None if none has."""
    enough = len(settings.space.parameters) + 2
    resources = {r for entry in earlier for r in entry.rungs}
    full = [r for r in resources if sum(_is_finite(entry, r) for entry in earlier) >= enough]
    return max(full, default=None)


def _one(
    settings: SearchSettings, slot: Slot, allowed: "Distributions", model: "_Model | None", nothing: "optuna.Study"
) -> dict[str, ParameterValue]:
    """Draw one configuration, as the model's or a study's `ask` would.

    The samplers are asked themselves: a study would write each draw down, and look through all trials before each for
    the space that they have in common.
    """
    import optuna

    seed = seed_of(settings, slot)
    chance = float(np.random.default_rng(seed).random())
    sampler: optuna.samplers.BaseSampler
    common: Distributions
    if model is None or chance < settings.random_fraction:
        sampler, study, common = optuna.samplers.RandomSampler(seed=seed), nothing, {}
    else:
        sampler, study, common = _sampler(seed), model.study, model.common
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    together = sampler.sample_relative(study, trial, common)
    found = {}
    for parameter in settings.space.parameters:
        name, distribution = parameter.name, allowed[parameter.name]
        if distribution.single():
            found[name] = parameter.choices[0] if isinstance(parameter, CategoricalParameter) else parameter.low
        elif name in together:
            found[name] = together[name]
        else:
            found[name] = sampler.sample_independent(study, trial, name, distribution)
    return found


def _sampler(seed: int) -> "optuna.samplers.TPESampler":
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, constant_liar=False, n_ei_candidates=CANDIDATES, n_startup_trials=0
    )


def _model(settings: SearchSettings, allowed: "Distributions", earlier: Sequence[Entry]) -> "_Model | None":
    """Fill a study in memory with one rung's values; None where no rung has enough of them."""
    import optuna

    r = observed_rung(settings, earlier)
    if r is None:
        return None
    seen = {entry.slot: entry for entry in earlier if r in entry.rungs}
    values = _values({slot: entry.rungs[r] for slot, entry in seen.items()}, settings.objectives)
    many = max(1, len(settings.objectives))
    study = optuna.create_study(directions=["maximize"] * many)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(seen[slot].config),
                distributions=allowed,
                values=figures,
                constraints=dict(seen[slot].rungs[r].constraints),
            )
            for slot, figures in values.items()
        ]
    )
    unwritten = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    return _Model(study=study, common=_sampler(0).infer_relative_search_space(study, unwritten))


def _values(rung: dict[Slot, RungValue], objectives: Sequence[Objective]) -> dict[Slot, list[float]]:
    """Return what the model learns from. Failures are as bad as can be, and with several objectives left out."""
    if not objectives:
        return {slot: [found.value] for slot, found in rung.items()}
    values = objective_values(rung, objectives, scored=len(rung))
    return {slot: figures for slot, figures in values.items() if all(math.isfinite(figure) for figure in figures)}


def _is_finite(entry: Entry, r: int) -> bool:
    return r in entry.rungs and math.isfinite(entry.rungs[r].value)
