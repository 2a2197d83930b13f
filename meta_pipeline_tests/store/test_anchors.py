"""Anchors: what a chain alone does not prove, a note outside the database does."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy import text

from meta_pipeline.errors import AuditBroken, AuditForked, InputError, NothingToDo, NotPermitted, Unhealthy
from meta_pipeline.proposals.roles import Role
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, audit, governance, people
from meta_pipeline.store.anchors import Anchor
from meta_pipeline.store.audit_export import read_export, write_export
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import NOW, SETTINGS, approved, prepare

pytestmark = pytest.mark.database


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """Settings with the anchors in a folder."""
    return SETTINGS.model_copy(update={"home": tmp_path, "audit_anchor": str(tmp_path / "kept elsewhere")})


def fill(database: Database, count: int, *, by: str = "Ann") -> None:
    event = audit.Event(action="test.happen", subject_type="test", subject_id="t", payload={"by": by})
    with database.begin() as connection:
        audit.append_all(connection, [event] * count, actor=by, at=NOW)


def anchor(database: Database, settings: Settings) -> Anchor:
    with database.connect() as connection:
        return anchors.anchor_head(connection, settings, now=NOW)


def verify(database: Database, settings: Settings, *, since_last: bool = False) -> audit.Verified:
    noted = anchors.read_anchors(anchors.place_of(settings))
    with database.connect() as connection:
        return anchors.verify_anchored(connection, noted, since_last=since_last)


def tamper(database: Database, *statements: str) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("ALTER TABLE audit_log ENABLE TRIGGER USER"))


def cut(database: Database) -> None:
    tamper(database, "DELETE FROM audit_log WHERE seq > 3")


def cut_and_grown(database: Database) -> None:
    """What a restored backup looks like after a day of work."""
    cut(database)
    fill(database, 6, by="Eve")


def test_an_anchor_is_written_once_per_head_and_the_log_agrees_with_all(database: Database, kept: Settings) -> None:
    assert anchor(database, kept).seq == 0
    fill(database, 3)
    first = anchor(database, kept)
    assert anchor(database, kept) == first
    fill(database, 2)
    assert anchor(database, kept).seq == 5
    names = sorted(path.name for path in Path(str(kept.audit_anchor)).iterdir())
    assert len(names) == 3
    assert names[1].startswith("anchor-000001-000000000000003-")
    for since_last in (False, True):
        assert verify(database, kept, since_last=since_last).entries == 5


@pytest.mark.parametrize(("damage", "said"), [(cut, "tail was cut off"), (cut_and_grown, "another log, a fork")])
def test_a_cut_tail_and_a_restored_backup_are_recognised_until_an_operator_seals_anew(
    database: Database, kept: Settings, damage: Callable[[Database], None], said: str
) -> None:
    fill(database, 2)
    anchor(database, kept)
    fill(database, 3)
    anchor(database, kept)
    damage(database)
    with database.connect() as connection:
        audit.verify(connection)  # the chain alone holds together
    for act in (verify, anchor, lambda d, s: verify(d, s, since_last=True)):
        with pytest.raises(AuditForked, match=said) as broken:
            act(database, kept)
    assert broken.value.exit_code == 7
    with database.begin() as connection:
        people.grant(connection, "olga", Role.OPERATOR, actor="ann", now=NOW)
    for actor, reason, error in (
        ("dagster", "restored", NotPermitted),
        ("ann", "restored", NotPermitted),
        ("olga", " ", InputError),
    ):
        with pytest.raises(error), database.begin() as connection:
            anchors.reseal(connection, kept, reason=reason, actor=actor, now=NOW)
    with database.begin() as connection:
        sealed = anchors.reseal(connection, kept, reason="backup of Friday restored", actor="olga", now=NOW)
    assert (sealed.generation, sealed.agreed_until) == (2, 2)
    assert verify(database, kept).entries == sealed.seq
    with database.connect() as connection:
        entry = audit.entries(connection, action="audit.reseal")[0]
    assert json.loads(entry.payload)["abandoned"][0]["seq"] == 5
    with pytest.raises(NothingToDo), database.begin() as connection:
        anchors.reseal(connection, kept, reason="again", actor="olga", now=NOW)
    fill(database, 1)
    assert anchor(database, kept).generation == 2
    # What was abandoned does not come back; what was agreed on still counts.
    tamper(database, "DELETE FROM audit_log WHERE seq > 1")
    with pytest.raises(AuditForked):
        verify(database, kept)


def test_a_log_written_anew_from_its_first_entry_is_a_fork(database: Database, kept: Settings) -> None:
    fill(database, 4)
    anchor(database, kept)
    tamper(database, "DELETE FROM audit_log")
    fill(database, 4, by="Eve")
    with pytest.raises(AuditForked, match="entry 4 of the audit log has the hash"):
        verify(database, kept)


def test_damage_before_the_last_anchor_is_found_by_the_whole_walk_and_damage_after_it_by_both(
    database: Database, kept: Settings
) -> None:
    fill(database, 4)
    anchor(database, kept)
    fill(database, 2)
    tamper(database, "UPDATE audit_log SET actor = 'eve' WHERE seq = 6")
    for since_last in (False, True):
        with pytest.raises(AuditBroken, match="breaks at entry 6"):
            verify(database, kept, since_last=since_last)
    with pytest.raises(AuditBroken):  # what does not verify is not anchored
        anchor(database, kept)
    tamper(database, "UPDATE audit_log SET actor = 'eve' WHERE seq = 2")
    with pytest.raises(AuditBroken, match="breaks at entry 2"):
        verify(database, kept)


def test_an_anchor_that_cannot_be_read_or_was_forged_is_not_passed_over(database: Database, kept: Settings) -> None:
    fill(database, 3)
    last = anchor(database, kept)
    folder = Path(str(kept.audit_anchor))
    forged = Anchor(seq=2, entry_hash=entry_hash(database, 2), at=NOW, generation=2, agreed_until=0, reason="x")
    (folder / forged.name()).write_text(forged.text())
    with pytest.raises(AuditForked, match="claims a reseal that the audit log does not have"):
        verify(database, kept)
    (folder / forged.name()).unlink()
    (folder / last.name()).chmod(0o600)
    (folder / last.name()).write_text("{")
    with pytest.raises(Unhealthy, match="cannot be read"):
        verify(database, kept)


def entry_hash(database: Database, seq: int) -> str:
    with database.connect() as connection:
        found: str = connection.execute(text("SELECT hash FROM audit_log WHERE seq = :seq"), {"seq": seq}).scalar_one()
    return found


def test_anchors_live_in_any_place_that_fsspec_knows(database: Database) -> None:
    there = SETTINGS.model_copy(update={"audit_anchor": "memory://audit/of-this-test"})
    fill(database, 3)
    assert anchor(database, there).seq == 3
    cut_and_grown(database)
    tamper(database, "DELETE FROM audit_log WHERE seq > 2")
    with pytest.raises(AuditForked):
        verify(database, there)
    for address in ("nosuch://x", "s3nope://bucket"):
        with pytest.raises(InputError, match="fsspec"):
            anchors.place_of(SETTINGS.model_copy(update={"audit_anchor": address}))


def test_a_store_that_fails_in_its_own_way_is_named_like_any_place_out_of_reach(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SETTINGS.model_copy(update={"audit_anchor": "memory://audit/out-of-reach"})

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no credentials")

    fill(database, 3)
    for name in ("pipe_file", "ls"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
        with pytest.raises(Unhealthy, match="RuntimeError: no credentials"):
            anchor(database, there)


def test_after_each_apply_the_head_is_anchored_if_wanted_and_a_failure_of_that_undoes_nothing(
    database: Database, kept: Settings
) -> None:
    prepare(database)
    wanted = kept.model_copy(update={"audit_anchor_each_apply": True})
    first, second = approved(database), approved(database, "lookback", 21)
    done = governance.apply(database, first.proposal_id, actor="dora", now=NOW, settings=wanted)
    assert done.notes == ("audit head anchored at entry 9",)
    folder = Path(str(kept.audit_anchor))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("no folder any more")
    assert done.change_id is not None
    undone = governance.revert(
        database, done.change_id, actor="emil", reason="x", now=NOW + timedelta(hours=1), settings=wanted
    )
    assert undone.outcome == "reverted"
    assert "NOT anchored" in undone.notes[0]
    assert second.proposal_id  # ended by the apply, like every other


def test_an_export_verifies_without_the_database_and_a_changed_or_forked_one_does_not(
    database: Database, kept: Settings, tmp_path: Path
) -> None:
    fill(database, 5)
    anchor(database, kept)
    noted = anchors.read_anchors(anchors.place_of(kept))
    file, part = tmp_path / "log.jsonl", tmp_path / "part.jsonl"
    with database.connect() as connection:
        assert write_export(audit.stream(connection), file) == 5
        assert write_export(audit.stream(connection, after=3), part) == 2
        with pytest.raises(InputError, match="never overwrites"):
            write_export(audit.stream(connection), file)
    for exported in (file, part):
        before, rows = read_export(exported)
        assert audit.walk(anchors.held_against(rows, noted), after=before).entries == 5
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2].replace('"Ann"', '"Eve"'), *lines[3:]]))
    before, rows = read_export(file)
    with pytest.raises(AuditBroken, match="breaks at entry 3"):
        audit.walk(rows, after=before)
    cut(database)
    fill(database, 2, by="Eve")
    forked = tmp_path / "forked.jsonl"
    with database.connect() as connection:
        write_export(audit.stream(connection), forked)
    before, rows = read_export(forked)
    with pytest.raises(AuditForked):
        audit.walk(anchors.held_against(rows, noted), after=before)
