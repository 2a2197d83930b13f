"""The verdict follows the rule that was fixed, and what is not known never keeps a change."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.outcomes.experiment import ExperimentVerdict, decide, is_over
from meta_pipeline.outcomes.judgement import Verdict, judge_outcome
from meta_pipeline.outcomes.paired import MarketDays, difference, on_one_calendar
from meta_pipeline.proposals.outcome_rule import OutcomeRule, rule_of
from meta_pipeline_tests.outcomes.made_up import market_days

RULE = OutcomeRule()


def verdict(*found: MarketDays, rule: OutcomeRule = RULE) -> Verdict:
    return judge_outcome(found, rule, seed=1).verdict


def test_a_change_that_is_better_beyond_chance_is_kept() -> None:
    judged = judge_outcome([market_days(500, better=1.5)], RULE, seed=1)
    assert judged.verdict is Verdict.KEEP
    assert judged.effect is not None
    assert judged.effect.lower > 0
    assert (judged.n_days, judged.missing) == (500, {})
    assert judged.after["sharpe"] is not None
    assert judged.before["sharpe"] is not None
    assert judged.after["sharpe"] - judged.before["sharpe"] == pytest.approx(judged.effect.estimate)


def test_a_change_that_is_worse_beyond_chance_is_to_be_reverted() -> None:
    assert verdict(market_days(500, better=-1.5)) is Verdict.REVERT


def test_harm_too_small_to_matter_is_ruled_out_and_kept_only_when_the_days_say_so() -> None:
    assert verdict(market_days(400, noise=0.00002)) is Verdict.KEEP
    assert verdict(market_days(400, noise=0.002)) is Verdict.INCONCLUSIVE


def test_before_the_minimum_of_days_even_a_large_effect_says_nothing() -> None:
    judged = judge_outcome([market_days(59, better=20.0)], RULE, seed=1)
    assert judged.verdict is Verdict.INSUFFICIENT_DATA
    assert "59 of at least 60 days" in judged.reason
    assert verdict(market_days(60, better=20.0)) is Verdict.KEEP


def test_a_breached_guardrail_calls_for_a_revert_before_the_effect_counts() -> None:
    assert verdict(market_days(40, scale=1.5)) is Verdict.REVERT
    assert verdict(market_days(19, scale=1.5)) is Verdict.INSUFFICIENT_DATA
    allowed = replace(RULE, volatility_rise=0.6, drawdown_rise=1.0)
    assert verdict(market_days(40, scale=1.5), rule=allowed) is Verdict.INSUFFICIENT_DATA


def test_a_deeper_drawdown_breaches_its_guardrail() -> None:
    found = market_days(100)
    falling = found.after.copy()
    falling[50:56] = -0.02
    judged = judge_outcome([replace(found, after=falling)], replace(RULE, volatility_rise=9.0), seed=1)
    assert judged.verdict is Verdict.REVERT
    assert "drawdown" in judged.reason


def test_a_regime_that_is_hurt_beyond_chance_breaches_its_guardrail_and_noise_does_not() -> None:
    found = market_days(500, regimes=("CALM", "STORM"), noise=0.0005)
    assert found.regimes is not None
    hurt = found.after - np.where(found.regimes == "STORM", 0.0025, -0.0025)
    rule = replace(RULE, volatility_rise=9.0, drawdown_rise=9.0)
    judged = judge_outcome([replace(found, after=hurt)], rule, seed=1)
    assert (judged.verdict, "worst regime STORM" in judged.reason) == (Verdict.REVERT, True)
    assert not judge_outcome([found], rule, seed=1).guardrails[2].breached


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "no day since the change can be compared"),
        ([market_days(2)], "2 days"),
        ([replace(market_days(100), after=market_days(100).before)], "earned the same on every day"),
        ([replace(market_days(100), after=np.zeros(100))], "the new configuration never moved"),
    ],
)
def test_what_cannot_be_compared_is_insufficient_data_with_a_reason(found: list[MarketDays], said: str) -> None:
    judged = judge_outcome(found, RULE, seed=1)
    assert judged.verdict is Verdict.INSUFFICIENT_DATA
    assert said in judged.reason
    assert judged.effect is None
    figures = judged.to_json()
    assert all(number != 0.0 for name in ("before", "after") for number in figures[name].values())  # type: ignore[union-attr]


def test_days_beyond_the_evaluation_are_not_looked_at() -> None:
    rule = replace(RULE, evaluation_days=120)
    found = market_days(400)
    later = found.after.copy()
    later[120:] = 0.5
    judged = judge_outcome([replace(found, after=later)], rule, seed=1)
    assert judged.n_days == 120
    assert judged.to_json() == judge_outcome([found], rule, seed=1).to_json()


def test_markets_weigh_the_same_and_one_that_cannot_be_compared_is_named() -> None:
    one, two = market_days(300, better=1.0, seed=1, market="A"), market_days(300, better=-1.0, seed=2, market="B")
    flat = replace(market_days(300, market="C"), before=np.zeros(300))
    both = on_one_calendar([one, two, flat])
    assert both.markets == ("A", "B")
    assert "C: the old configuration never moved" in both.left_out[0]
    alone = [
        difference(on_one_calendar([m]), metric="sharpe_ratio", alpha=0.1, tuned_for=252, seed=1) for m in (one, two)
    ]
    together = difference(both, metric="sharpe_ratio", alpha=0.1, tuned_for=252, seed=1)
    assert together.estimate == pytest.approx((alone[0].estimate + alone[1].estimate) / 2)


def test_the_interval_for_every_look_is_wider_than_that_for_one() -> None:
    found = difference(on_one_calendar([market_days()]), metric="mean_return", alpha=0.1, tuned_for=252, seed=1)
    assert found.upper - found.lower > found.bootstrap_upper - found.bootstrap_lower > 0


def test_a_judgement_is_a_function_of_the_days_the_rule_and_the_seed() -> None:
    found = [market_days(200, regimes=("A", "B"))]
    assert judge_outcome(found, RULE, seed=5).to_json() == judge_outcome(found, RULE, seed=5).to_json()


def test_a_challenger_has_to_be_better_and_an_incumbent_only_not_worse() -> None:
    same = judge_outcome([market_days(400, noise=0.00002)], RULE, seed=1)
    assert same.verdict is Verdict.KEEP
    assert decide(same, RULE)[0] is ExperimentVerdict.INCUMBENT
    better = judge_outcome([market_days(500, better=1.5)], RULE, seed=1)
    assert decide(better, RULE)[0] is ExperimentVerdict.CHALLENGER
    risky = judge_outcome([market_days(500, better=1.5, scale=2.0)], RULE, seed=1)
    assert decide(risky, RULE)[0] is ExperimentVerdict.INCUMBENT
    young = judge_outcome([market_days(30, better=9.0)], RULE, seed=1)
    assert decide(young, RULE)[0] is ExperimentVerdict.INSUFFICIENT_DATA
    open_ = decide(judge_outcome([market_days(300)], RULE, seed=1), RULE)[0]
    assert open_ is ExperimentVerdict.INCONCLUSIVE
    assert not is_over(open_, 300, RULE)
    assert is_over(open_, RULE.evaluation_days, RULE)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"metric": "luck"}, "luck"),
        ({"minimum_days": 1}, "minimum_days is 1"),
        ({"minimum_days": 60.0}, "60.0"),
        ({"evaluation_days": 30}, "before its minimum"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"smallest_effect": math.nan}, "nan"),
        ({"drawdown_rise": -0.1}, "-0.1"),
        ({"markets": "SP500"}, "list of market ids"),
        ({"patience": 3}, "no field patience"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_by_name(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        rule_of(bad)
    assert rule_of(replace(RULE, markets=("A", "B")).to_json()) == replace(RULE, markets=("A", "B"))
