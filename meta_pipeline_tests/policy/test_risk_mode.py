"""The default rule of the mode: breakers, hysteresis, dwell; what is worse never has the looser mode."""

import itertools
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.policy.classic import classic_mode
from meta_pipeline.policy.evaluate import Halt, Rules, evaluate
from meta_pipeline.policy.health import MAX_AGE, problems
from meta_pipeline.policy.modes import Profile, Reason, Regime, RiskMode, Volatility
from meta_pipeline.policy.risk_mode import ModeState, decide_mode
from meta_pipeline_tests.policy.builders import NOW, SCALES, at, health, in_mode, inputs, positions, strong

D, N, A = RiskMode.DEFENSIVE, RiskMode.NORMAL, RiskMode.AGGRESSIVE
TICK = timedelta(minutes=30)


def mode_of(found: Any, state: ModeState | None = None) -> RiskMode:
    return decide_mode(state, found, problems(found, now=NOW), now=NOW).mode


@pytest.mark.parametrize(
    "change",
    [
        *({"drawdown_pct": value} for value in (7.0, 20.0, 50.0, 95.0, 100.0)),
        {"volatility": Volatility.EXTREME},
        {"regime": Regime.LOW_LIQUIDITY},
        {"consecutive_losses": 100},
        {"winrate": 0.2},
        {"equity_slope_pct_per_day": -2.5},
        {"days_since_profit": 11.0},
    ],
)
def test_s02_any_single_critical_reading_suffices_for_defensive(change: dict[str, Any]) -> None:
    for state in (in_mode(N), in_mode(A)):
        made = decide_mode(state, strong(**change), (), now=NOW)
        assert made.mode is D
        assert made.reasons[0].code.startswith("breaker_")
    assert classic_mode(health(**change))[0] is N or "drawdown" in next(iter(change))


def test_s03_a_reading_that_flips_around_its_threshold_does_not_flip_the_mode() -> None:
    state: ModeState | None = in_mode(N)
    modes = []
    for tick in range(40):
        found = health(drawdown_pct=4.99 if tick % 2 else 5.0, volatility=Volatility.HIGH)
        decided = decide_mode(state, found, (), now=NOW + tick * TICK)
        state = decided.state
        modes.append(decided.mode)
    assert modes == [D] * 40


def switches_of_a_random_walk(seed: int) -> tuple[int, int]:
    """Count the switches of the stateless rule and of ours over 30 days, every half hour."""
    rng = np.random.default_rng(seed)
    n = 30 * 48
    drawdown = np.abs(5.0 + np.cumsum(rng.normal(0, 0.15, n)))
    winrate = np.clip(0.5 + np.cumsum(rng.normal(0, 0.004, n)), 0.05, 0.95)
    slope = np.clip(np.cumsum(rng.normal(0, 0.03, n)), -5, 5)
    state: ModeState | None = None
    stateless: list[RiskMode] = []
    ours: list[RiskMode] = []
    for tick in range(n):
        found = health(
            drawdown_pct=float(min(drawdown[tick], 100.0)),
            winrate=float(winrate[tick]),
            equity_slope_pct_per_day=float(slope[tick]),
            volatility=Volatility.HIGH,
        )
        decided = decide_mode(state, found, (), now=NOW + tick * TICK)
        state = decided.state
        ours.append(decided.mode)
        stateless.append(classic_mode(found)[0])
    return _switches(stateless), _switches(ours)


def _switches(modes: list[RiskMode]) -> int:
    return sum(one is not other for one, other in itertools.pairwise(modes))


def test_s03_thirty_days_of_random_walk_switch_at_most_ten_times_on_average() -> None:
    counts = np.array([switches_of_a_random_walk(seed) for seed in range(12)])
    stateless, ours = counts.mean(axis=0)
    assert stateless > 15  # the rule without memory does switch
    assert ours <= 10
    assert ours < stateless / 2


