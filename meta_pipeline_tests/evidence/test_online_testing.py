import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.multiplicity import LordPlusPlus, OnlineDecision


def run(state: LordPlusPlus, p_values: list[float]) -> tuple[LordPlusPlus, list[OnlineDecision]]:
    decisions = []
    for p_value in p_values:
        state, decision = state.test(p_value)
        decisions.append(decision)
    return state, decisions


def test_the_levels_are_those_worked_out_by_hand() -> None:
    # Weights g1 = .0772084 ln 2 = .0535168, g2 = .0116382, g3 = .0099125, g4 = .0082436.
    # alpha .05, wealth .005. Test 1: .005 g1. A discovery at 1 pays .045; one at 3 pays .05.
    _, found = run(LordPlusPlus(alpha=0.05, initial_wealth=0.005), [1e-6, 0.5, 1e-6, 0.5])
    g1, g2, g3, g4 = 0.0535168, 0.0116382, 0.0099125, 0.0082436
    expected = [
        0.005 * g1,
        0.005 * g2 + 0.045 * g1,
        0.005 * g3 + 0.045 * g2,
        0.005 * g4 + 0.045 * g3 + 0.05 * g1,
    ]
    assert [decision.level for decision in found] == pytest.approx(expected, rel=1e-5)
    assert [decision.rejected for decision in found] == [True, False, True, False]
    assert found[0].level == pytest.approx(0.0002675839, rel=1e-6)
    assert found[1].level == pytest.approx(0.0024664457, rel=1e-6)


def test_a_p_value_at_the_level_is_a_discovery_and_one_above_it_is_none() -> None:
    state = LordPlusPlus(alpha=0.1)
    assert state.test(state.level)[1].rejected
    assert not state.test(math.nextafter(state.level, 1))[1].rejected


def test_the_weights_never_spend_more_than_there_is_and_nearly_all_of_it() -> None:
    def weight(j: float) -> float:
        return math.log(j) / (j * math.exp(math.sqrt(math.log(j))))

    state = LordPlusPlus(alpha=0.1, initial_wealth=0.1, n_tested=3000)
    root = math.sqrt(math.log(3000.5))
    # The integral of the tail, with u = sqrt(log j): 2 u^3 exp(-u).
    tail = 0.07720838 * 2 * math.exp(-root) * (root**3 + 3 * root**2 + 6 * root + 6)
    unspent_forever = state.wealth / 0.1 - tail
    assert 0 < unspent_forever < 0.025
    assert state.level / 0.1 == pytest.approx(0.07720838 * weight(3001))


def test_wealth_is_what_was_there_less_what_was_spent_plus_what_was_earned() -> None:
    state, found = run(LordPlusPlus(alpha=0.1), [1e-9, 0.9, 1e-9, 0.3, 0.4, 1e-9, 0.2])
    spent = sum(decision.level for decision in found)
    assert state.rejections == (1, 3, 6)
    assert state.wealth == pytest.approx(0.05 + (0.1 - 0.05) + 0.1 + 0.1 - spent)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1) | st.floats(0, 1e-4), max_size=60), st.floats(0.01, 0.5))
def test_levels_never_add_up_to_more_than_alpha_per_discovery(p_values: list[float], alpha: float) -> None:
    state, found = run(LordPlusPlus(alpha=alpha), p_values)
    spent = sum(decision.level for decision in found)
    assert spent <= alpha * max(len(state.rejections), 1) + 1e-12
    assert all(decision.rejected == (decision.p_value <= decision.level) for decision in found)


@given(st.lists(st.floats(0, 1) | st.floats(0, 1e-4), max_size=20), st.integers(0, 20))
def test_a_state_that_was_stored_goes_on_as_if_it_had_not_been(p_values: list[float], cut: int) -> None:
    whole, _ = run(LordPlusPlus(alpha=0.1), p_values)
    half, _ = run(LordPlusPlus(alpha=0.1), p_values[:cut])
    stored = LordPlusPlus.from_json(json.loads(json.dumps(half.to_json())))
    assert stored == half
    assert run(stored, p_values[cut:])[0] == whole


def test_the_false_discovery_rate_is_held_and_strong_effects_are_found() -> None:
    rng = np.random.default_rng(0)
    shares, power, any_on_null = [], [], []
    for _ in range(250):
        real = rng.random(60) < 0.3
        p_values = ndtr(-(rng.standard_normal(60) + 3.5 * real))
        _, found = run(LordPlusPlus(alpha=0.1), p_values.tolist())
        rejected = np.array([decision.rejected for decision in found])
        shares.append((rejected & ~real).sum() / max(rejected.sum(), 1))
        power.append((rejected & real).sum() / max(real.sum(), 1))
        null, _ = run(LordPlusPlus(alpha=0.1), rng.random(60).tolist())
        any_on_null.append(bool(null.rejections))
    assert float(np.mean(shares)) <= 0.1
    assert float(np.mean(power)) > 0.5
    assert float(np.mean(any_on_null)) <= 0.1 + 2 * math.sqrt(0.09 / 250)


def test_bad_states_and_p_values_are_named() -> None:
    with pytest.raises(InputError, match="alpha is 0"):
        LordPlusPlus(alpha=0)
    with pytest.raises(InputError, match=r"initial_wealth is 0\.2"):
        LordPlusPlus(alpha=0.1, initial_wealth=0.2)
    with pytest.raises(InputError, match="increasing places"):
        LordPlusPlus(alpha=0.1, n_tested=4, rejections=(3, 2))
    with pytest.raises(InputError, match="increasing places"):
        LordPlusPlus(alpha=0.1, n_tested=4, rejections=(5,))
    with pytest.raises(InputError, match="not tested"):
        LordPlusPlus(alpha=0.1).test(math.nan)
    with pytest.raises(InputError, match="no state of LORD"):
        LordPlusPlus.from_json({"alpha": 0.1})
