"""Scores and selection: the documented formula exactly, and the lower bound that luck does not lift."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.policy.evaluate import Rules, evaluate
from meta_pipeline.policy.modes import Profile, Regime, RiskMode
from meta_pipeline.policy.scores import (
    StrategyTable,
    TradeColumns,
    classic_scores,
    edge_bounds,
    objections,
    suits,
    tabulate,
)
from meta_pipeline.policy.selection import MOST, choose, choose_classic
from meta_pipeline_tests.policy.builders import columns, health, in_mode, inputs, steady, strong, table

CLASSIC = Rules(profile=Profile.CLASSIC)


def made_of(**arrays: list[float]) -> StrategyTable:
    """Return a table with these columns, and plausible ones besides."""
    n = len(next(iter(arrays.values())))
    given_: dict[str, list[float]] = {
        "total_trades": [100] * n,
        "wins": [50] * n,
        "gross_profit": [20.0] * n,
        "gross_loss": [10.0] * n,
        "mean_return": [0.1] * n,
        "return_deviation": [1.0] * n,
        "max_drawdown_pct": [5.0] * n,
        "worst_trade_pct": [-1.0] * n,
        "average_r": [float("nan")] * n,
        "age_days": [30.0] * n,
        **arrays,
    }
    whole = {"total_trades", "wins"}
    built: dict[str, Any] = {
        name: np.array(values, dtype=np.int64 if name in whole else np.float64) for name, values in given_.items()
    }
    names = tuple(f"S{i}" for i in range(n))
    return StrategyTable(strategy_ids=names, regime_tags=np.zeros((n, len(Regime)), dtype=bool), **built)


def test_the_documented_formula_to_the_last_digit() -> None:
    """Profit factor 2.8, win rate 65 %, drawdown 4.45 %, 120 trades, regime bonus: the documented 1.011."""
    of = made_of(gross_profit=[28.0], total_trades=[120], wins=[78], max_drawdown_pct=[4.45])
    of = of.with_tags(np.array([[True] + [False] * 5]))
    parts = classic_scores(of, Regime.BULL_TRENDING)
    assert parts.score[0] == pytest.approx(0.40 + 0.25 + 0.20 * (1 - 0.445) + 0.10 + 0.15)
    assert round(float(parts.score[0]), 3) == 1.011
    assert classic_scores(of, Regime.CHOPPY).score[0] == pytest.approx(0.861)
    assert classic_scores(of, None).regime_bonus[0] == 0.0


@pytest.mark.parametrize(
    ("change", "part", "worth"),
    [
        ({"gross_profit": [10.0]}, "profit_factor", 0.20),
        ({"gross_profit": [500.0]}, "profit_factor", 0.40),
        ({"gross_loss": [0.0]}, "profit_factor", 0.40),
        ({"wins": [40]}, "winrate", 0.0),
        ({"wins": [70]}, "winrate", 0.30),
        ({"wins": [90]}, "winrate", 0.30),
        ({"max_drawdown_pct": [0.0]}, "drawdown", 0.20),
        ({"max_drawdown_pct": [10.0]}, "drawdown", 0.0),
        ({"max_drawdown_pct": [60.0]}, "drawdown", 0.0),
        ({"total_trades": [25], "wins": [10]}, "volume", 0.05),
        ({"total_trades": [50], "wins": [10]}, "volume", 0.10),
    ],
)
def test_each_part_of_the_documented_score_at_its_ends(change: dict[str, list[float]], part: str, worth: float) -> None:
    assert getattr(classic_scores(made_of(**change), None), part)[0] == pytest.approx(worth)


def test_s13_a_strategy_that_wins_often_and_loses_more_is_not_chosen_and_none_is_a_choice() -> None:
    losing = [1.0] * 65 + [-2.5] * 34 + [-1000.0]
    made = evaluate(inputs(table(losing, losing)))
    assert made.strategies == ()
    assert made.weights == {}
    assert made.counts == {"edge_not_proven": 2}
    poor = table(*([0.1] * 20 + [-2.0] * 30 for _ in range(6)))
    for rules in (Rules(), CLASSIC):
        nothing = evaluate(inputs(poor, health=strong(), state=in_mode(RiskMode.AGGRESSIVE)), rules)
        assert nothing.strategies == ()
        assert any("none is allowed" in reason.text for reason in nothing.reasons)


def test_s14_what_is_no_statistic_is_left_out_and_never_ranked() -> None:
    of = made_of(
        gross_profit=[float("nan"), 20.0, 20.0, 20.0],
        max_drawdown_pct=[5.0, -50.0, 0.95, 5.0],
        worst_trade_pct=[-1.0, -1.0, -4.0, -1.0],
    )
    assert objections(of, fewest=10).tolist() == [
        "invalid_profit_factor",
        "invalid_drawdown",
        "inconsistent_drawdown",
        "",
    ]
    for rules in (Rules(), CLASSIC):
        made = evaluate(inputs(of), rules)
        assert "S0" not in made.strategies
        assert np.isnan(made.scores[:3]).all()


def test_s15_ten_lucky_trades_are_worth_less_than_two_thousand_good_ones() -> None:
    lucky = [11.0] * 9 + [-1.0]
    good = ([1.8] * 500 + [-1.0] * 500) * 2
    of = table(lucky, good)
    assert of.profit_factor.tolist() == [99.0, pytest.approx(1.8)]
    bounds = edge_bounds(of, objections(of, fewest=10) == "")
    assert bounds[1] > 0 > bounds[0]
    assert evaluate(inputs(of)).strategies == ("S1",)


def test_s16_the_cap_is_hard_in_every_mode() -> None:
    of = table(*(steady(seed) for seed in range(12)))
    returns = np.random.default_rng(0).normal(0, 0.001, (60, 12))
    crisis = health(drawdown_pct=9.0, winrate=0.3)
    for profile in Profile:
        for mode, found in ((RiskMode.DEFENSIVE, crisis), (RiskMode.AGGRESSIVE, strong())):
            for cap in (0, 1, 3):
                rules = Rules(profile=profile, max_strategies=cap)
                crisis = health(drawdown_pct=9.0, winrate=0.3) if mode is RiskMode.DEFENSIVE else found
                made = evaluate(inputs(of, returns=returns, health=crisis, state=in_mode(mode)), rules)
                assert made.mode is mode
                assert len(made.strategies) == cap
            most = evaluate(
                inputs(of, returns=returns, health=crisis, state=in_mode(mode)),
                Rules(profile=profile, max_strategies=99),
            )
            assert len(most.strategies) == MOST[mode]


def test_s17_no_strategies_means_none_allowed_however_good_the_health() -> None:
    made = evaluate(inputs(table(), health=strong(), state=in_mode(RiskMode.AGGRESSIVE)))
    assert (made.strategies, made.weights) == ((), {})
    assert made.mode is RiskMode.AGGRESSIVE


def test_two_strategies_that_are_one_bet_are_not_both_chosen() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0, 0.01, 60)
    returns = np.column_stack([base, base + rng.normal(0, 0.001, 60), rng.normal(0, 0.01, 60)])
    of = table(steady(1, 400, mean=0.5), steady(2, 400, mean=0.45), steady(3, 400, mean=0.4))
    made = evaluate(inputs(of, returns=returns))
    assert made.counts == {"same_bet": 1}
    assert len(made.strategies) == 2
    assert made.strategies[-1] == "S2"


def test_a_strategy_made_for_another_regime_waits() -> None:
    of = table(steady(1), steady(2)).with_tags(np.array([[False, False, False, True, False, False], [False] * 6]))
    assert evaluate(inputs(of)).strategies == ("S1",)
    assert set(evaluate(inputs(of, health=health(regime=Regime.CHOPPY))).strategies) == {"S0", "S1"}
    assert suits(of, Regime.CHOPPY).tolist() == [True, False]
    with pytest.raises(InputError, match="tags of shape"):
        of.with_tags(np.zeros((1, 6), dtype=bool))


def test_strategies_that_are_withheld_are_left_out_with_the_reason() -> None:
    of = table(steady(1), steady(2))
    made = evaluate(inputs(of, withheld=np.array(["paused", "undeclared"])))
    assert made.counts == {"paused": 1, "undeclared": 1}
    assert made.strategies == ()


def test_a_newcomer_is_admitted_by_a_person_within_the_cap_and_only_for_want_of_trades() -> None:
    of = table(steady(1), [1.0] * 3, [-1.0] * 40)
    admitted = np.array([False, True, True])
    assert evaluate(inputs(of, admitted=admitted)).strategies == ("S0", "S1")
    assert evaluate(inputs(of, admitted=admitted), Rules(max_strategies=1)).strategies == ("S0",)


def test_newcomers_do_not_break_the_cap_of_the_mode() -> None:
    of = table(*[[1.0] * 3] * 9)
    everybody = np.ones(9, dtype=bool)
    assert len(evaluate(inputs(of, admitted=everybody, health=health(drawdown_pct=9.0))).strategies) == 4
    assert len(evaluate(inputs(of, admitted=everybody)).strategies) == 8


def test_a_strategy_whose_risk_nobody_has_seen_gets_half_of_its_share() -> None:
    of = table(steady(1), [1.0] * 3)
    admitted = np.array([False, True])
    returns = np.zeros((60, 2))
    returns[:, 0] = 0.001
    weights = evaluate(inputs(of, admitted=admitted, returns=returns)).weights
    returns[-25:, 1] = 0.001
    seen = evaluate(inputs(of, admitted=admitted, returns=returns)).weights
    assert sum(seen.values()) == pytest.approx(1.0, abs=1e-5)
    assert 0.5 < sum(weights.values()) < 1.0
    assert weights["S1"] <= 0.25


def test_days_before_a_strategy_began_do_not_dilute_its_risk() -> None:
    of = table(steady(1), steady(2))
    wild = 0.02 * np.random.default_rng(5).standard_normal((60, 2))
    young = np.concatenate([np.zeros((600, 2)), wild])
    made = [evaluate(inputs(of, returns=returns)).expected_shortfall for returns in (wild, young)]
    assert made[0] is not None
    assert made[1] is not None
    assert made[1] >= 0.99 * made[0]


def test_of_a_thousand_strategies_without_edge_hardly_any_is_chosen() -> None:
    rng = np.random.default_rng(4)
    trades = columns(*rng.normal(0, 1, (1000, 40)))
    of = tabulate(trades, tuple(f"S{i}" for i in range(1000)), now=np.datetime64("2026-11-20", "s"))
    usable = objections(of, fewest=10) == ""
    assert np.count_nonzero(edge_bounds(of, usable) > 0) <= 2
    naive = of.mean_return - 1.645 * of.return_deviation / np.sqrt(40)
    assert np.count_nonzero(naive > 0) > 25


def test_the_bound_is_below_the_truth_as_often_as_it_says() -> None:
    """Strategies whose true edges follow the prior: at least 95 % of the bounds lie below them."""
    rng = np.random.default_rng(9)
    truth = rng.normal(0, 0.2, 800)
    of = tabulate(
        columns(*(edge + rng.normal(0, 1, 60) for edge in truth)),
        tuple(map(str, range(800))),
        now=np.datetime64("2026-11-20", "s"),
    )
    bounds = edge_bounds(of, np.ones(800, dtype=bool))
    assert np.mean(bounds < truth) >= 0.935


profits = st.lists(st.lists(st.floats(-50, 50), min_size=1, max_size=30), min_size=1, max_size=6)


@given(profits)
@settings(max_examples=80, deadline=None)
def test_the_statistics_are_those_of_a_plain_loop(lists: list[list[float]]) -> None:
    of = table(*lists)
    for i, own in enumerate(lists):
        values = np.array(own)
        curve = np.cumprod(np.concatenate([[1.0], 1 + values / 100]))
        assert of.total_trades[i] == len(own)
        assert of.wins[i] == np.count_nonzero(values > 0)
        assert of.gross_profit[i] == pytest.approx(values[values > 0].sum())
        assert of.gross_loss[i] == pytest.approx(-values[values < 0].sum())
        assert of.mean_return[i] == pytest.approx(values.mean() / 100, abs=1e-12)
        if len(own) > 1:
            assert of.return_deviation[i] == pytest.approx(values.std(ddof=1) / 100, abs=1e-12)
        worst = 100 * float(np.max(1 - curve / np.maximum.accumulate(curve)))
        assert of.max_drawdown_pct[i] == pytest.approx(worst, abs=1e-7)
        assert of.worst_trade_pct[i] == pytest.approx(values.min())


def test_a_strategy_without_trades_has_no_figures_and_is_left_out() -> None:
    of = table([], steady(1))
    assert objections(of, fewest=1).tolist()[0] != ""
    assert np.isnan(of.winrate[0])
    assert evaluate(inputs(of)).strategies == ("S1",)


def test_multiples_of_risk_are_taken_where_the_risk_is_known() -> None:
    trades = columns([10.0, -5.0, 30.0])
    known = TradeColumns(
        strategies=trades.strategies,
        closed_at=trades.closed_at,
        pnl=trades.pnl,
        notional=trades.notional,
        initial_risk=np.array([10.0, np.nan, 10.0]),
        long=trades.long,
    )
    of = tabulate(known, ("S0",), now=np.datetime64("2026-11-20", "s"))
    assert of.average_r[0] == pytest.approx(2.0)
    assert np.isnan(table([1.0, 2.0]).average_r[0])
    assert len(known.since(known.closed_at[1])) == 2


def test_ties_are_broken_by_order_and_nothing_depends_on_chance() -> None:
    scores, codes = np.array([0.5, 0.5, 0.5]), np.array(["", "", ""])
    assert choose_classic(scores, codes, mode=RiskMode.DEFENSIVE, most=2).chosen == (0, 1)
    chosen = choose(
        scores,
        codes,
        suitable=np.ones(3, dtype=bool),
        returns=np.zeros((5, 3)),
        mode=RiskMode.DEFENSIVE,
        most=2,
    )
    assert (chosen.chosen, chosen.codes.tolist()) == ((0, 1), ["", "", "beyond_the_cap"])
