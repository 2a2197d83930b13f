from datetime import UTC, datetime

from meta_pipeline.canonical import ABSENT
from meta_pipeline.errors import FourEyes
from meta_pipeline.proposals.decision import ApplyResult, DecisionResult, RevertResult
from meta_pipeline.proposals.diff import ThreeWay
from meta_pipeline.report import decisions
from meta_pipeline_tests.report.test_approval import machine_draft, stored


def test_a_stored_proposal_is_a_row_with_what_is_needed_to_decide() -> None:
    record = stored(machine_draft())
    shown = dict(
        zip(
            [column.key for column in decisions.stored_proposals_table([record]).columns],
            decisions.stored_proposals_table([record]).cells()[0],
            strict=True,
        )
    )
    assert shown["change"] == "0.3 → 0.25"
    assert shown["expected_uplift"] == "+0.12"
    assert shown["probability"] == "0.71"
    assert shown["status"] == "PENDING"
    assert shown["author"] == "meta-pipeline (machine)"
    assert shown["expires"] == "2026-12-04 09:00 UTC"
    assert shown["digest"] == record.body_digest[:8]


def test_each_decision_shows_its_outcome_message_and_notes() -> None:
    results = [
        DecisionResult(
            proposal_id="prop-1",
            verdict="approve",
            outcome="approved",
            message="Approved.",
            status="APPROVED",
            approval_expires_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
            notes=("Competes with prop-2.",),
        ),
        DecisionResult(
            proposal_id="prop-2", verdict="approve", outcome="refused", message="own proposal", error=FourEyes("own")
        ),
    ]
    assert decisions.decisions_table(results).cells() == [
        ["prop-1", "approve", "approved", "APPROVED", "Approved. Competes with prop-2."],
        ["prop-2", "approve", "refused", "n/a", "own proposal"],
    ]


def test_applies_show_the_versions_and_a_refusal_has_none() -> None:
    results = [
        ApplyResult(
            proposal_id="prop-1",
            outcome="applied",
            message="Applied.",
            notes=("The audit head was NOT anchored.",),
            change_id="chg-1",
            base_version=3,
            new_version=4,
            risk_change="reduces",
        ),
        ApplyResult(proposal_id="prop-2", outcome="refused", message="stale"),
    ]
    assert decisions.applies_table(results).cells() == [
        ["prop-1", "applied", "chg-1", "3 → 4", "reduces", "Applied. The audit head was NOT anchored."],
        ["prop-2", "refused", "n/a", "n/a", "n/a", "stale"],
    ]


def test_a_refused_revert_shows_the_three_values() -> None:
    refused = RevertResult(
        change_id="chg-1",
        outcome="refused",
        message="The key was changed since.",
        three_way=ThreeWay(path="stop", before=ABSENT, after=0.1, live=0.2),
    )
    message = decisions.reverts_table([refused]).cells()[0][-1]
    assert message == "The key was changed since. stop: absent -> 0.1 by this change, 0.2 now"
