"""A small four-model strategy: few bars, few trees, so that tests are quick."""

from functools import cache
from typing import Any

import numpy as np

from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.strategy_settings import StrategySettings
from meta_pipeline.hyperband.strategy_space import CHOICES, SPACE
from meta_pipeline_tests.hyperband.paths import path

SMALLEST: dict[str, ParameterValue] = {
    **{name: choices[0] for name, choices in CHOICES.items()},
    "entry_min_samples_leaf": 5,
    "confidence_threshold": 0.5,
    "exit_threshold": 0.55,
}


def settings(**given: Any) -> StrategySettings:
    return StrategySettings(**{"engine": "extra_trees", "max_resource": 9, "n_folds": 2, **given})


@cache
def noise(n_bars: int = 1500, engine: str = "extra_trees") -> ForestEvaluator:
    return ForestEvaluator(settings(engine=engine), [path(n_bars, seed=11)])


@cache
def trend(drift: float = 0.35, n_bars: int = 3000) -> ForestEvaluator:
    return ForestEvaluator(settings(sample_share=0.3), [path(n_bars, seed=3, drift=drift)])


def configurations(n: int, *, seed: int = 0) -> list[dict[str, ParameterValue]]:
    """Random configurations with the fewest trees there are."""
    generator = np.random.default_rng(seed)
    drawn = [
        {p.name: CHOICES[p.name][generator.integers(len(CHOICES[p.name]))] for p in SPACE.parameters} for _ in range(n)
    ]
    small = {name: choices[0] for name, choices in CHOICES.items() if name.endswith("n_estimators")}
    return [{**config, **small} for config in drawn]