@pytest.mark.parametrize("reading", ["drawdown_pct", "winrate", "equity_slope_pct_per_day", "days_since_profit"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("profile", list(Profile))
def test_s04_what_is_missing_or_no_number_makes_the_mode_defensive_and_says_so(
    reading: str, value: float | None, profile: Profile
) -> None:
    found = strong(**{reading: value})
    made = evaluate(inputs(health=found, state=in_mode(A)), Rules(profile=profile))
    assert made.mode is D
    assert any(reading in reason.code for reason in made.reasons)


def test_s05_a_win_rate_in_per_cent_is_refused_by_its_unit() -> None:
    found = strong(winrate=55)
    (problem,) = problems(found, now=NOW)
    assert problem.code == "invalid_winrate"
    assert "0.55 and not 55" in problem.text
    assert mode_of(found, in_mode(A)) is D
    assert problems(health(drawdown_pct=-50.0), now=NOW)[0].code == "invalid_drawdown_pct"


def test_s07_a_bear_market_is_no_reason_to_be_aggressive_in_a_long_book() -> None:
    long_book = strong(regime=Regime.BEAR_TRENDING, exposure=0.8, winrate=0.55, equity_slope_pct_per_day=0.2)
    short_book = strong(regime=Regime.BEAR_TRENDING, exposure=-0.8, winrate=0.65)
    assert classic_mode(long_book)[0] is A  # the documented rule does not look at the exposure
    assert mode_of(long_book, in_mode(A)) is N
    assert mode_of(short_book, in_mode(A)) is A
    assert mode_of(strong(regime=Regime.BEAR_TRENDING, exposure=None), in_mode(A)) is N


@pytest.mark.parametrize("profile", list(Profile))
def test_s12_an_empty_database_is_not_good_health(profile: Profile) -> None:
    from meta_pipeline.policy.health import SystemHealth

    made = evaluate(inputs(health=SystemHealth(), state=in_mode(A)), Rules(profile=profile))
    assert made.mode is D
    assert {"missing_drawdown_pct", "missing_winrate", "missing_fills", "missing_prices"} <= {
        reason.code for reason in made.reasons
    }


def test_old_inputs_and_inputs_from_the_future_are_not_believed() -> None:
    for moved, code in ((-MAX_AGE - TICK, "stale_prices"), (timedelta(hours=1), "stale_prices")):
        found = strong(as_of={"fills": NOW, "prices": NOW + moved})
        assert [one.code for one in problems(found, now=NOW)] == [code]
        assert mode_of(found, in_mode(A)) is D
    naive = strong(as_of={"fills": NOW, "prices": NOW.replace(tzinfo=None)})
    assert [one.code for one in problems(naive, now=NOW)] == ["invalid_prices"]


def first_minutes(minutes: int) -> dict[RiskMode, int]:
    """Return after how many minutes of calm each mode is reached, by evaluations so many minutes apart."""
    state: ModeState | None = None
    reached: dict[RiskMode, int] = {}
    for elapsed in range(0, 40 * 24 * 60, minutes):
        decided = decide_mode(state, strong(), (), now=NOW + timedelta(minutes=elapsed))
        assert state is None or 0 <= decided.mode.rank - state.mode.rank <= 1
        state = decided.state
        reached.setdefault(decided.mode, elapsed)
        if decided.mode is A:
            break
    return reached


@pytest.mark.parametrize(("minutes", "to_normal", "to_aggressive"), [(30, 240, 990), (60, 240, 1020), (240, 960, 4080)])
def test_the_mode_goes_up_one_step_at_a_time_and_only_after_the_dwell(
    minutes: int, to_normal: int, to_aggressive: int
) -> None:
    """Four hours, then twelve more after a first calm look; of a longer gap one hour counts."""
    assert first_minutes(minutes) == {D: 0, N: to_normal, A: to_aggressive}


def test_a_gap_between_evaluations_does_not_count_as_calm() -> None:
    first = decide_mode(None, strong(), (), now=NOW)
    later = decide_mode(first.state, strong(), (), now=NOW + timedelta(days=30))
    assert later.mode is D
    assert later.state.calm_seconds == 3600


def test_a_clock_that_goes_back_makes_no_time_pass() -> None:
    first = decide_mode(None, strong(), (), now=NOW)
    back = decide_mode(first.state, strong(), (), now=NOW - timedelta(days=1))
    assert back.mode is D
    assert back.state.calm_seconds == 0


def test_one_wild_tick_for_the_better_does_not_loosen_and_one_for_the_worse_tightens_at_once() -> None:
    bad, state = health(drawdown_pct=9.0), None
    for tick in range(20):
        found = strong() if tick == 10 else bad
        decided = decide_mode(state, found, (), now=NOW + tick * TICK)
        state = decided.state
        assert decided.mode is D
    assert decide_mode(in_mode(A), bad, (), now=NOW).mode is D


def test_a_halt_holds_whatever_the_health() -> None:
    halt = Halt(by="ann", at=NOW, reason="news")
    made = evaluate(inputs(health=strong(), state=in_mode(A), halt=halt))
    assert (made.mode, made.reduce_only, made.strategies) == (D, True, ())
    assert made.reasons[0].code == "halted"
    resumed = evaluate(inputs(health=strong(), state=made.state))
    assert resumed.mode is D  # the calm has to last first


def test_a_slow_book_is_given_more_days_without_profit() -> None:
    found = health(days_since_profit=12.0, consecutive_losses=1)
    assert mode_of(found, in_mode(N)) is D
    assert mode_of(health(days_since_profit=12.0, days_between_trades=5.0), in_mode(N)) is N
    assert mode_of(health(days_since_profit=101.0, days_between_trades=50.0), in_mode(N)) is D


def test_the_ceiling_of_the_configuration_holds_the_mode_down_and_says_so() -> None:
    made = evaluate(inputs(health=strong(), state=in_mode(A)), Rules(ceiling=N))
    assert made.mode is N
    assert made.state.mode is A
    assert "ceiling" in {reason.code for reason in made.reasons}


def worse(good: dict[str, int], falls: dict[str, int]) -> dict[str, int]:
    return {name: max(good[name] - falls[name], 0) for name in good}


@given(positions(), positions(), st.sampled_from([D, N, A]), st.sampled_from(list(Profile)))
@settings(max_examples=300, deadline=None)
def test_a_worse_reading_never_loosens(
    good: dict[str, int], falls: dict[str, int], mode: RiskMode, profile: Profile
) -> None:
    better, lower = at(good), at(worse(good, falls))
    state, rules = in_mode(mode), Rules(profile=profile)
    one = evaluate(inputs(health=lower, state=state), rules)
    other = evaluate(inputs(health=better, state=state), rules)
    assert one.mode.rank <= other.mode.rank
    assert one.limits.max_risk_per_trade <= other.limits.max_risk_per_trade
    assert one.limits.max_positions <= other.limits.max_positions


@given(
    st.lists(st.tuples(positions(), positions(), st.integers(1, 300)), min_size=2, max_size=25),
    st.sampled_from([None, D, N, A]),
)
@settings(max_examples=150, deadline=None)
def test_a_path_that_is_worse_at_any_time_never_has_the_looser_mode_then_or_later(
    path: list[tuple[dict[str, int], dict[str, int], int]], mode: RiskMode | None
) -> None:
    states = [None if mode is None else in_mode(mode)] * 2
    now = NOW
    for good, falls, minutes in path:
        now += timedelta(minutes=minutes)
        modes = []
        for side, found in enumerate((at(worse(good, falls)), at(good))):
            found_problems = [one for one in problems(found, now=now) if not one.code.startswith("stale")]
            decided = decide_mode(states[side], found, found_problems, now=now)
            states[side] = decided.state
            modes.append(decided.mode.rank)
        assert modes[0] <= modes[1]


@given(positions(), st.sampled_from([D, N, A]))
@settings(max_examples=150, deadline=None)
def test_the_mode_never_rises_by_more_than_one_step_nor_at_once_from_defensive(
    position: dict[str, int], mode: RiskMode
) -> None:
    fresh = ModeState(mode=mode, entered_at=NOW - TICK, evaluated_at=NOW - TICK)
    made = decide_mode(fresh, at(position), problems(at(position), now=NOW), now=NOW)
    assert made.mode.rank <= mode.rank
    ripe = decide_mode(in_mode(mode), at(position), problems(at(position), now=NOW), now=NOW)
    assert ripe.mode.rank <= mode.rank + 1


def test_the_scales_of_the_property_tests_run_from_worse_to_better() -> None:
    """Guards the tests above: a scale in the wrong order would make them vacuous."""
    few_signs = {"equity_slope_pct_per_day": 0.1, "regime": Regime.RANGING}
    for name, values in SCALES.items():
        others = few_signs if name == "recent_trade_count" else {}
        ranks = [mode_of(strong(**{**others, name: value}), in_mode(A)).rank for value in values]
        assert ranks == sorted(ranks), name
        assert len(set(ranks)) > 1, name


def test_the_state_is_read_back_as_it_was_written_and_nothing_else_is() -> None:
    from meta_pipeline.errors import InputError

    state = in_mode(N)
    assert ModeState.from_json(state.to_json()) == state
    for broken in (None, {}, {**state.to_json(), "mode": "BRAVE"}, {**state.to_json(), "entered_at": 7}):
        with pytest.raises(InputError, match="stored state of the risk mode"):
            ModeState.from_json(broken)


def test_reasons_are_objects_with_a_code_and_a_sentence() -> None:
    assert Reason(code="a", text="b").to_json() == {"code": "a", "text": "b"}
