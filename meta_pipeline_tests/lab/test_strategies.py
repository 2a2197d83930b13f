from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_pipeline import lab
from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.lab.strategy import Config
from meta_pipeline.proposals.knobs import Knob, RiskDirection

every_strategy = pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
every_knob = pytest.mark.parametrize(
    ("strategy", "knob"),
    [(strategy, knob) for strategy in lab.strategies() for knob in strategy.knobs],
    ids=lambda value: value.path if isinstance(value, Knob) else value.strategy_id,
)
Pair = tuple[Any, NDArray[np.float64], Any, NDArray[np.float64]]


@cache
def runs_by_market(strategy_id: str) -> Mapping[str, list[tuple[Config, NDArray[np.float64]]]]:
    by_market = defaultdict(list)
    for run in lab.campaign(lab.strategy_named(strategy_id), n_configs=250, seed=11):
        assert run.returns is not None
        by_market[run.market_id].append((run.config, run.returns))
    return by_market


def matched_pairs(strategy: lab.LabStrategy, knob: Knob) -> Iterator[Pair]:
    """Pairs of runs in one market whose configs differ in the knob only, the lower level first."""
    for runs in runs_by_market(strategy.strategy_id).values():
        groups = defaultdict(list)
        for config, returns in runs:
            others = canonical_json({path: level for path, level in config.items() if path != knob.path})
            groups[others].append((config[knob.path], returns))
        for group in groups.values():
            levels = sorted(group, key=lambda run: (knob.choices or ()).index(run[0]))
            for (low, low_returns), (high, high_returns) in pairwise(levels):
                yield low, low_returns, high, high_returns


@every_knob
def test_every_knob_changes_returns_in_matched_pairs(strategy: lab.LabStrategy, knob: Knob) -> None:
    pairs = list(matched_pairs(strategy, knob))
    changed = [not np.array_equal(low_returns, high_returns) for _, low_returns, _, high_returns in pairs]
    assert len(pairs) >= 30
    assert np.mean(changed) >= 0.7


@every_knob
def test_every_level_of_every_knob_is_a_different_strategy_somewhere(strategy: lab.LabStrategy, knob: Knob) -> None:
    told_apart = {
        (low, high)
        for low, low_returns, high, high_returns in matched_pairs(strategy, knob)
        if not np.array_equal(low_returns, high_returns)
    }
    assert knob.choices is not None
    assert told_apart >= set(pairwise(knob.choices))


@every_knob
def test_the_declared_direction_of_risk_is_what_the_prices_show(strategy: lab.LabStrategy, knob: Knob) -> None:
    rise = [high_returns.std() - low_returns.std() for _, low_returns, _, high_returns in matched_pairs(strategy, knob)]
    if knob.risk_direction is RiskDirection.HIGHER_IS_RISKIER:
        assert np.mean(rise) > 0
    elif knob.risk_direction is RiskDirection.LOWER_IS_RISKIER:
        assert np.mean(rise) < 0
    else:
        assert knob.risk_direction is RiskDirection.NEUTRAL


@every_strategy
def test_every_family_has_five_or_six_knobs_and_declares_them_whole(strategy: lab.LabStrategy) -> None:
    assert len(strategy.knobs) in {5, 6}
    for knob in strategy.knobs:
        assert knob.choices is not None
        assert None not in (knob.lower, knob.upper, knob.max_step)
        assert len(knob.choices) >= 3
        assert all(knob.objection(choice) is None for choice in knob.choices)


@every_strategy
def test_the_live_configuration_obeys_the_declaration_and_can_move(strategy: lab.LabStrategy) -> None:
    strategy.check(strategy.live_config)
    for knob in strategy.knobs:
        live = strategy.live_config[knob.path]
        reachable = [choice for choice in knob.choices or () if knob.objection_to_change(live, choice) is None]
        assert set(reachable) - {live}


@every_strategy
def test_a_missing_knob_is_named(strategy: lab.LabStrategy) -> None:
    config = {path: level for path, level in strategy.live_config.items() if path != "leverage_cap"}
    with pytest.raises(InputError, match=f"{strategy.strategy_id}: leverage_cap must be present"):
        strategy.check(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leverage_cap": 7.0}, r"leverage_cap = 7.0 is not one of \[0.5, 1.0, 1.5\]"),
        ({"fast_days": 20.0}, "fast_days = 20.0 is not of the declared type int"),
        ({"fast_days": None}, "fast_days = None is not of the declared type int"),
        ({"stop_loss": 3}, "stop_loss is not a knob; there are entry_band, fast_days"),
        ({"fast_days": 9, "slow_days": 5}, "fast_days = 9 .*; slow_days = 5 "),
    ],
)
def test_everything_that_is_wrong_with_a_configuration_is_said_at_once(change: Config, message: str) -> None:
    strategy = lab.strategy_named("LAB_TREND")
    with pytest.raises(InputError, match=message):
        strategy.check({**strategy.live_config, **change})


def test_no_configuration_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="there is no configuration to run"):
        lab.strategy_named("LAB_TREND").columns([])


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'LAB_CARRY' is not in the lab; it has LAB_TREND, LAB_REVERSION"):
        lab.strategy_named("LAB_CARRY")
