"""A freeze that has returned stops every apply that is not committed yet, also one that had read the freezes before."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from meta_pipeline import errors, failpoints
from meta_pipeline.store import audit, freezing, governance, limits
from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.acts import ACTS, Act, Subject, statuses
from meta_pipeline_tests.faults.injection import (
    Site,
    answer_of,
    at_step,
    everything,
    kill,
    settle,
    wait_for,
    waits,
)
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store.governed import SETTINGS, approved, declare, live
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database


def _prepare_what_raises_risk(database: Database, name: str) -> Subject:
    declare(database, name)
    return approved(database, "risk.max_vol", 0.7, strategy_id=name).proposal_id, "with"


RAISING: Act = replace(ACTS["apply"], prepare=_prepare_what_raises_risk, levels=(0.5, 0.7))


def freeze(database: Database, strategy_id: str | None) -> None:
    with database.begin() as connection:
        freezing.freeze_now(connection, reason="incident", strategy_id=strategy_id, actor="ann", now=NOW)


def test_an_apply_whose_checks_had_passed_is_stopped_by_a_freeze_that_returned(site: Site) -> None:
    subject = RAISING.prepare(site.database, "stopped")
    process, pipe = at_step(site, RAISING, subject, "apply.ended")  # all written but the audit entry
    freeze(site.database, "stopped")  # returns at once: nothing that hangs can hold it up
    written = everything(site.database)
    pipe.send("go")
    (answer,) = answer_of(process, pipe)
    assert answer.startswith("Frozen: applies are frozen: ")
    assert "incident" in answer
    assert statuses(site.database, subject) == ("APPROVED",)
    assert everything(site.database) == written


def test_a_freeze_waits_for_an_apply_that_is_past_its_last_look_and_returns_when_it_is_committed(site: Site) -> None:
    subject = RAISING.prepare(site.database, "waited for")
    process, pipe = at_step(site, RAISING, subject, "apply.audited")
    freezer = threading.Thread(target=freeze, args=(site.database, "waited for"))
    freezer.start()
    wait_for(lambda: waits(site.database, "wait_event_type = 'Lock'"), "the freeze to wait")
    assert freezer.is_alive()
    pipe.send("go")
    assert answer_of(process, pipe) == ("applied",)
    freezer.join(60)
    with site.database.connect() as connection:
        newest = audit.entries(connection, limit=2)
    assert [entry.action for entry in newest] == ["freeze.add", "change.apply"]


def test_a_freeze_is_not_held_up_for_longer_than_a_killed_apply_lives(site: Site) -> None:
    subject = RAISING.prepare(site.database, "killed")
    process, _ = at_step(site, RAISING, subject, "apply.audited")
    freezer = threading.Thread(target=freeze, args=(site.database, "killed"))
    freezer.start()
    wait_for(lambda: waits(site.database, "wait_event_type = 'Lock'"), "the freeze to wait")
    kill(process)
    freezer.join(60)
    assert not freezer.is_alive()
    settle(site.database)
    with pytest.raises(errors.Frozen):
        governance.apply(site.database, subject[0], actor="dora", now=NOW, settings=SETTINGS)
    check_invariants(site.database)


def test_a_freeze_is_not_held_up_by_an_apply_that_hangs_past_its_last_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_LONGEST_SILENCE", "300ms")
    subject = RAISING.prepare(site.database, "hanging")
    hangs, frozen = threading.Event(), threading.Event()
    answer: list[Exception] = []

    def hang(step: str) -> None:
        if step == "apply.audited":
            hangs.set()
            assert frozen.wait(60)

    def apply() -> None:
        try:
            governance.apply(site.database, subject[0], actor="dora", now=NOW, settings=SETTINGS)
        except errors.MetaPipelineError as error:
            answer.append(error)

    failpoints.arm(hang)
    try:
        hanging = threading.Thread(target=apply)
        hanging.start()
        assert hangs.wait(60)
        freeze(site.database, "hanging")
    finally:
        frozen.set()
        failpoints.arm(None)
    hanging.join(60)
    assert [type(error) for error in answer] == [errors.DatabaseUnavailable]
    assert statuses(site.database, subject) == ("APPROVED",)
    check_invariants(site.database)


def test_of_a_batch_only_what_the_freeze_stops_is_stopped_and_what_reduces_risk_is_noted_as_exempt(site: Site) -> None:
    act = ACTS["batch"]  # a lookback and an alpha together, then a lower volatility of another strategy
    subject = act.prepare(site.database, "batch")
    process, pipe = at_step(site, act, subject, "batch.judged")
    freeze(site.database, None)
    pipe.send("go")
    one, two, other = answer_of(process, pipe)
    try:
        assert one.startswith("refused: applies are frozen")
        assert two.startswith("refused: applies are frozen")
        assert other == "applied"
        assert statuses(site.database, subject) == ("APPROVED", "APPROVED", "APPLIED")
        with site.database.connect() as connection:
            (entry,) = audit.entries(connection, limit=1)
        assert "exempt_from_freeze" in entry.payload
    finally:
        with site.database.begin() as connection:
            (everywhere,) = (one for one in freezing.list_freezes(connection) if one.freeze.strategy_id is None)
            freezing.lift(connection, everywhere.freeze.freeze_id, reason="over", actor="ann", now=NOW)


def test_a_kill_file_that_is_touched_while_an_apply_writes_stops_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"kill_file": tmp_path / "KILL"})
    subject = RAISING.prepare(site.database, "kill file")
    written = everything(site.database)
    failpoints.arm(lambda step: (tmp_path / "KILL").touch() if step == "apply.audited" else None)
    try:
        with pytest.raises(errors.Frozen, match=r"the kill file .* is there"):
            governance.apply(site.database, subject[0], actor="dora", now=NOW, settings=settings)
    finally:
        failpoints.arm(None)
    assert everything(site.database) == written
    (tmp_path / "KILL").unlink()
    assert governance.apply(site.database, subject[0], actor="dora", now=NOW, settings=settings).outcome == "applied"


def test_a_dry_run_tells_of_a_freeze_that_came_meanwhile(site: Site, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"kill_file": tmp_path / "KILL"})
    subject = RAISING.prepare(site.database, "rehearsed")
    failpoints.arm(lambda step: (tmp_path / "KILL").touch() if step == "apply.audited" else None)
    try:
        told = governance.apply(site.database, subject[0], actor="dora", now=NOW, settings=settings, dry_run=True)
    finally:
        failpoints.arm(None)
    assert (told.outcome, told.dry_run) == ("refused", True)
    assert isinstance(told.error, errors.Frozen)


def test_a_lower_limit_that_returned_holds_for_every_apply_that_was_not_committed(site: Site) -> None:
    subject = RAISING.prepare(site.database, "limited")
    process, pipe = at_step(site, RAISING, subject, "apply.checked")

    def lower() -> None:
        with site.database.begin() as connection:
            none = limits.Limits(strategy_id="limited", max_changes=0, window_hours=24)
            limits.set_limits(connection, none, actor="ann", now=NOW)

    manager = threading.Thread(target=lower)
    manager.start()
    wait_for(lambda: waits(site.database, "wait_event_type = 'Lock'"), "the new limit to wait")
    pipe.send("go")
    assert answer_of(process, pipe) == ("applied",)
    manager.join(60)
    next_one = approved(site.database, "lookback", 21, strategy_id="limited")
    with pytest.raises(errors.OverBudget):
        governance.apply(site.database, next_one.proposal_id, actor="dora", now=NOW, settings=SETTINGS)
    assert live(site.database, "limited").version == 2
