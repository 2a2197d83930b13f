"""Who may do what about a proposal: shown beforehand by the checks of the act itself, so that both say the same."""

import secrets
from datetime import datetime, timedelta
from typing import Any

import pytest

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.roles import Role
from meta_pipeline.proposals.signatures import new_private_key, read_public_key
from meta_pipeline.proposals.standing import Prospect, Standing
from meta_pipeline.store import approver_keys, freezing, governance, people, tiers
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import NOW, SETTINGS, contents, decide, get, prepare, propose

pytestmark = pytest.mark.database

SIGNED = SETTINGS.model_copy(update={"require_signed_approvals": True})


def standing(database: Database, record: ProposalRecord, viewer: str | None = "Bob", **options: Any) -> Standing:
    given = {"now": NOW, "settings": SETTINGS, **options}
    with database.connect() as connection:
        return governance.standing(connection, record.proposal_id, viewer=viewer, **given)


def prospect(found: Standing, act: str) -> Prospect:
    return next(one for one in found.prospects if one.act == act)


def objection(found: Standing, act: str) -> str | None:
    """The code of the first check that fails, as an error would have it."""
    failed = [check for check in prospect(found, act).checks if not check.passed]
    return failed[0].error.code if failed and failed[0].error else None


def refusal(database: Database, record: ProposalRecord, by: str, now: datetime = NOW) -> str | None:
    result = decide(database, record, by=by, now=now)
    return None if result.error is None else result.error.code


def test_what_is_shown_of_each_person_is_what_the_decision_then_says(database: Database) -> None:
    prepare(database)
    with database.begin() as connection:
        people.grant(connection, "Eva", Role.AUDITOR, actor="ann", now=NOW)
    record = propose(database)
    before = contents(database)
    expected = {
        "ann": "four_eyes",
        "dora": "not_an_approver",
        "Eva": "not_permitted",
        "scheduler": "not_permitted",
        "Bob": None,
    }
    for viewer, code in expected.items():
        assert objection(standing(database, record, viewer), "approve") == code
    assert contents(database) == before
    for viewer, code in expected.items():
        assert refusal(database, record, viewer) == code
    later = propose(database, "lookback", 42)
    lapsed = NOW + timedelta(days=15)
    assert objection(standing(database, later, "Bob", now=lapsed), "approve") == "lapsed"
    assert refusal(database, later, "Bob", lapsed) == "lapsed"


def test_everybody_on_the_list_is_named_with_why_they_may_not(database: Database) -> None:
    prepare(database)
    found = standing(database, propose(database, author="bob"), viewer=None)
    assert found.who_may() == "Cleo"
    assert [one.name for one in found.deciders if one.objection] == ["Bob"]
    assert "is the author" in found.who_may_not()
    assert found.prospects == ()
    signed = standing(database, propose(database, "lookback", 42), settings=SIGNED)
    assert signed.who_may() == "nobody on the list"
    assert "has no key that is registered" in prospect(signed, "approve").sentence("Bob")
    assert prospect(signed, "reject").possible
    with database.begin() as connection:
        public = read_public_key(new_private_key(secrets.token_bytes(32))[1])
        key = approver_keys.register(connection, "Bob", public, actor="ann", now=NOW)
    able = standing(database, get(database, signed.proposal_id), settings=SIGNED)
    assert (able.who_may(), prospect(able, "approve").possible) == ("Bob", True)
    (asked,) = [check.text for check in prospect(able, "approve").checks if check.name == "signature"]
    assert f"signed with the key {key.key_id[:12]}" in asked


def test_what_stops_an_apply_is_shown_before_and_after_the_approval(database: Database) -> None:
    prepare(database)
    record = propose(database, "risk.max_vol", 0.75)
    with database.begin() as connection:
        freezing.freeze_now(connection, reason="quiet", strategy_id=None, actor="zoe", now=NOW)
        tiers.set_tier(connection, "STRAT", "risk.max_vol", "four_eyes", actor="ann", now=NOW)
    found = standing(database, record)
    assert (prospect(found, "approve").possible, objection(found, "apply")) == (True, "frozen")
    assert "could not apply it once it is approved: applies are frozen" in " ".join(found.sentences())
    assert decide(database, record).outcome == "approved"
    assert [one.act for one in standing(database, record).prospects] == ["reject", "apply"]
    for actor in ("Bob", "dora"):
        shown = objection(standing(database, record, actor), "apply")
        with pytest.raises(MetaPipelineError) as refused:
            governance.apply(database, record.proposal_id, actor=actor, now=NOW, settings=SETTINGS)
        assert shown == refused.value.code
        assert shown == ("four_eyes" if actor == "Bob" else "frozen")
    assert standing(database, record, "a\u200bnn").prospects[0].checks[0].name == "name"


def test_nothing_is_open_once_a_proposal_is_done_with(database: Database) -> None:
    prepare(database)
    record = propose(database)
    decide(database, record, "reject")
    found = standing(database, record)
    assert (found.prospects, found.deciders, found.sentences()) == ((), (), ())
    assert get(database, record.proposal_id).status == found.status == "REJECTED"
