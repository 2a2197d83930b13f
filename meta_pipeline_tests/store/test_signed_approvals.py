"""Signed approvals: verified when they are given, and again when they are applied."""

import secrets
from datetime import timedelta
from typing import Any

import pytest

from meta_pipeline import errors
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.signatures import Message, new_private_key, read_public_key, sign
from meta_pipeline.settings import Settings
from meta_pipeline.store import (
    approver_keys,
    governance,
)
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    approved,
    by_hand,
    contents,
    prepare,
    propose,
    status,
)

pytestmark = pytest.mark.database

SIGNED = SETTINGS.model_copy(update={"require_signed_approvals": True})


def apply(database: Database, record: ProposalRecord, **options: Any) -> Any:
    given = {"actor": "dora", "now": NOW, "settings": SETTINGS, **options}
    return governance.apply(database, record.proposal_id, **given)


def keyed(database: Database, name: str = "Bob") -> bytes:
    secret = secrets.token_bytes(32)
    with database.begin() as connection:
        public = read_public_key(new_private_key(secret)[1])
        approver_keys.register(connection, name, public, actor="ann", now=NOW)
    return secret


def signed(
    database: Database,
    record: ProposalRecord,
    secret: bytes,
    *,
    by: str = "Bob",
    hours: float = 72,
    settings: Settings = SIGNED,
    **other: Any,
) -> Any:
    fields = {
        "proposal_id": record.proposal_id,
        "body_digest": record.body_digest,
        "decision": "approve",
        "approver": by,
        "expires_at": NOW + timedelta(hours=hours),
        **other,
    }
    decision = Decision(
        proposal_id=record.proposal_id,
        digest=record.body_digest,
        verdict="approve",
        signature=sign(secret, Message(**fields)).text(),
    )
    (result,) = governance.decide(
        database, [decision], approver=by, channel="python", channel_ref="", now=NOW, settings=settings
    )
    return result


def test_where_signatures_are_required_only_the_approvers_own_key_over_this_very_decision_counts(
    database: Database,
) -> None:
    prepare(database)
    record, bobs, cleos = propose(database), keyed(database), keyed(database, "Cleo")
    before = contents(database)
    plain = Decision(proposal_id=record.proposal_id, digest=record.body_digest, verdict="approve")
    (unsigned,) = governance.decide(
        database, [plain], approver="Bob", channel="python", channel_ref="", now=NOW, settings=SIGNED
    )
    assert isinstance(unsigned.error, errors.NotSigned)
    for secret, other, said in (
        (cleos, {}, "has no key"),
        (secrets.token_bytes(32), {}, "has no key"),
        (bobs, {"body_digest": "0" * 64}, "another proposal, content"),
        (bobs, {"proposal_id": "prop-other"}, "another proposal, content"),
        (bobs, {"decision": "reject"}, "another proposal, content"),
        (bobs, {"approver": "Cleo"}, "another proposal, content"),
        (bobs, {"expires_at": NOW}, "it was good until"),
    ):
        result = signed(database, record, secret, **other)
        assert isinstance(result.error, errors.NotSigned), result.message
        assert said in result.message
    assert contents(database) == before
    done = signed(database, record, bobs, hours=5)
    assert (done.outcome, done.approval_expires_at) == ("approved", NOW + timedelta(hours=5))
    assert apply(database, record, settings=SIGNED).outcome == "applied"


def test_a_signature_is_verified_again_at_apply_under_the_keys_that_are_good_then(database: Database) -> None:
    prepare(database)
    first, second = propose(database), propose(database, "lookback", 21)
    old, new = keyed(database), keyed(database)
    assert signed(database, first, old).outcome == "approved"
    with database.begin() as connection:
        (revoked, _) = approver_keys.list_keys(connection, name="bob")
        done = approver_keys.revoke(connection, revoked.key_id[:8], reason="laptop lost", actor="Bob", now=NOW)
        with pytest.raises(errors.InputError, match="or was revoked"):
            approver_keys.register(connection, "Bob", done.public_key, actor="ann", now=NOW)
    for settings in (SIGNED, SETTINGS):  # one that is on record is verified, required or not
        with pytest.raises(errors.NotSigned, match="registered and not revoked"):
            apply(database, first, settings=settings)
    assert status(database, first) == "APPROVED"
    assert signed(database, second, new).outcome == "approved"
    assert apply(database, second, settings=SIGNED).outcome == "applied"


def test_what_was_approved_unsigned_is_not_applied_once_signatures_are_required_nor_one_put_there_by_hand(
    database: Database,
) -> None:
    prepare(database)
    record, secret = approved(database), keyed(database)
    with pytest.raises(errors.NotSigned, match="is not signed"):
        apply(database, record, settings=SIGNED)
    # Somebody with a SQL prompt writes an approval of Cleo's, with a signature of Bob's.
    line = sign(
        secret,
        Message(
            proposal_id=record.proposal_id,
            body_digest=record.body_digest,
            decision="approve",
            approver="Bob",
            expires_at=NOW + timedelta(hours=72),
        ),
    ).text()
    by_hand(
        database,
        "INSERT INTO approvals (proposal_id, body_digest, decision, approver, approver_key, reason, channel,"
        " decided_at, expires_at, signature) SELECT proposal_id, body_digest, decision, 'Cleo', 'cleo', reason,"
        " channel, decided_at, expires_at, :line FROM approvals",
        line=line,
    )
    with pytest.raises(errors.NotSigned, match="'Cleo' has no key"):
        apply(database, record, settings=SIGNED)


def test_a_key_is_registered_by_somebody_else_for_an_approver_once(database: Database) -> None:
    prepare(database)
    public = read_public_key(new_private_key(bytes(32))[1])
    with database.begin() as connection:
        with pytest.raises(errors.NotPermitted, match="registered by somebody else"):
            approver_keys.register(connection, "Bob", public, actor="BOB", now=NOW)
        with pytest.raises(errors.NotFound, match="not on the list"):
            approver_keys.register(connection, "zoe", public, actor="ann", now=NOW)
        key = approver_keys.register(connection, "Bob", public, actor="ann", now=NOW)
        with pytest.raises(errors.NothingToDo):
            approver_keys.register(connection, "bob", public, actor="ann", now=NOW)
        with pytest.raises(errors.InputError, match="is bob's"):
            approver_keys.register(connection, "Cleo", public, actor="ann", now=NOW)
        approver_keys.revoke(connection, key.key_id, reason="rotated", actor="ann", now=NOW)
        with pytest.raises(errors.NothingToDo, match="revoked already, by ann"):
            approver_keys.revoke(connection, key.key_id, reason="again", actor="ann", now=NOW)
        with pytest.raises(errors.NotFound):
            approver_keys.revoke(connection, "abc", reason="x", actor="ann", now=NOW)
