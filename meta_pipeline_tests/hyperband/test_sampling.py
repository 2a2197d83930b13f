"""Draws: the samplers are asked without a study that writes each draw down, and answer what a study's `ask` would."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.ledger import Entry, RungValue, quiet_optuna
from meta_pipeline.hyperband.protocol import (
    CategoricalParameter,
    FloatParameter,
    IntegerParameter,
    ParameterValue,
    Space,
)
from meta_pipeline.hyperband.sampling import CANDIDATES, draw, seed_of
from meta_pipeline.hyperband.search_settings import SearchSettings, parse_objectives
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.spaces import distributions
from meta_pipeline_tests.hyperband import toy

MIXED = Space(
    parameters=(
        FloatParameter(name="x", low=0.0, high=1.0),
        CategoricalParameter(name="only", choices=("sqrt",)),  # one choice: nothing is drawn for it
        FloatParameter(name="rate", low=1e-3, high=1.0, log=True),
        IntegerParameter(name="fixed", low=4, high=4),
        IntegerParameter(name="depth", low=1, high=10),
        CategoricalParameter(name="features", choices=("sqrt", "log2", 0.5, True)),
    )
)
SLOTS = [Slot(0, 1, number) for number in range(12)]


def settings(**more: Any) -> SearchSettings:
    return replace(toy.search_settings(), space=MIXED, **more)


def observed(given: SearchSettings, *, fails: bool = False) -> list[Entry]:
    """A rung of twenty configurations, drawn at random, with values that favour a small x."""
    configs = draw(settings(sampler="random"), [Slot(0, 2, number) for number in range(20)], [])
    return [
        Entry(
            slot=slot,
            trial_id=slot.number,
            trial_number=slot.number,
            config=config,
            rungs={1: value_of(config, slot, fails=fails)},
            leases={},
            end=None,
        )
        for slot, config in configs.items()
    ]


def value_of(config: Mapping[str, Any], slot: Slot, *, fails: bool) -> RungValue:
    if fails and slot.number % 5 == 0:
        return RungValue(value=-np.inf, error="cannot do it")
    metrics = {"maximum_drawdown": float(config["x"]), "turnover": float(config["depth"])}
    return RungValue(value=-float(config["x"]), metrics=metrics, constraints={"depth": config["depth"] - 9.0})


def by_ask(given: SearchSettings, slot: Slot, earlier: list[Entry]) -> Mapping[str, ParameterValue]:
    """Draw as a user of Optuna would: a study with what was observed, and `ask`."""
    seed, allowed = seed_of(given, slot), distributions(given.space)
    random = not earlier or np.random.default_rng(seed).random() < given.random_fraction
    with quiet_optuna():
        if random or given.sampler == "random":
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
            return dict(study.ask(fixed_distributions=allowed).params)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=False, n_ei_candidates=CANDIDATES, n_startup_trials=0
        )
        study = optuna.create_study(directions=["maximize"] * max(1, len(given.objectives)), sampler=sampler)
        for entry in earlier:
            rung = entry.rungs[1]
            values = [rung.value]
            if given.objectives:
                if rung.error is not None:
                    continue
                values = [-float(rung.metrics[item.metric] or 0.0) for item in given.objectives]  # all are minimised
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(entry.config), distributions=allowed, values=values, constraints=dict(rung.constraints)
                )
            )
        return dict(study.ask(fixed_distributions=allowed).params)


@pytest.mark.parametrize(
    ("sampler", "objectives", "fails"),
    [
        *itertools.product(["bohb"], ["", "maximum_drawdown:min,turnover:min"], [False, True]),
        ("random", "", False),
    ],
)
def test_a_draw_is_what_the_study_itself_would_have_asked_for(sampler: str, objectives: str, fails: bool) -> None:
    given = settings(sampler=sampler, objectives=parse_objectives(objectives))
    earlier = observed(given, fails=fails)
    found = draw(given, SLOTS, earlier)
    # As texts, so that True and 1 are not taken for each other.
    assert repr(found) == repr({slot: by_ask(given, slot, earlier) for slot in SLOTS})
    assert {type(config["features"]) for config in found.values()} <= {str, float, bool}
    assert {config["only"] for config in found.values()} == {"sqrt"}
    if sampler == "bohb":
        assert found != draw(given, SLOTS, [])  # the model has a say


@pytest.mark.parametrize("other", [1.0, True])
def test_choices_that_the_ledger_could_not_tell_apart_are_refused(other: float) -> None:
    assert distributions(MIXED)["features"].to_internal_repr(other) == 3  # Optuna knows both by the place of True
    with pytest.raises(InputError, match="'features' has a choice twice"):
        CategoricalParameter(name="features", choices=(1, other))


def test_without_anything_observed_all_draws_are_random() -> None:
    given = settings()
    assert draw(given, SLOTS, []) == draw(settings(sampler="random"), SLOTS, [])
    assert draw(given, SLOTS, []) == {slot: by_ask(given, slot, []) for slot in SLOTS}
