"""What a clever user tries: names, paths and values that are not what they look like, and rows changed by hand."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline import errors
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.store import approvers, change_outcomes, changes, governance, judging
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    applied,
    approved,
    by_hand,
    contents,
    decide,
    declare,
    live,
    prepare,
    propose,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.known_truth import hand_in_runs, settings

pytestmark = pytest.mark.database


def apply(database: Database, record: ProposalRecord, **options: Any) -> Any:
    given = {"actor": "dora", "now": NOW, "settings": SETTINGS, **options}
    return governance.apply(database, record.proposal_id, **given)


def test_a_path_that_is_no_declared_knob_is_refused_whatever_it_looks_like(database: Database) -> None:
    prepare(database)
    before = contents(database)
    for path in ("a.b[0]", "__proto__", "constructor.prototype", "k" * 10_240, "a\x00b", "\ud800", "a..b", ""):
        with pytest.raises((errors.InputError, errors.Blocked)):
            propose(database, path, 0.5)
    assert contents(database) == before


def test_the_odd_names_that_json_allows_are_values_and_nothing_else(database: Database) -> None:
    odd: dict[str, Any] = {
        "__proto__": {"admin": True},
        "b[0]": 1,
        "{env: SECRET}": "{env: HOME}",
        "k" * 10_240: None,
    }
    prepare(database)
    applied(database, "extras", odd, reason="odd names")
    assert live(database).config["extras"] == odd
    check_invariants(database)


def test_a_value_that_json_does_not_have_is_refused(database: Database) -> None:
    prepare(database)
    before = contents(database)
    not_json: tuple[Any, ...] = (float("nan"), float("inf"), -float("inf"), 1e400, "\x00", "\ud800", [float("nan")])
    for value in not_json:
        for knob in ("risk.max_vol", "risk", "mode"):
            with pytest.raises((errors.InputError, errors.Blocked)):
                propose(database, knob, value)
    assert contents(database) == before


def test_a_look_alike_of_an_approver_approves_nothing(database: Database) -> None:
    prepare(database)
    record = propose(database)
    for name in ("\u0412\u043eb", "B\u043eb", "Bob\u200b", "B\u00adob", "\u202eboB", "Bob\x00", "\ud800"):
        with suppress(errors.InputError):
            assert decide(database, record, by=name).outcome == "refused", name
    assert status(database, record) == "PENDING"


def test_an_approver_removed_between_approve_and_apply_has_approved_nothing(database: Database) -> None:
    prepare(database)
    record = approved(database)
    with database.begin() as connection:
        approvers.remove(connection, "Bob", actor="ann", now=NOW)
    with pytest.raises(errors.NotAnApprover):
        apply(database, record)


def test_a_status_edited_by_hand_applies_nothing(database: Database) -> None:
    prepare(database)
    record = propose(database)
    by_hand(
        database,
        "UPDATE meta_config_proposals SET status = 'APPROVED', approved_by = 'Bob', approved_at = :now,"
        " approval_expires_at = :ends",
        now=NOW,
        ends=NOW + timedelta(hours=1),
    )
    with pytest.raises(errors.NotPermitted, match="no approval"):
        apply(database, record)
    assert live(database).version == 1


@pytest.mark.parametrize(
    "change",
    [
        """supporting_metrics = '{"n_runs": 4000}'""",
        "evidence_digest = repeat('a', 64)",
        "rationale = 'it did much better'",
        "grade = 'A', confidence_score = 1.0",
        """outcome_rule = '{"metric": "nothing"}'""",
    ],
)
def test_evidence_changed_after_the_approval_is_noticed_and_nothing_is_applied(database: Database, change: str) -> None:
    prepare(database)
    record = approved(database)
    assert by_hand(database, f"UPDATE meta_config_proposals SET {change}") == 1
    with pytest.raises((errors.ContentTampered, errors.InputError)):
        apply(database, record)
    assert live(database).version == 1


def test_an_old_approval_that_is_played_again_approves_nothing(database: Database) -> None:
    prepare(database)
    record = propose(database)
    assert decide(database, record, ref="run 1").outcome == "approved"
    change_id = apply(database, record).change_id
    governance.revert(database, change_id, actor="emil", reason="worse", now=NOW, settings=SETTINGS)
    before = contents(database)
    assert decide(database, record, ref="run 1").outcome == "already"  # the same run, retried
    again = decide(database, record, ref="run 2")
    assert (again.outcome, again.status) == ("refused", "REVERTED")
    with pytest.raises(errors.IllegalTransition):
        apply(database, record)
    assert contents(database) == before


def test_a_live_configuration_that_was_changed_by_hand_is_neither_built_on_nor_made_good(database: Database) -> None:
    prepare(database)
    record, waiting = approved(database), propose(database, "alpha", 0.5)
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # as who owns the database can
        connection.execute(text("UPDATE config_versions SET config_json = config_json || '{\"lookback\": 7}'"))
    before = contents(database)
    said = "version 1 of STRAT is not what was hashed when it went live"
    with pytest.raises(errors.ContentTampered, match=said):
        apply(database, record)  # it would have become version 2, hashed and in good order
    with pytest.raises(errors.ContentTampered, match=said):
        propose(database, "alpha", 0.7)
    assert said in decide(database, waiting).message
    assert contents(database) == before


@pytest.mark.parametrize(
    "change",
    [
        """meta_config_proposals SET outcome_rule = jsonb_set(outcome_rule, '{minimum_days}', '5')""",
        """meta_config_proposals SET outcome_rule = '{"metric": "nothing"}'""",
        "meta_config_proposals SET outcome_rule = NULL",
        """meta_config_proposals SET body = replace(body, 'sharpe_ratio', 'mean_return'),
            outcome_rule = jsonb_set(outcome_rule, '{metric}', '"mean_return"')""",
        """config_versions SET config_json = jsonb_set(config_json, '{risk,max_vol}', '0.9')""",
    ],
)
def test_who_changes_the_rule_or_the_control_afterwards_has_nothing_judged_and_stops_none_of_the_others(
    database: Database, change: str
) -> None:
    prepare(database)
    declare(database, "OTHER")
    hand_in_runs(database, "STRAT", "OTHER")
    bad, good = applied(database), applied(database, strategy_id="OTHER")
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # as who owns the database can
        assert connection.execute(text(f"UPDATE {change} WHERE strategy_id = 'STRAT'")).rowcount
    night = judging.judge_all(database, now=NOW + timedelta(days=100), settings=settings(auto_revert=True))
    assert [one.change_id for one in night.judged] == [good]
    assert list(night.failed) == [bad]
    assert night.failed[bad].startswith("ContentTampered: ")
    with database.connect() as connection:
        assert change_outcomes.latest_look(connection, bad) is None
        assert changes.get(connection, bad).outcome_verdict is None
