"""Ids and digests: the same content has the same, any other content has another."""

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.proposals.digests import body_text, change_id, proposal_id, tampering, text_digest
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline_tests.proposals.governed import NOW, draft, record

ENDS = NOW + timedelta(days=14)
OTHERS: dict[str, Any] = {
    "strategy_id": "OTHER",
    "proposal_type": "risk_reduction",
    "target_component": "risk.stop",
    "current": 0.4,
    "proposed": 0.2,
    "base_version": 2,
    "rationale": "for another reason",
    "supporting_metrics": {"n_runs": 41},
    "evidence_digest": "f" * 64,
    "risk_change": "raises",
    "author": "ann",
    "author_kind": "human",
    "expected_sharpe_improvement": 0.3,
    "expected_return_improvement": None,
    "expected_risk_reduction": 0.02,
    "confidence_score": 0.9,
    "legacy_confidence": 0.1,
    "grade": "B",
    "candidate_id": "c" * 64,
    "market_id": "US",
    "outcome_rule": {"minimum_days": 90},
    "report_sha256": "a" * 64,
}


def test_the_id_is_a_hash_of_strategy_knob_from_to_and_evidence_and_of_nothing_else() -> None:
    hashed = {"strategy_id", "target_component", "current", "proposed", "evidence_digest"}
    for name, other in OTHERS.items():
        same = proposal_id(draft()) == proposal_id(replace(draft(), **{name: other}))
        assert same is (name not in hashed), name


@pytest.mark.parametrize("pair", [(1, 1.0), (True, 1), (None, ABSENT), ("1", 1), ({}, [])])
def test_values_of_other_types_have_other_ids(pair: tuple[Any, Any]) -> None:
    assert proposal_id(draft(proposed=pair[0])) != proposal_id(draft(proposed=pair[1]))


def test_another_attempt_and_the_change_have_ids_of_their_own() -> None:
    first = proposal_id(draft())
    assert proposal_id(draft(), attempt=1) == first
    assert proposal_id(draft(), attempt=2) != first
    assert change_id(first) == change_id(first)
    assert change_id(first).startswith("chg-")


def test_the_digest_covers_every_field_of_the_draft_and_its_lifetime() -> None:
    assert set(OTHERS) == {field.name for field in fields(ProposalDraft)}
    body = body_text(draft(), attempt=1, created_at=NOW, expires_at=ENDS)
    for name, other in OTHERS.items():
        changed = body_text(replace(draft(), **{name: other}), attempt=1, created_at=NOW, expires_at=ENDS)
        assert text_digest(changed) != text_digest(body), name
    assert body_text(draft(), attempt=1, created_at=NOW, expires_at=ENDS + timedelta(days=1)) != body
    assert "evidence" in body
    assert json.loads(body)["supporting_metrics"] == {"effect": {"estimate": 0.2}, "n_runs": 40}


def test_a_body_from_before_there_were_outcome_rules_is_hashed_as_it_was() -> None:
    def body(rule: dict[str, JsonValue] | None) -> dict[str, JsonValue]:
        read: dict[str, JsonValue] = json.loads(
            body_text(draft(outcome_rule=rule), attempt=1, created_at=NOW, expires_at=ENDS)
        )
        return read

    assert body(None)["format"] == 1
    assert "outcome_rule" not in body(None)
    assert (body({"alpha": 0.05})["format"], body({"alpha": 0.05})["outcome_rule"]) == (2, {"alpha": 0.05})


def test_an_untouched_record_is_what_was_hashed() -> None:
    assert tampering(record()) is None
    assert tampering(record(draft(current=ABSENT, proposed=None, expected_sharpe_improvement=1))) is None


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_a_column_changed_by_hand_is_noticed_and_named(name: str) -> None:
    found = tampering(replace(record(), draft=replace(draft(), **{name: OTHERS[name]})))
    assert found is not None
    # A machine that calls itself human is no proposal at all, which is said first.
    assert name in found or (name, "not human" in found) == ("author_kind", True)


def test_a_changed_body_a_changed_digest_a_later_end_and_another_id_are_noticed() -> None:
    stored = record()
    assert "digest" in str(tampering(replace(stored, body=stored.body.replace("0.25", "0.26"))))
    assert "digest" in str(tampering(replace(stored, body_digest="0" * 64)))
    assert "expires_at" in str(tampering(replace(stored, expires_at=ENDS + timedelta(days=365))))
    assert "belongs to the id" in str(tampering(replace(stored, proposal_id="prop-000000000000000000000000")))


def test_a_body_that_was_replaced_together_with_its_digest_does_not_fit_its_columns() -> None:
    forged = body_text(draft(proposed=0.9), attempt=1, created_at=NOW, expires_at=ENDS)
    found = tampering(replace(record(), body=forged, body_digest=text_digest(forged)))
    assert found is not None
    assert "proposed" in found


def test_columns_that_no_proposal_can_have_are_noticed_and_do_not_raise() -> None:
    found = tampering(replace(record(), draft=replace(draft(), expected_sharpe_improvement=float("nan"))))
    assert found is not None
    assert "nan" in found
