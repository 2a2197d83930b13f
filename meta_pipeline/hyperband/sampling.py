"""Drawing configurations: BOHB, with Optuna's tree-structured Parzen estimator as the model.

Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", ICML 2018: a share of the
draws is random; the others come from a model of the *highest* rung that has enough observations. The model sees only
brackets that are finished for sure whenever the draw may be made, and each draw has a seed of its own, so a
configuration is a function of the search's settings and the data: not of workers, timing or crashes.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from meta_pipeline.hyperband.ledger import Entry, RungValue, quiet_optuna
from meta_pipeline.hyperband.promotion import objective_values
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.search_settings import Objective, SearchSettings
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.spaces import distributions

if TYPE_CHECKING:
    import optuna

CANDIDATES: Final = 64
"""Candidates of which the model takes the most promising one, for each draw."""


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
    model = _model(settings, sorted(earlier, key=lambda entry: entry.slot)) if settings.sampler == "bohb" else None
    return {slot: settings.space.check(_one(settings, slot, model)) for slot in slots}


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


def _one(settings: SearchSettings, slot: Slot, model: "optuna.Study | None") -> dict[str, ParameterValue]:
    import optuna

    seed = seed_of(settings, slot)
    chance = float(np.random.default_rng(seed).random())
    with quiet_optuna():
        if model is None or chance < settings.random_fraction:
            sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
            study = optuna.create_study(sampler=sampler)
        else:
            study = model
            study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=False, n_ei_candidates=CANDIDATES, n_startup_trials=0
            )
        trial = study.ask(fixed_distributions=distributions(settings.space))
        found = dict(trial.params)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)  # the model must not see its own draws
    return found


def _model(settings: SearchSettings, earlier: Sequence[Entry]) -> "optuna.Study | None":
    """Fill a study in memory with one rung's values; None where no rung has enough of them."""
    import optuna

    r = observed_rung(settings, earlier)
    if r is None:
        return None
    seen = {entry.slot: entry for entry in earlier if r in entry.rungs}
    values = _values({slot: entry.rungs[r] for slot, entry in seen.items()}, settings.objectives)
    many = max(1, len(settings.objectives))
    with quiet_optuna():
        study = optuna.create_study(directions=["maximize"] * many)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(seen[slot].config),
                    distributions=distributions(settings.space),
                    values=figures,
                    constraints=dict(seen[slot].rungs[r].constraints),
                )
                for slot, figures in values.items()
            ]
        )
    return study


def _values(rung: dict[Slot, RungValue], objectives: Sequence[Objective]) -> dict[Slot, list[float]]:
    """Return what the model learns from. Failures are as bad as can be, and with several objectives left out."""
    if not objectives:
        return {slot: [found.value] for slot, found in rung.items()}
    values = objective_values(rung, objectives, scored=len(rung))
    return {slot: figures for slot, figures in values.items() if all(math.isfinite(figure) for figure in figures)}


def _is_finite(entry: Entry, r: int) -> bool:
    return r in entry.rungs and math.isfinite(entry.rungs[r].value)
