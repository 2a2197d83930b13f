from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline import lab
from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.lab.design import mixed_design
from meta_pipeline.lab.strategy import Config

every_strategy = pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)


def differing(one: Config, other: Config) -> list[str]:
    return [path for path in one if one[path] != other[path]]


@every_strategy
def test_the_live_configuration_comes_first_with_all_its_one_knob_neighbours(strategy: lab.LabStrategy) -> None:
    configs = mixed_design(strategy, 100, np.random.default_rng(0))
    assert configs[0] == strategy.live_config
    neighbours = [config for config in configs if len(differing(configs[0], config)) == 1]
    assert len(neighbours) >= sum(len(knob.choices or ()) - 1 for knob in strategy.knobs)


@every_strategy
def test_every_knob_has_matched_pairs_away_from_the_live_configuration(strategy: lab.LabStrategy) -> None:
    configs = mixed_design(strategy, 300, np.random.default_rng(0))
    away = [config for config in configs if len(differing(configs[0], config)) > 1]
    pairs = Counter(path for pair in combinations(away, 2) if len(found := differing(*pair)) == 1 for path in found)
    assert min(pairs[knob.path] for knob in strategy.knobs) >= 15


@settings(max_examples=40, deadline=None)
@given(strategy=st.sampled_from(lab.strategies()), n_configs=st.integers(20, 400), seed=st.integers(0, 2**32 - 1))
def test_a_design_has_as_many_distinct_valid_configs_as_asked(
    strategy: lab.LabStrategy, n_configs: int, seed: int
) -> None:
    configs = mixed_design(strategy, n_configs, np.random.default_rng(seed))
    for config in configs:
        strategy.check(config)
    assert len({canonical_json(config) for config in configs}) == n_configs == len(configs)


@every_strategy
def test_every_level_of_every_knob_is_sampled_evenly_enough(strategy: lab.LabStrategy) -> None:
    configs = mixed_design(strategy, 300, np.random.default_rng(5))
    for knob in strategy.knobs:
        counts = Counter(config[knob.path] for config in configs)
        assert set(counts) == set(knob.choices or ())
        assert min(counts.values()) >= 300 / len(counts) * 0.6


@pytest.mark.parametrize("n_configs", [-1, 0, 15, 865])
def test_a_number_of_configs_out_of_range_is_refused_with_the_range(n_configs: int) -> None:
    strategy = lab.strategy_named("LAB_TREND")
    with pytest.raises(InputError, match=rf"n_configs is {n_configs}; give at least 16 .* at most 864"):
        mixed_design(strategy, n_configs, np.random.default_rng(0))


def test_after_a_change_the_next_campaign_is_around_the_new_live_configuration() -> None:
    strategy = lab.strategy_named("LAB_TREND")
    moved = lab.with_live(strategy, {**strategy.live_config, "fast_days": 20})
    assert mixed_design(moved, 100, np.random.default_rng(0))[0]["fast_days"] == 20
    assert strategy.live_config["fast_days"] == 50


def test_a_live_configuration_that_breaks_the_declaration_is_refused() -> None:
    strategy = lab.strategy_named("LAB_TREND")
    with pytest.raises(InputError, match="fast_days = 21 is not one of"):
        lab.with_live(strategy, {**strategy.live_config, "fast_days": 21})
