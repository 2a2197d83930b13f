"""Deciding: who may, on what, until when; isolated, idempotent, and bound to the content that was looked at."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from meta_pipeline import errors
from meta_pipeline.canonical import ABSENT
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.store import approvers, audit, governance, proposals
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import draft
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    actions,
    add_approvers,
    applied,
    approved,
    by_hand,
    contents,
    decide,
    declare,
    get,
    prepare,
    propose,
    save,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database

DAY = timedelta(days=1)


def refused_with(
    database: Database, record: ProposalRecord, error: type[errors.MetaPipelineError], **options: Any
) -> str:
    """Decide, be refused by exactly this error, and see that nothing was written."""
    before = contents(database)
    result = decide(database, record, **options)
    assert result.outcome == "refused"
    assert type(result.error) is error, result.message
    assert result.message == str(result.error)
    assert contents(database) == before
    return result.message


def test_an_approval_is_kept_with_all_that_makes_it_one(database: Database) -> None:
    prepare(database)
    record = propose(database)
    result = decide(database, record, by=" bob ", reason=" looks right ", ref="run-1")
    assert (result.outcome, result.status) == ("approved", "APPROVED")
    assert result.approval_expires_at == NOW + timedelta(hours=72)
    stored = get(database, record.proposal_id)
    assert (stored.approved_by, stored.approved_at) == ("bob", NOW)
    with database.connect() as connection:
        approval = proposals.approval_of(connection, record.proposal_id)
        (entry,) = audit.entries(connection, action="proposal.approve")
    assert approval is not None
    assert (approval.body_digest, approval.approver_key) == (record.body_digest, "bob")
    assert (approval.reason, approval.channel, approval.channel_ref) == ("looks right", "python", "run-1")
    assert record.body_digest in entry.payload
    check_invariants(database)


@pytest.mark.parametrize("who", ["ann", "ANN", "  Ann ", "\uff21nn"])
def test_the_author_never_approves_not_even_as_an_approver(database: Database, who: str) -> None:
    prepare(database)
    add_approvers(database, "Ann")
    assert "is the author" in refused_with(database, propose(database), errors.FourEyes, by=who)


def test_an_editor_never_approves_and_the_former_content_is_no_longer_approvable(database: Database) -> None:
    prepare(database)
    record = propose(database)
    edited = governance.edit(database, record.proposal_id, rationale="in better words", editor="Bob", now=NOW)
    assert edited.draft.rationale == "in better words"
    assert edited.proposal_id == record.proposal_id
    assert "edited" in refused_with(database, edited, errors.FourEyes, by="BOB")
    assert "names the content" in refused_with(database, record, errors.DigestMismatch, by="Cleo")
    assert decide(database, edited, by="Cleo").outcome == "approved"
    check_invariants(database)


@pytest.mark.parametrize("who", ["meta-pipeline", "Dagster", "system", "bot: 7"])
def test_a_machine_is_never_the_human_eye_even_if_somebody_lists_it(database: Database, who: str) -> None:
    prepare(database)
    by_hand(database, "INSERT INTO approvers VALUES (lower(:who), :who, true, 'eve', now())", who=who)
    (identity,) = save(database, draft()).new
    message = refused_with(database, get(database, identity), errors.NotPermitted, by=who)
    assert "reserved for machines" in message


def test_who_is_not_on_the_list_or_no_longer_is_cannot_decide(database: Database) -> None:
    prepare(database)
    record = propose(database)
    assert "approvers add" in refused_with(database, record, errors.NotAnApprover, by="eve")
    refused_with(database, record, errors.NotAnApprover, by="eve", verdict="reject")
    with database.begin() as connection:
        approvers.remove(connection, "Bob", actor="ann", now=NOW)
    refused_with(database, record, errors.NotAnApprover, by="Bob")


@pytest.mark.parametrize("who", ["B\u200bob", "\u0412ob", "Bob\x00", "", "x" * 129])
def test_look_alike_padded_and_impossible_names_are_refused_before_anything_is_read(
    database: Database, who: str
) -> None:
    prepare(database)
    record = propose(database)
    with pytest.raises(errors.InputError, match="name"):
        decide(database, record, by=who)


def test_a_decision_names_the_whole_digest_of_what_is_stored(database: Database) -> None:
    prepare(database)
    record = propose(database)
    refused_with(database, record, errors.DigestMismatch, digest="0" * 64)
    for digest in (record.body_digest[:12], "", "z" * 64, record.body_digest.upper(), record.body_digest + "\x00"):
        before = contents(database)
        decision = Decision(proposal_id=record.proposal_id, digest=digest, verdict="approve")
        (result,) = governance.decide(
            database, [decision], approver="Bob", channel="cli", channel_ref="", now=NOW, settings=SETTINGS
        )
        assert isinstance(result.error, errors.InputError)
        assert contents(database) == before


@pytest.mark.parametrize(
    "change",
    [
        "proposed_value = '0.9'",
        "proposed_value = NULL",
        'supporting_metrics = \'{"effect": {"estimate": 9}}\'',
        "rationale = 'because'",
        "risk_change = 'neutral'",
        "expires_at = expires_at + interval '1 year'",
        "author = 'somebody else'",
        "body = replace(body, '0.25', '0.26')",
        "base_version = base_version, confidence_score = 0.99",
    ],
)
def test_a_row_changed_by_hand_is_noticed_when_it_is_approved(database: Database, change: str) -> None:
    prepare(database)
    record = propose(database)
    assert by_hand(database, f"UPDATE meta_config_proposals SET {change}") == 1
    assert "was changed in the database" in refused_with(database, record, errors.ContentTampered)


def test_a_row_changed_together_with_its_body_and_digest_has_another_digest(database: Database) -> None:
    prepare(database)
    record = propose(database)
    forged = record.body.replace("0.25", "0.26")
    by_hand(
        database,
        "UPDATE meta_config_proposals SET proposed_value = '0.26', body = :body, "
        "body_digest = encode(sha256(convert_to(:body, 'UTF8')), 'hex')",
        body=forged,
    )
    refused_with(database, record, errors.DigestMismatch)


def test_one_bad_decision_stops_none_of_the_others(database: Database) -> None:
    prepare(database)
    good, other, own = (
        propose(database),
        propose(database, "lookback", 21),
        propose(database, "alpha", 0.5, author="Bob"),
    )
    wanted = [
        (Decision(proposal_id="prop-nothing", digest="0" * 64, verdict="approve"), errors.NotFound),
        (Decision(proposal_id="'; --\x00", digest="0" * 64, verdict="approve"), errors.NotFound),
        (Decision(proposal_id=own.proposal_id, digest=own.body_digest, verdict="approve"), errors.FourEyes),
        (Decision(proposal_id=good.proposal_id, digest=good.body_digest, verdict="approve"), None),
        (Decision(proposal_id=other.proposal_id, digest=other.body_digest, verdict="reject", reason="no"), None),
    ]
    results = governance.decide(
        database,
        [decision for decision, _ in wanted],
        approver="Bob",
        channel="gate",
        channel_ref="run",
        now=NOW,
        settings=SETTINGS,
    )
    assert [None if result.error is None else type(result.error) for result in results] == [e for _, e in wanted]
    assert [status(database, record) for record in (good, other, own)] == ["APPROVED", "REJECTED", "PENDING"]


def test_two_verdicts_on_one_proposal_in_one_form_are_both_refused(database: Database) -> None:
    prepare(database)
    record = propose(database)
    both = [
        Decision(proposal_id=record.proposal_id, digest=record.body_digest, verdict=verdict, reason="r")
        for verdict in ("approve", "reject")
    ]
    results = governance.decide(
        database, both, approver="Bob", channel="gate", channel_ref="", now=NOW, settings=SETTINGS
    )
    assert all("more than once" in result.message for result in results)
    assert status(database, record) == "PENDING"


def test_a_rejection_needs_a_reason_and_anything_but_the_two_verdicts_is_none(database: Database) -> None:
    prepare(database)
    record = propose(database)
    assert "needs a reason" in refused_with(database, record, errors.InputError, verdict="reject", reason=" \u200b")
    message = refused_with(database, record, errors.InputError, verdict="APPROVE")
    assert "neither 'approve' nor 'reject'" in message
    refused_with(database, record, errors.InputError, reason="x" * 5000)


def test_a_way_in_that_is_unknown_is_refused(database: Database) -> None:
    for channel, ref in (("carrier pigeon", ""), ("gate", "x" * 129)):
        with pytest.raises(errors.InputError, match="channel"):
            governance.decide(
                database,
                [],
                approver="Bob",
                channel=channel,  # type: ignore[arg-type]
                channel_ref=ref,
                now=NOW,
                settings=SETTINGS,
            )


def test_the_same_decision_of_the_same_person_is_answered_already_and_written_once(database: Database) -> None:
    prepare(database)
    record = propose(database)
    first = decide(database, record)
    before = contents(database)
    again = decide(database, record, by="BOB", now=NOW + DAY)
    assert (again.outcome, again.approval_id) == ("already", first.approval_id)
    assert contents(database) == before
    assert "is APPROVED" in refused_with(database, record, errors.IllegalTransition, by="Cleo")


def test_a_retry_of_the_very_same_act_is_answered_already_whatever_became_of_the_proposal(database: Database) -> None:
    prepare(database)
    record = propose(database)
    decide(database, record, ref="run-1")
    governance.apply(database, record.proposal_id, actor="dora", now=NOW, settings=SETTINGS)
    assert decide(database, record, ref="run-1").outcome == "already"
    # A replay (another run) is another act, and comes too late.
    assert "is APPLIED" in refused_with(database, record, errors.IllegalTransition, ref="run-2")
    assert "is APPLIED" in refused_with(database, record, errors.IllegalTransition)


def test_an_approver_can_take_an_approval_back_by_rejecting_until_it_is_applied(database: Database) -> None:
    prepare(database)
    record = approved(database)
    assert decide(database, record, "reject", by="Cleo", reason="on second thoughts").outcome == "rejected"
    with pytest.raises(errors.IllegalTransition, match=r"REJECTED \(rejected by Cleo: on second thoughts\)"):
        governance.apply(database, record.proposal_id, actor="dora", now=NOW, settings=SETTINGS)


def test_an_undecided_proposal_lapses_and_is_expired_by_whoever_notices(database: Database) -> None:
    prepare(database)
    record = propose(database)
    assert decide(database, record, now=NOW + 14 * DAY - timedelta(microseconds=1)).outcome == "approved"
    late = propose(database, "lookback", 21)
    result = decide(database, late, now=NOW + 14 * DAY)
    assert isinstance(result.error, errors.Lapsed)
    assert result.status == "EXPIRED" == status(database, late)
    assert actions(database)[-1] == "proposal.expire"
    assert "is EXPIRED" in refused_with(database, late, errors.Lapsed)
    check_invariants(database)


def test_expiry_ends_what_lapsed_and_nothing_else(database: Database) -> None:
    prepare(database)
    declare(database, "OTHER")
    pending, waiting = propose(database), approved(database, "lookback", 21)
    young = propose(database, "alpha", 0.2, now=NOW + 10 * DAY)
    elsewhere = propose(database, strategy_id="OTHER")
    applied(database, "lookback", 5, strategy_id="OTHER", now=NOW)  # moves OTHER's base: elsewhere is STALE
    with database.begin() as connection:
        assert governance.expire(connection, NOW + 3 * DAY) == (waiting.proposal_id,)
    with database.begin() as connection:
        assert governance.expire(connection, NOW + 14 * DAY) == (pending.proposal_id,)
        assert governance.expire(connection, NOW + 14 * DAY) == ()
    assert [status(database, record) for record in (young, elsewhere)] == ["PENDING", "STALE"]
    assert "approval lapsed" in str(get(database, waiting.proposal_id).status_reason)
    check_invariants(database)


def test_a_proposal_whose_base_moved_cannot_be_approved_and_becomes_stale(database: Database) -> None:
    prepare(database)
    record = propose(database)
    applied(database, "lookback", 21)
    assert status(database, record) == "STALE"
    message = refused_with(database, record, errors.StaleBase)
    assert "configuration moved by change chg-" in message


def test_a_value_that_a_tightened_knob_no_longer_allows_cannot_be_approved(database: Database) -> None:
    prepare(database)
    record = propose(database, "risk.max_vol", 0.9)
    by_hand(database, "UPDATE strategy_knobs SET upper_bound = 0.6 WHERE path = 'risk.max_vol'")
    assert "0.9 is above its upper bound 0.6" in refused_with(database, record, errors.Blocked)
    by_hand(database, "DELETE FROM strategy_knobs WHERE path = 'risk.max_vol'")
    assert "not a declared knob" in refused_with(database, record, errors.Blocked)


def test_one_target_has_one_approved_proposal_nested_paths_included(database: Database) -> None:
    prepare(database)
    inner, outer = propose(database), propose(database, "risk", {"max_vol": 0.1, "cap": 1})
    sibling = propose(database, "risk.stop", 0.1)
    result = decide(database, inner)
    assert result.notes == (f'competes with {outer.proposal_id} (risk -> {{"cap":1,"max_vol":0.1}})',)
    assert inner.proposal_id in refused_with(database, outer, errors.Conflict)
    noted = decide(database, sibling)
    assert noted.outcome == "approved"
    assert "of the same strategy is approved too" in noted.notes[-1]


def test_the_database_itself_refuses_two_approved_proposals_on_one_key(database: Database) -> None:
    prepare(database)
    approved(database)
    propose(database, "risk.max_vol", 0.3)
    with pytest.raises(DBAPIError, match="uq_one_approved_per_target"), database.begin() as connection:
        connection.execute(
            text(
                "UPDATE meta_config_proposals SET status = 'APPROVED', approved_by = 'eve', approved_at = now(), "
                "approval_expires_at = now() + interval '1 hour'"
            )
        )


def test_approvals_cannot_be_changed_or_deleted(database: Database) -> None:
    prepare(database)
    approved(database)
    for statement in ("UPDATE approvals SET approver = 'eve'", "DELETE FROM approvals", "TRUNCATE approvals CASCADE"):
        with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
            connection.execute(text(statement))


def test_people_author_proposals_within_bounds_and_with_a_reason(database: Database) -> None:
    prepare(database)
    record = propose(database, reason="  the desk wants it calmer ")
    assert (record.draft.author_kind, record.draft.rationale) == ("human", "the desk wants it calmer")
    assert (record.draft.expected_sharpe_improvement, record.draft.grade) == (None, None)
    for knob, value, error, said in (
        ("risk.max_vol", 2.0, errors.Blocked, "above its upper bound"),
        ("risk.max_vol", "0.2", errors.Blocked, "not of the declared type"),
        ("risk.max_vol", float("nan"), errors.InputError, "cannot be written as JSON"),
        ("start_date", "2020-01-01", errors.Blocked, "not a declared knob"),
        ("portfolio_id", "P2", errors.Blocked, "identifier"),
        ("alpha", ABSENT, errors.Blocked, "change nothing"),
        ("lookback", ABSENT, errors.Blocked, "must be present"),
    ):
        with pytest.raises(error, match=said):
            propose(database, knob, value)
    with pytest.raises(errors.InputError, match="needs a reason"):
        propose(database, reason="  ")
    with pytest.raises(errors.InputError, match="reserved for machines"):
        propose(database, "lookback", 21, author="system")
    with pytest.raises(errors.NotFound, match="there are: STRAT"):
        propose(database, strategy_id="OTHER")


def test_the_same_proposal_by_hand_twice_is_one(database: Database) -> None:
    prepare(database)
    record = propose(database, reason="calmer")
    again = governance.create(
        database,
        strategy_id="STRAT",
        knob="risk.max_vol",
        proposed=0.25,
        reason="calmer",
        author="zoe",
        now=NOW,
        settings=SETTINGS,
    )
    assert (again.new, again.record) == (False, record)


def test_an_author_withdraws_and_nobody_else_does(database: Database) -> None:
    prepare(database)
    record = propose(database)
    with pytest.raises(errors.NotPermitted, match="an approver can reject it"):
        governance.withdraw(database, record.proposal_id, actor="Bob", reason="no", now=NOW)
    withdrawn = governance.withdraw(database, record.proposal_id, actor="ANN", reason="a typo", now=NOW)
    assert (withdrawn.status, withdrawn.status_reason) == ("WITHDRAWN", "withdrawn by ANN: a typo")
    refused_with(database, record, errors.IllegalTransition)
    with pytest.raises(errors.IllegalTransition, match="is WITHDRAWN"):
        governance.withdraw(database, record.proposal_id, actor="ann", reason="again", now=NOW)


def test_only_what_nobody_has_decided_on_can_be_edited(database: Database) -> None:
    prepare(database)
    record = approved(database)
    with pytest.raises(errors.IllegalTransition, match="is APPROVED and can only be edited while it is PENDING"):
        governance.edit(database, record.proposal_id, rationale="better", editor="zoe", now=NOW)
