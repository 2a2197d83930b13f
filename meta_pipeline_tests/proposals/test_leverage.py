"""A knob that only scales returns: judged by return and risk, and nothing is made up of its Sharpe ratio."""

import json

import numpy as np
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.proposals.candidate import ProposalType, Rule
from meta_pipeline.proposals.candidate_json import candidate_from_json
from meta_pipeline.proposals.rationale import unsupported_numbers
from meta_pipeline_tests.proposals.leverage import LABELS, judged, levered, proposed

UNMOVED = "the Sharpe ratio does not move"


def test_a_change_that_only_scales_returns_has_no_figures_about_its_sharpe_ratio() -> None:
    stopped = [one for one in judged().suppressed if one.knob == "target"]
    assert {one.suppressed_by for one in stopped} == {Rule.IDENTICAL_RETURNS}
    for one in (*stopped, proposed()):
        assert one.expected_uplift == 0.0
        assert one.probability_positive is None
        assert (one.uplift_lower, one.uplift_upper) == (None, None)
        assert UNMOVED in one.missing["probability_positive"]
    for one in stopped:
        assert one.smallest_detectable_effect is None
        assert UNMOVED in one.missing["smallest_detectable_effect"]
        assert one.stability is not None
        assert one.stability.sign_consistency is None
        assert UNMOVED in str(one.stability.reason)


def test_what_is_proposed_for_its_risk_is_stable_in_its_risk() -> None:
    one = proposed()
    assert one.proposal_type is ProposalType.RISK_CONSTRAINT
    assert one.effect.metric == "volatility"
    stability = one.stability
    assert stability is not None
    assert stability.metric == "volatility"
    assert len(stability.sub_periods) == 8
    assert stability.sign_consistency == 1.0
    volatility = summarize(levered().returns, 252).volatility
    whole = np.mean([volatility[first + at] - volatility[first + 2] for first in range(0, 24, 3) for at in (0,)])
    assert one.effect.estimate == pytest.approx(whole)
    assert np.mean([part.estimate for part in stability.sub_periods]) == pytest.approx(whole, rel=0.05)


def test_its_effect_in_a_regime_is_that_of_the_metric_on_the_days_of_the_regime() -> None:
    crisis = next(one for one in proposed().regimes if one.label == "CRISIS")
    inside = summarize(levered().returns[LABELS[""] == "CRISIS"], 252).volatility
    assert crisis.metric == "volatility"
    assert crisis.estimate == pytest.approx(np.mean([inside[i] - inside[i + 2] for i in range(0, 24, 3)]))
    assert crisis.standard_error is not None
    assert 0 < crisis.standard_error < 0.1 * abs(crisis.estimate or 0)


def test_the_smallest_effect_that_could_be_found_is_one_of_the_metric() -> None:
    one = proposed()
    assert one.effect.standard_error is not None
    assert one.smallest_detectable_effect is not None
    # Holm's first of 4 metrics x 3 changes at 0.5 % of one-sided error, and a power of 80 %.
    assert 3.0 < one.smallest_detectable_effect / one.effect.standard_error < 5.0
    assert one.days_needed is None
    assert one.missing["days_needed"] == "the days at hand are enough"


def test_return_is_claimed_as_measured_because_nothing_was_chosen_for_its_size() -> None:
    one = proposed()
    lost = one.risk_effect("mean_return")
    assert lost is not None
    assert one.expected_return_improvement == pytest.approx(lost.estimate)
    assert one.expected_return_improvement is not None
    assert one.expected_return_improvement < 0


def test_a_drawdown_has_sub_periods_without_an_error_and_no_regimes() -> None:
    one = proposed(high_volatility=5.0)
    assert one.effect.metric == "max_drawdown"
    assert one.stability is not None
    assert one.stability.sign_consistency == 1.0
    assert one.stability.drift is None
    assert "not known" in str(one.stability.reason)
    assert all(part.standard_error is None and (part.estimate or 0) > 0 for part in one.stability.sub_periods)
    assert one.regimes == ()
    assert "several regimes" in one.missing["regimes"]


def test_the_rationale_says_what_holds_and_every_number_of_it_is_in_the_evidence() -> None:
    for one in (*judged().candidates, proposed(high_volatility=5.0)):
        assert unsupported_numbers(one.rationale, json.loads(canonical_json(one.to_json()))) == ()
    text = proposed().rationale
    assert UNMOVED in text
    assert "The sign of the change of volatility held in 8 of 8 sub-periods." in text
    assert "mean return -" in text
    assert "positive with probability" not in text


def test_what_was_found_is_read_back_as_it_was_and_older_slices_are_of_the_sharpe_ratio() -> None:
    written = json.loads(canonical_json(proposed().to_json()))
    assert candidate_from_json(written).to_json() == proposed().to_json()
    for part in (*written["stability"]["sub_periods"], *written["regimes"]):
        del part["metric"]
    older = candidate_from_json(written)
    assert older.stability is not None
    assert older.stability.metric == "sharpe_ratio"
