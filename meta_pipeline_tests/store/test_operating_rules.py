"""Roles, freezes, the kill file, the budget and batches: enforced in the service, whoever calls it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline import errors
from meta_pipeline.canonical import Level
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.freezes import Freeze
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store import (
    audit,
    automation_freezes,
    changes,
    freezing,
    governance,
    kill_file,
    limits,
    people,
)
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    actions,
    applied,
    approved,
    by_hand,
    contents,
    decide,
    declare,
    get,
    live,
    prepare,
    propose,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database


def apply(database: Database, record: ProposalRecord, **options: Any) -> Any:
    given = {"actor": "dora", "now": NOW, "settings": SETTINGS, **options}
    return governance.apply(database, record.proposal_id, **given)


def grant(database: Database, name: str, role: Role, actor: str = "ann") -> None:
    with database.begin() as connection:
        people.grant(connection, name, role, actor=actor, now=NOW)


def revoke(database: Database, name: str, role: Role, actor: str = "ann") -> None:
    with database.begin() as connection:
        people.revoke(connection, name, role, actor=actor, now=NOW)


def freeze_now(database: Database, *, strategy_id: str | None = None, actor: str = "zoe") -> int:
    with database.begin() as connection:
        record = freezing.freeze_now(connection, reason="incident", strategy_id=strategy_id, actor=actor, now=NOW)
    return record.freeze.freeze_id


# Roles


def test_a_role_closes_what_it_is_for_once_it_is_given_and_stays_closed_when_nobody_holds_it(
    database: Database,
) -> None:
    prepare(database)
    record = approved(database)  # anybody may propose, while nobody is a researcher
    grant(database, "olga", Role.OPERATOR)
    grant(database, "Rita", Role.RESEARCHER, actor="olga")
    before = contents(database)
    with pytest.raises(errors.NotPermitted, match="'ann' may not propose: it takes the role researcher"):
        propose(database, "lookback", 21)
    with pytest.raises(errors.NotPermitted, match="'dora' may not apply: it takes the role approver or operator"):
        apply(database, record)
    with pytest.raises(errors.NotPermitted, match="'ann' may not manage people, keys, limits and declarations"):
        declare(database, knobs=())  # knobs and bounds are what every other rule rests on
    declare(database)  # the same again changes nothing
    assert contents(database) == before
    propose(database, "lookback", 21, author="RITA")
    change_id = apply(database, record, actor="Olga").change_id
    revoke(database, "olga", Role.OPERATOR, actor="olga")
    with pytest.raises(errors.NotPermitted):
        governance.revert(database, change_id, actor="olga", reason="x", now=NOW, settings=SETTINGS)
    # An approver may, at once.
    governance.revert(database, change_id, actor="Cleo", reason="x", now=NOW, settings=SETTINGS)
    check_invariants(database)


def test_an_auditor_only_reads(database: Database) -> None:
    prepare(database)
    grant(database, "Uma", Role.AUDITOR)
    record = approved(database)
    pending = propose(database, "lookback", 21)
    for act in (
        lambda: propose(database, "alpha", 0.5, author="uma"),
        lambda: apply(database, record, actor="uma"),
        lambda: freeze_now(database, actor="uma"),
        lambda: grant(database, "uma", Role.OPERATOR, actor="uma"),
        lambda: governance.edit(database, pending.proposal_id, rationale="x", editor="uma", now=NOW),
        lambda: automation_freezes.freeze(database, reason="x", actor="uma", now=NOW),
    ):
        with pytest.raises(errors.NotPermitted, match="an auditor reads only"):
            act()
    assert isinstance(decide(database, pending, by="uma").error, errors.NotPermitted)
    with pytest.raises(errors.InputError, match="an auditor holds no other role"):
        grant(database, "uma", Role.APPROVER)


def test_nobody_gives_anything_to_themselves_once_there_are_operators(database: Database) -> None:
    prepare(database)
    grant(database, "olga", Role.OPERATOR)
    for role in (Role.APPROVER, Role.RESEARCHER):
        with pytest.raises(errors.NotPermitted, match="cannot give anything to themselves"):
            grant(database, "Olga", role, actor="olga")
        with pytest.raises(errors.NotPermitted, match="'zoe' may not manage people"):
            grant(database, "olga", role, actor="zoe")
    with pytest.raises(errors.NotPermitted, match="reserved for machines"):
        grant(database, "olga", Role.RESEARCHER, actor="dagster")
    with pytest.raises(errors.InputError, match="never the human eye"):
        grant(database, "meta-pipeline", Role.AUDITOR, actor="olga")
    grant(database, "meta-pipeline", Role.OPERATOR, actor="olga")  # a machine may carry out what a person approved
    with database.connect() as connection:
        found = {person.display_name: sorted(person.roles) for person in people.list_people(connection)}
    assert found == {"Bob": ["approver"], "Cleo": ["approver"], "olga": ["operator"], "meta-pipeline": ["operator"]}


# Freezes and the kill file


def test_a_freeze_stops_applies_but_neither_reverts_nor_what_reduces_risk_and_that_is_written_down(
    database: Database,
) -> None:
    prepare(database)
    change_id = applied(database, "lookback", 21)
    riskier = approved(database, "risk.max_vol", 0.7)
    number = freeze_now(database)
    before = contents(database)
    rehearsed = apply(database, riskier, dry_run=True)
    with pytest.raises(errors.Frozen, match=r"freeze 1 of everything, .*: incident"):
        apply(database, riskier)
    assert isinstance(rehearsed.error, errors.Frozen)
    assert contents(database) == before
    governance.revert(database, change_id, actor="emil", reason="worse", now=NOW, settings=SETTINGS)
    calmer = approved(database, "risk.max_vol", 0.25)  # approving is not applying
    result = apply(database, calmer)
    assert "exempt, as it reduces risk" in result.notes[0]
    with database.connect() as connection:
        found = audit.entries(connection, action="change")[:2]
    assert all("freeze 1 of everything" in entry.payload for entry in found)
    with database.begin() as connection:
        with pytest.raises(errors.NotPermitted, match="lifted by a person"):
            freezing.lift(connection, number, reason="x", actor="dagster", now=NOW)
        freezing.lift(connection, number, reason="over", actor="olga", now=NOW)
        with pytest.raises(errors.NothingToDo, match="lifted already, by olga"):
            freezing.lift(connection, number, reason="over", actor="olga", now=NOW)
    assert apply(database, approved(database, "risk.max_vol", 0.7)).outcome == "applied"
    assert [action for action in actions(database) if action.startswith("freeze")] == ["freeze.add", "freeze.lift"]


def test_a_window_holds_by_the_time_of_the_act_and_for_its_strategy_alone(database: Database) -> None:
    prepare(database)
    declare(database, "B")
    mine, other = approved(database, "lookback", 21), approved(database, "lookback", 21, strategy_id="B")
    with database.begin() as connection:  # NOW is Friday noon, UTC
        window = Freeze(
            time_zone="NYSE",
            reason="the open",
            strategy_id="STRAT",
            weekdays=(4,),
            starts_time=datetime(1, 1, 1, 6).time(),  # noqa: DTZ001
            ends_time=datetime(1, 1, 1, 8).time(),  # noqa: DTZ001
        )
        assert freezing.add(connection, window, actor="zoe", now=NOW).freeze.time_zone == "America/New_York"
    with pytest.raises(errors.Frozen, match="every fri 06:00 to 08:00 America/New_York"):
        apply(database, mine)
    assert apply(database, other).outcome == "applied"
    assert apply(database, mine, now=NOW + timedelta(hours=1)).outcome == "applied"


def test_the_kill_file_stops_applies_and_what_cannot_be_read_counts_as_there(
    database: Database, tmp_path: Path
) -> None:
    prepare(database)
    record = approved(database, "lookback", 21)
    settings = SETTINGS.model_copy(update={"home": tmp_path / "home"})
    path = kill_file.write(settings, reason="markets are shut", actor="zoe", now=NOW)
    with pytest.raises(errors.Frozen, match=r"KILL is there .*zoe: markets are shut"):
        apply(database, record, settings=settings)
    results = governance.apply_approved(database, actor="dora", now=NOW, settings=settings)
    assert [type(result.error) for result in results] == [errors.Frozen]
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")  # a link that leads nowhere is there all the same
    assert kill_file.found(settings) is not None
    path.unlink()
    assert kill_file.found(settings) is None
    # A file that was configured, on a mount that is gone; and a path through what is no folder.
    gone = settings.model_copy(update={"kill_file": tmp_path / "mount" / "KILL"})
    with pytest.raises(errors.Frozen, match="counts as frozen"):
        apply(database, record, settings=gone)
    (tmp_path / "mount").write_text("no folder")
    with pytest.raises(errors.Frozen, match="counts as frozen"):
        apply(database, record, settings=gone)
    assert apply(database, record, settings=settings).outcome == "applied"


def test_the_kill_file_is_read_again_under_the_lock(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    record = approved(database, "lookback", 21)
    settings = SETTINGS.model_copy(update={"home": tmp_path})
    answers = iter([None, "somebody made it while the lock was waited for"])
    monkeypatch.setattr(kill_file, "found", lambda _: next(answers))
    with pytest.raises(errors.Frozen, match="while the lock was waited for"):
        apply(database, record, settings=settings)


# Budget and batches


def test_a_strategy_has_so_many_changes_in_a_window_and_its_own_limit_wins(database: Database) -> None:
    prepare(database)
    two = SETTINGS.model_copy(update={"max_changes": 2})
    for knob, to in (("lookback", 21), ("alpha", 0.5)):
        assert apply(database, approved(database, knob, to), settings=two).outcome == "applied"
    third = approved(database, "mode", "slow")
    with pytest.raises(errors.OverBudget, match="has had 2 changes within 24 hours, and may have 2"):
        apply(database, third, settings=two)
    with database.begin() as connection:
        limits.set_limits(
            connection,
            limits.Limits(strategy_id="STRAT", owner="Olga", max_changes=3, window_hours=1),
            actor="ann",
            now=NOW,
        )
        with pytest.raises(errors.InputError, match="takes both"):
            limits.set_limits(connection, limits.Limits(strategy_id="STRAT", max_changes=3), actor="ann", now=NOW)
    assert apply(database, third, settings=two).outcome == "applied"
    fourth = approved(database, "lookback", 42)
    with pytest.raises(errors.OverBudget):
        apply(database, fourth, settings=two)
    assert apply(database, fourth, settings=two, now=NOW + timedelta(hours=1)).outcome == "applied"


def on_one_evidence(database: Database, *wanted: tuple[str, Level]) -> list[ProposalRecord]:
    """Approve proposals that rest on the same evidence: what a person says of all of them at once."""
    return [
        approved(database, knob, to, reason="one campaign", now=NOW + timedelta(seconds=number))
        for number, (knob, to) in enumerate(wanted)
    ]


LATER = NOW + timedelta(minutes=1)


def test_compatible_changes_of_one_strategy_are_applied_together_each_with_its_own_record(database: Database) -> None:
    prepare(database)
    records = on_one_evidence(database, ("risk.max_vol", 0.25), ("lookback", 21), ("alpha", 0.5))
    waiting = propose(database, "mode", "slow", reason="another")
    before = contents(database)
    rehearsed = governance.apply_approved(database, actor="dora", now=LATER, settings=SETTINGS, dry_run=True)
    assert contents(database) == before
    results = governance.apply_approved(database, actor="dora", now=LATER, settings=SETTINGS)
    assert [result.outcome for result in rehearsed] == ["would_apply"] * 3
    assert [(r.proposal_id, r.outcome, r.base_version, r.new_version) for r in results] == [
        (record.proposal_id, "applied", number, number + 1) for number, record in enumerate(records, start=1)
    ]
    assert [r.new_version for r in rehearsed] == [2, 3, 4]
    assert status(database, waiting) == "STALE"
    with database.connect() as connection:
        assert len(changes.list_changes(connection)) == 3
        entry = audit.entries(connection, action="change.apply")[0]
    assert all(record.proposal_id in entry.payload for record in records)
    check_invariants(database)
    # Each can be reverted on its own, in any order.
    second = results[1].change_id
    assert second is not None
    governance.revert(database, second, actor="emil", reason="x", now=LATER, settings=SETTINGS)
    assert live(database).config["lookback"] == 63
    check_invariants(database)


def test_in_a_batch_one_that_fails_stops_none_of_the_others_and_the_budget_counts_them_one_by_one(
    database: Database,
) -> None:
    prepare(database)
    records = on_one_evidence(database, ("risk.max_vol", 0.25), ("lookback", 21), ("alpha", 0.5), ("mode", "slow"))
    by_hand(database, "UPDATE meta_config_proposals SET rationale = 'x' WHERE target_component = 'lookback'")
    two = SETTINGS.model_copy(update={"max_changes": 2})
    results = governance.apply_approved(database, actor="dora", now=LATER, settings=two)
    assert [type(result.error) for result in results] == [
        type(None),
        errors.ContentTampered,
        type(None),
        errors.OverBudget,
    ]
    assert [get(database, record.proposal_id).status for record in records[::2]] == ["APPLIED", "APPLIED"]
    assert live(database).version == 3
    # The configuration moved without it: what was over budget is stale now, and says by what.
    assert status(database, records[3]) == "STALE"
    assert "chg-" in str(get(database, records[3].proposal_id).status_reason)


def test_changes_on_other_evidence_or_of_related_keys_are_named_as_conflicting(database: Database) -> None:
    prepare(database)
    first, second = on_one_evidence(database, ("risk.max_vol", 0.25), ("lookback", 21))
    other = approved(database, "alpha", 0.5, reason="another campaign", now=NOW + timedelta(seconds=9))
    results = governance.apply_approved(database, actor="dora", now=LATER, settings=SETTINGS)
    assert [result.outcome for result in results] == ["applied", "applied", "refused"]
    assert isinstance(results[2].error, errors.StaleBase)
    assert str(results[1].change_id) in results[2].message or str(results[0].change_id) in results[2].message
    assert {status(database, record) for record in (first, second)} == {"APPLIED"}
    assert status(database, other) == "STALE"
