from dataclasses import replace

import pytest

from meta_pipeline.canonical import ABSENT, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import Candidate, Rule
from meta_pipeline.proposals.digests import proposal_id
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.drafting import draft
from meta_pipeline_tests.report.builders import candidate

EVIDENCE = "e" * 64


def drafted(found: Candidate, **changes: object) -> ProposalDraft:
    return draft(found, **({"strategy_id": "STRAT_001", "base_version": 3, "evidence_digest": EVIDENCE} | changes))  # type: ignore[arg-type]


def test_the_claim_is_the_uplift_after_the_haircut_and_the_confidence_is_the_probability() -> None:
    made = drafted(candidate())
    assert made.expected_sharpe_improvement == 0.12
    assert made.confidence_score == 0.71
    assert made.legacy_confidence == 0.64
    assert made.expected_risk_reduction == -0.02  # volatility rises by 2 points: signed, never clipped to zero (A16)
    assert (made.grade, made.current, made.proposed, made.base_version) == ("B", 20, 50, 3)


def test_the_author_is_a_machine_and_the_evidence_goes_along() -> None:
    made = drafted(candidate())
    assert made.author_kind == "machine"
    assert made.supporting_metrics["n_trials"] == 300
    assert made.candidate_id == candidate().candidate_id(strategy_id="STRAT_001", evidence_digest=EVIDENCE)
    assert canonical_json(dict(made.supporting_metrics))


def test_what_is_not_known_is_none_and_never_a_made_up_number_a20() -> None:
    bare = replace(
        candidate(), expected_uplift=None, probability_positive=None, legacy_confidence=None, risk_effects=()
    )
    made = drafted(bare)
    assert made.expected_sharpe_improvement is None
    assert made.expected_return_improvement is None
    assert made.expected_risk_reduction is None
    assert made.confidence_score is None


def test_impacts_differ_where_the_data_differ_a20() -> None:
    mild = replace(candidate(), expected_uplift=0.06)
    assert drafted(mild).expected_sharpe_improvement != drafted(candidate()).expected_sharpe_improvement


def test_the_same_candidate_gives_the_same_proposal_id() -> None:
    assert proposal_id(drafted(candidate())) == proposal_id(drafted(candidate()))
    assert proposal_id(drafted(candidate())) != proposal_id(drafted(candidate(), evidence_digest="f" * 64))
    assert proposal_id(drafted(candidate(from_value=None))) != proposal_id(drafted(candidate(from_value=ABSENT)))


def test_a_suppressed_candidate_is_refused_with_the_rule_that_stopped_it() -> None:
    with pytest.raises(InputError, match=r"weak_evidence.*proposals create"):
        drafted(candidate(suppressed_by=Rule.WEAK_EVIDENCE))
