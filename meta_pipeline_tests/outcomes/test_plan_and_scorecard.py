"""Said beforehand: what an evaluation can find. Said afterwards: what proposals claimed, and what they brought."""

from dataclasses import replace

import numpy as np
import pytest

from meta_pipeline.canonical import JsonValue
from meta_pipeline.outcomes.control import BeforeAndAfter, difference_in_differences
from meta_pipeline.outcomes.plan import exit_plan
from meta_pipeline.outcomes.scorecard import ScoredChange, score
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline_tests.proposals.governed import draft

RULE = OutcomeRule()
EVIDENCE: dict[str, JsonValue] = {"effect": {"metric": "sharpe_ratio", "standard_error": 0.05, "n_days": 2500}}


def span(name: str, change: float, *, seed: int, market: str = "M") -> BeforeAndAfter:
    generator = np.random.default_rng(seed)
    returns = 0.01 * generator.standard_normal(1000)
    returns[500:] += change * 0.01 / np.sqrt(252)
    days = np.datetime64("2024-01-01") + np.arange(1000)
    return BeforeAndAfter(
        strategy_id=name, market=market, dates=days, returns=returns, changed_on=days[500], periods_per_year=252.0
    )


def test_a_proposal_says_in_advance_what_its_evaluation_can_find() -> None:
    plan = exit_plan(draft(outcome_rule=RULE.to_json(), supporting_metrics=EVIDENCE, expected_sharpe_improvement=0.5))
    assert plan.detectable is not None
    assert list(plan.detectable) == [60, 504]
    assert plan.detectable[60] > plan.detectable[504] > 0
    assert plan.days_needed is not None
    text = " ".join(plan.sentences())
    assert f"The claimed +0.50 needs {plan.days_needed:,} days" in text
    assert "drawdown deeper by 5.0%" in text


def test_what_is_not_measured_is_said_to_be_unknown() -> None:
    unknown = exit_plan(draft(outcome_rule=RULE.to_json(), supporting_metrics={"kind": "human"}))
    assert "not known in advance" in " ".join(unknown.sentences())
    without = exit_plan(draft())
    assert (without.rule, without.detectable) == (None, None)
    assert "nothing will be judged" in without.sentences()[0]


def test_the_second_control_takes_out_what_the_times_did_to_everybody() -> None:
    rule = replace(RULE, alpha=0.1)
    treated = [span("S", 6.0, seed=1)]
    untouched = [span("T", 3.0, seed=2), span("T", 3.0, seed=3, market="N"), span("U", 3.0, seed=4)]
    found = difference_in_differences(treated, untouched, rule, seed=1)
    assert found.strategies == ("T", "U")
    assert found.estimate == pytest.approx(3.0, abs=2.5)
    alone = difference_in_differences(treated, [span("T", 0.0, seed=2)], rule, seed=1)
    assert alone.estimate is not None
    assert found.estimate is not None
    assert alone.estimate > found.estimate + 1.0


def test_without_an_untouched_strategy_the_second_control_is_null_with_a_reason() -> None:
    found = difference_in_differences([span("S", 1.0, seed=1)], [], RULE, seed=1)
    assert (found.estimate, found.reason) == (None, "no untouched strategy with days before and after")


def test_the_scorecard_sets_realised_beside_claimed_with_n_and_an_interval() -> None:
    changes = [
        ScoredChange(proposal_type="risk_reduction", claimed=0.4, realised=0.1, verdict="KEEP"),
        ScoredChange(proposal_type="risk_reduction", claimed=0.6, realised=0.0, verdict="INCONCLUSIVE"),
        ScoredChange(proposal_type="risk_reduction", claimed=0.5, realised=0.05, verdict="INCONCLUSIVE"),
        ScoredChange(proposal_type="risk_reduction", claimed=0.9, realised=None, verdict="INSUFFICIENT_DATA"),
        ScoredChange(proposal_type="by_hand", claimed=None, realised=0.3, verdict="KEEP"),
    ]
    by_hand, machine = score(changes)
    assert (machine.n_changes, machine.n_realised) == (4, 3)
    assert machine.claimed == pytest.approx(0.5)
    assert machine.realised == pytest.approx(0.05)
    assert machine.lower is not None
    assert machine.upper is not None
    assert machine.lower < 0.05 < machine.upper
    # Student's interval of 0, 0.05, 0.1: 0.05 -+ 2.919986 * 0.05 / sqrt(3).
    assert machine.upper == pytest.approx(0.05 + 2.919986 * 0.05 / np.sqrt(3), rel=1e-6)
    assert machine.overclaims
    assert (by_hand.claimed, by_hand.realised, by_hand.lower, by_hand.overclaims) == (None, None, None, False)
    assert by_hand.reason is not None
