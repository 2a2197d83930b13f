import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import ABSENT, JsonValue, canonical_json
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, ProposalType
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.propose import propose
from meta_pipeline.proposals.rationale import show_level, unsupported_numbers, write_rationale
from meta_pipeline_tests.evidence.worlds import grid, world


def candidates() -> list[Candidate]:
    panel = world(np.random.default_rng(4), [grid()] * 3, n_days=700, effects={(0, 1): 1.5})
    knobs = [Knob(path=f"k{i}", knob_type="int") for i in range(6)]
    live = {f"k{i}": 0 for i in range(6)}
    return list(propose(panel, knobs=knobs, live=live, parameters=Parameters(bootstrap_draws=199)).candidates)


def test_every_number_of_every_rationale_is_in_the_evidence() -> None:
    for candidate in candidates():
        evidence = json.loads(canonical_json(candidate.to_json()))
        assert unsupported_numbers(candidate.rationale, evidence) == (), candidate.rationale


def test_a_rationale_says_what_is_changed_the_effect_the_claim_and_the_risk() -> None:
    best = max(candidates(), key=lambda c: c.effect.estimate or -9)
    assert best.rationale.startswith("Change k0 from 0 to 1. Sharpe ratio +")
    for words in (
        "90 % interval",
        "grade A",
        "Expected over 2 years",
        "positive with probability",
        "sub-periods",
        "Return and risk:",
    ):
        assert words in best.rationale
    assert write_rationale(best) == best.rationale


def test_without_an_effect_it_says_why() -> None:
    effect = Effect(metric="sharpe_ratio", method="none", reason="no run has the live value 3")
    candidate = Candidate(
        proposal_type=ProposalType.CONFIG_PARAMETER_CHANGE,
        knob="risk.cap",
        from_value=ABSENT,
        to_value={"a": [1]},
        grade=Grade.D,
        effect=effect,
        risk_change="unknown",
    )
    assert write_rationale(candidate) == (
        'Change risk.cap from absent to {"a":[1]}. No effect could be estimated: no run has the live value 3.'
    )


EVIDENCE: Mapping[str, JsonValue] = {
    "estimate": 0.2134,
    "n_days": 1260,
    "level": 0.9,
    "knob": "ma_200",
    "lower": -0.0512,
}


@pytest.mark.parametrize(
    "text",
    [
        "an effect of 0.21 over 1,260 days",
        "+0.213 (90 % interval)",
        "raises it by 21.3 %",
        "knob ma_200",
        "not below -0.05, that is 5 % down",
    ],
)
def test_a_rewritten_text_may_round_and_give_percentages(text: str) -> None:
    assert unsupported_numbers(text, EVIDENCE) == ()


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("an effect of 0.22", ("0.22",)),
        ("-0.21", ("-0.21",)),
        ("1261 days and 0.21", ("1261",)),
        ("a gain of 3.5e-1", ("3.5e-1",)),
    ],
)
def test_a_number_that_the_evidence_does_not_hold_is_named(text: str, invented: tuple[str, ...]) -> None:
    assert unsupported_numbers(text, EVIDENCE) == invented


def test_the_old_rationale_does_not_support_a_new_one() -> None:
    assert unsupported_numbers("7.77", {"rationale": "7.77", "estimate": 1.0}) == ("7.77",)


@given(st.floats(-1000, 1000).filter(lambda x: abs(x) > 1e-3), st.integers(0, 6))
def test_any_rounding_of_a_known_number_is_supported(value: float, digits: int) -> None:
    assert unsupported_numbers(f"it is {value:.{digits}f} now", {"x": value}) == ()


def test_levels_are_shown_typed() -> None:
    assert [show_level(x) for x in (True, 1, 1.0, "1", None, ABSENT)] == ["true", "1", "1.0", '"1"', "null", "absent"]
