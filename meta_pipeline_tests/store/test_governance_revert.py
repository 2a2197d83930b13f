"""Reverting: the exact previous state, by one person, at once; refused where the key was changed since."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline import errors
from meta_pipeline.canonical import ABSENT, canonical_json
from meta_pipeline.store import changes, governance
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import LIVE
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    applied,
    approved,
    by_hand,
    contents,
    get,
    live,
    prepare,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database

LATER = NOW + timedelta(days=40)


def revert(database: Database, change_id: str, **options: Any) -> Any:
    given = {"actor": "emil", "reason": "it hurt", "now": LATER, "settings": SETTINGS, **options}
    return governance.revert(database, change_id, **given)


def test_a_revert_restores_the_exact_state_and_keeps_who_when_and_why(database: Database) -> None:
    prepare(database)
    before = live(database)
    change_id = applied(database)
    result = revert(database, change_id)
    assert (result.outcome, result.base_version, result.new_version) == ("reverted", 2, 3)
    assert [(key.before, key.after, key.risk_change) for key in result.touched] == [(0.25, 0.5, "raises")]
    assert live(database).digest == before.digest
    with database.connect() as connection:
        change = changes.get(connection, change_id)
    assert (change.is_reverted, change.reverted_by, change.reverted_at) == (True, "emil", LATER)
    assert (change.reversion_reason, change.revert_version, change.applied_at) == ("it hurt", 3, NOW)
    record = get(database, change.proposal_id)
    assert (record.status, record.applied_at, record.reverted_at) == ("REVERTED", NOW, LATER)
    assert record.status_reason == "reverted by emil: it hurt"
    check_invariants(database)


def test_the_one_who_applied_the_author_and_the_approver_may_each_revert_alone(database: Database) -> None:
    prepare(database)
    for actor, value in (("dora", 0.3), ("ann", 0.4), ("Bob", 0.35)):
        assert revert(database, applied(database, "risk.max_vol", value), actor=actor).outcome == "reverted"


def test_a_revert_needs_a_person_and_a_reason(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    before = contents(database)
    with pytest.raises(errors.NotPermitted, match="by a person"):
        revert(database, change_id, actor="dagster")
    with pytest.raises(errors.InputError, match="needs a reason"):
        revert(database, change_id, reason=" ")
    with pytest.raises(errors.NotFound, match="changes list"):
        revert(database, "chg-unknown")
    assert contents(database) == before


def test_reverting_twice_answers_already_reverted(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    revert(database, change_id)
    before = contents(database)
    again = revert(database, change_id, actor="zoe", reason="me too")
    assert again.outcome == "already_reverted"
    assert "by emil" in again.message
    assert contents(database) == before


def test_a_reverted_proposal_cannot_be_applied_again(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    revert(database, change_id)
    with database.connect() as connection:
        proposal_id = changes.get(connection, change_id).proposal_id
    with pytest.raises(errors.IllegalTransition, match=r"REVERTED \(reverted by emil: it hurt\)"):
        governance.apply(database, proposal_id, actor="dora", now=NOW, settings=SETTINGS)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (("risk.max_vol", 0.25), ("risk.max_vol", 0.3), "risk.max_vol: 0.5 -> 0.25 by this change, 0.3 now"),
        (("risk.max_vol", 0.25), ("risk", {"max_vol": 0.25}), "risk.max_vol: 0.5 -> 0.25 by this change, 0.25 now"),
        (("risk", {"max_vol": 0.1}), ("risk.stop", 0.2), 'risk: {"cap":3,"max_vol":0.5} -> {"max_vol":0.1} by this'),
        (("alpha", 0.2), ("alpha", ABSENT), "alpha: absent -> 0.2 by this change, absent now"),
    ],
)
def test_a_key_changed_since_is_left_alone_and_the_difference_told_three_ways(
    database: Database, first: tuple[str, Any], second: tuple[str, Any], difference: str
) -> None:
    prepare(database)
    origin = live(database)
    older = applied(database, *first)
    newer = applied(database, *second)
    before = contents(database)
    rehearsed = revert(database, older, dry_run=True)
    assert rehearsed.three_way is not None
    assert rehearsed.three_way.path == first[0]
    with pytest.raises(errors.Conflict) as raised:
        revert(database, older)
    assert difference in str(raised.value)
    assert newer in str(raised.value)
    assert contents(database) == before
    # The way out that the message names.
    assert revert(database, newer).outcome == "reverted"
    assert revert(database, older).outcome == "reverted"
    assert live(database).digest == origin.digest
    check_invariants(database)


def test_unrelated_changes_since_survive_a_revert(database: Database) -> None:
    prepare(database)
    first = applied(database)
    applied(database, "lookback", 21)
    applied(database, "risk.stop", 0.125)
    revert(database, first)
    expected = {**LIVE, "lookback": 21, "risk": {"max_vol": 0.5, "cap": 3, "stop": 0.125}}
    assert canonical_json(dict(live(database).config)) == canonical_json(expected)
    check_invariants(database)


def test_a_key_that_was_absent_is_removed_again_and_not_set_to_null(database: Database) -> None:
    prepare(database)
    change_id = applied(database, "alpha", 0.7)
    assert live(database).config["alpha"] == 0.7
    revert(database, change_id)
    assert "alpha" not in live(database).config


def test_a_revert_rehearsed_leaves_no_trace(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    before = contents(database)
    result = revert(database, change_id, dry_run=True)
    assert (result.outcome, result.dry_run) == ("would_revert", True)
    assert result.after == LIVE
    assert contents(database) == before


def test_a_revert_moves_the_base_of_what_is_still_open(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    waiting = approved(database, "lookback", 21)
    assert revert(database, change_id).made_stale == (waiting.proposal_id,)
    assert status(database, waiting) == "STALE"


def test_a_configuration_that_is_not_what_its_changes_make_is_not_touched(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE config_versions DISABLE TRIGGER USER"))
        connection.execute(
            text("UPDATE config_versions SET config_json = config_json || '{\"lookback\": 7}' WHERE version = 2")
        )
        connection.execute(text("ALTER TABLE config_versions ENABLE TRIGGER USER"))
    before = contents(database)
    with pytest.raises(errors.ContentTampered, match=r"version 2 of STRAT is not what .* changes on record make"):
        revert(database, change_id)
    assert contents(database) == before


def test_a_knob_that_is_no_longer_declared_can_still_be_reverted(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    by_hand(database, "DELETE FROM strategy_knobs")
    result = revert(database, change_id)
    assert (result.outcome, result.risk_change) == ("reverted", "unknown")
