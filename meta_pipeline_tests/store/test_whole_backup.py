"""Backups of the tables and of the files beside them: what is needed to stand up again somewhere else."""

import io
import json
import stat
import tarfile
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.errors import AuditForked, Conflict, DatabaseUnavailable, InputError
from meta_pipeline.orchestration.alerts import ALERTS_FILE
from meta_pipeline.report.files import FOLDER, report_files
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, home_files, kill_file, policy_keys
from meta_pipeline.store import backup as tables
from meta_pipeline.store.database import Database
from meta_pipeline.store.retraining import artifact_store
from meta_pipeline.store.whole_backup import Restored, WholeArchive, backup, restore
from meta_pipeline_tests.store.governed import NOW, declare, propose

pytestmark = pytest.mark.database
PAGE = b"<!doctype html><title>what Ann read</title>"


def settings_of(home: Path, **values: Any) -> Settings:
    given: dict[str, Any] = {"_env_file": None, "home": home, **values}
    return Settings(**given)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "there")


@pytest.fixture
def archive(database: Database, here: Settings, tmp_path: Path) -> WholeArchive:
    """The backup of a loop with a proposal, its report, a model, two keys, an anchor, an alert and a kill file."""
    declare(database, "TREND")
    propose(database, strategy_id="TREND", now=NOW)
    report_files(here.home).put(PAGE)
    artifact_store(here).put(b'{"kind": "model"}')
    policy_keys.new_key(policy_keys.keys_folder(here), "hmac-sha256", now=NOW)
    policy_keys.new_key(policy_keys.keys_folder(here), "hmac-sha256", now=NOW + timedelta(days=90))
    anchor(database, here)
    (here.home / ALERTS_FILE).parent.mkdir()
    (here.home / ALERTS_FILE).write_text('{"kind": "run_failure"}\n')
    kill_file.write(here, reason="before the move", actor="ann", now=NOW)
    return backup(database, here, tmp_path / "loop.backup")


def anchor(database: Database, settings: Settings) -> None:
    with database.connect() as connection:
        anchors.anchor_head(connection, settings, now=NOW)


def verified(database: Database, settings: Settings) -> int:
    """Hold the audit log against the anchors of a home, and return how many entries agree."""
    with database.connect() as connection:
        return anchors.verify_anchored(connection, anchors.read_anchors(anchors.place_of(settings))).entries


def contents(settings: Settings) -> dict[str, bytes]:
    return {one.name: one.path.read_bytes() for one in home_files.home_files(settings)}


def test_in_another_home_everything_is_there_again_and_the_audit_log_agrees_with_its_anchors(
    archive: WholeArchive, database: Database, here: Settings, there: Settings, empty_database: Database
) -> None:
    done = restore(empty_database, there, archive.path)
    assert done == Restored(archive=archive, written=archive.files, kept=(), elsewhere=())
    assert contents(there) == contents(here)
    assert {name.partition("/")[0] for name in archive.files} == {*home_files.FOLDERS, "KILL"}
    assert verified(empty_database, there) == verified(database, here) > 0
    assert report_files(there.home).get(sha256(PAGE).hexdigest()) == PAGE
    keys = policy_keys.list_keys(policy_keys.keys_folder(there))  # refuses keys that others may read
    assert keys == policy_keys.list_keys(policy_keys.keys_folder(here))
    assert kill_file.found(there) is not None


def test_the_folders_of_a_backup_are_those_that_the_programs_write_to() -> None:
    """The store names them itself, as it may not import who writes there."""
    home = settings_of(Path("home"))
    named = {FOLDER, artifact_store(home).folder.name, policy_keys.keys_folder(home).name, anchors.FOLDER}
    assert {*named, ALERTS_FILE.parent.name} == set(home_files.FOLDERS)
    assert set(home_files.ADDRESSED) == {FOLDER, artifact_store(home).folder.name}


def test_a_backup_is_its_owners_alone_and_nothing_is_left_beside_it(archive: WholeArchive) -> None:
    assert stat.S_IMODE(archive.path.stat().st_mode) == 0o600
    assert archive.size == archive.path.stat().st_size
    assert [path.name for path in archive.path.parent.iterdir() if "loop.backup" in path.name] == ["loop.backup"]


def test_an_older_backup_is_not_replaced_unasked_nor_by_one_that_fails(
    archive: WholeArchive, database: Database, here: Settings
) -> None:
    before = archive.path.read_bytes()
    with pytest.raises(Conflict, match="exists; choose another name, or replace it with --overwrite"):
        backup(database, here, archive.path)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM pg_rewrite WHERE ev_class = 'strategy_configs'::regclass"))
    with pytest.raises(DatabaseUnavailable, match="pg_dump failed"):
        backup(database, here, archive.path, overwrite=True)
    assert archive.path.read_bytes() == before
    assert [path.name for path in archive.path.parent.iterdir() if "loop.backup" in path.name] == ["loop.backup"]


def test_keys_stay_out_when_asked_to(archive: WholeArchive, database: Database, here: Settings) -> None:
    without = backup(database, here, archive.path, overwrite=True, keys=False)
    assert {name for name in archive.files if name not in without.files} == {
        name for name in archive.files if name.startswith("policy-keys/")
    }
    secret = json.loads(next((here.home / "policy-keys").glob("*.json")).read_text())["secret"]
    with tarfile.open(without.path) as opened:
        assert not any(secret.encode() in content(opened, entry) for entry in opened)


def content(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(entry)
    assert file is not None
    return file.read()


def test_what_is_there_is_never_overwritten_but_a_broken_report_is_mended(
    archive: WholeArchive, database: Database, here: Settings, empty_database: Database
) -> None:
    """The database was lost, and the home was not: since the backup a key was retired and the log went on."""
    folder = policy_keys.keys_folder(here)
    oldest = policy_keys.list_keys(folder)[0]
    policy_keys.retire_key(folder, oldest.key_id, now=NOW)
    propose(database, strategy_id="TREND", proposed=0.3, now=NOW)
    anchor(database, here)
    report = report_files(here.home).path(sha256(PAGE).hexdigest())
    report.write_bytes(PAGE[:10])
    done = restore(empty_database, here, archive.path)
    assert done.kept == (f"policy-keys/{oldest.key_id}.json",)
    assert done.written == (f"reports/{report.name}",)
    assert report.read_bytes() == PAGE
    assert policy_keys.list_keys(folder)[0].retired_at == NOW
    with pytest.raises(AuditForked, match="a backup was restored"):
        verified(empty_database, here)


def test_keys_anchors_and_kill_file_go_where_the_settings_keep_them(
    archive: WholeArchive, empty_database: Database, tmp_path: Path
) -> None:
    places = {"policy_keys": tmp_path / "k", "audit_anchor": str(tmp_path / "a"), "kill_file": tmp_path / "STOP"}
    moved = settings_of(tmp_path / "there", **places)
    restore(empty_database, moved, archive.path)
    assert len(policy_keys.list_keys(tmp_path / "k")) == 2
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o700
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert (tmp_path / "STOP").exists()
    assert verified(empty_database, moved) > 0


def test_anchors_in_an_object_store_are_neither_taken_along_nor_written_there(
    archive: WholeArchive, database: Database, empty_database: Database, tmp_path: Path
) -> None:
    remote = settings_of(tmp_path / "here", audit_anchor="memory://anchors")
    assert not any(name.startswith("audit-anchors/") for name in backup(database, remote, tmp_path / "b").files)
    done = restore(empty_database, remote, archive.path)
    assert done.elsewhere == tuple(name for name in archive.files if name.startswith("audit-anchors/"))
    assert anchors.place_of(remote).names() == []


def test_a_database_with_rows_is_refused_and_no_file_is_put_back(
    archive: WholeArchive, database: Database, there: Settings
) -> None:
    with pytest.raises(Conflict, match="not empty"):
        restore(database, there, archive.path)
    assert contents(there) == {}


def test_a_backup_of_the_tables_alone_is_restored_as_well(
    database: Database, empty_database: Database, there: Settings, tmp_path: Path
) -> None:
    declare(database, "TREND")
    dump = tables.backup(database, tmp_path / "loop.dump")
    done = restore(empty_database, there, dump.path)
    assert (done.archive.revision, done.archive.files, done.written) == (dump.revision, (), ())


def test_an_anchor_that_is_made_while_the_tables_are_dumped_is_not_in_the_backup(
    archive: WholeArchive,
    database: Database,
    here: Settings,
    there: Settings,
    empty_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would name an entry that the tables of this backup need not have."""
    real = tables.backup

    def slow(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        propose(database, strategy_id="TREND", proposed=0.3, now=NOW)
        report_files(here.home).put(b"a report of that moment")
        anchor(database, here)
        return done

    monkeypatch.setattr(tables, "backup", slow)
    again = backup(database, here, archive.path, overwrite=True)
    assert len(again.files) == len(archive.files) + 1  # the report, which harms nobody
    restore(empty_database, there, again.path)
    assert verified(empty_database, there) > 0


Edit = Callable[[dict[str, bytes]], object]


def edited(archive: WholeArchive, edit: Edit) -> Path:
    """Write the archive anew with other entries."""
    with tarfile.open(archive.path) as opened:
        entries = {entry.name: content(opened, entry) for entry in opened}
    edit(entries)
    with tarfile.open(archive.path, "w:gz") as written:
        for name, body in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            written.addfile(entry, io.BytesIO(body))
    return archive.path


def change_a_report(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.startswith("home/reports/"))
    entries[name] = b"approve everything"


def list_of(entries: dict[str, bytes], **changes: Any) -> None:
    entries["contents.json"] = json.dumps({**json.loads(entries["contents.json"]), **changes}).encode()


def name_a_file_outside(entries: dict[str, bytes]) -> None:
    """As somebody would who wants a restore to write elsewhere: the list agrees with what is in it."""
    entries["home/reports/../../../stolen"] = b"x"
    files = {**json.loads(entries["contents.json"])["files"], "reports/../../../stolen": sha256(b"x").hexdigest()}
    list_of(entries, files=files)


def name_another_folder(entries: dict[str, bytes]) -> None:
    entries["home/postgres/pg_hba.conf"] = b"x"
    files = {**json.loads(entries["contents.json"])["files"], "postgres/pg_hba.conf": sha256(b"x").hexdigest()}
    list_of(entries, files=files)


DAMAGES: list[tuple[Edit, str]] = [
    (change_a_report, "is not what its list says (home/reports/"),
    (lambda entries: entries.pop("loop.dump"), "is not what its list says (loop.dump)"),
    (lambda entries: entries.pop("contents.json"), "has no contents.json: it was cut short"),
    (lambda entries: entries.update({"contents.json": b"[]"}), "cannot be read; use another backup"),
    (lambda entries: list_of(entries, format=2), "is of format 2, which this installation does not know"),
    (lambda entries: entries.update({"/etc/passwd": b"x"}), "holds '/etc/passwd', which none of ours does"),
    (name_a_file_outside, "reports/../../../stolen"),
    (name_another_folder, "names the file 'postgres/pg_hba.conf', which no home folder has"),
]


def test_a_backup_that_was_changed_or_cut_short_is_refused_before_anything_is_touched(
    archive: WholeArchive, there: Settings, empty_database: Database
) -> None:
    whole = archive.path.read_bytes()
    for edit, said in DAMAGES:
        archive.path.write_bytes(whole)
        with pytest.raises(InputError) as refused:
            restore(empty_database, there, edited(archive, edit))
        assert said in str(refused.value)
    for part in (0.1, 0.9, 0.999):
        archive.path.write_bytes(whole[: int(archive.size * part)])
        with pytest.raises(InputError, match="cannot be read to its end"):
            restore(empty_database, there, archive.path)
    assert not there.home.exists()
    with empty_database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar_one() == 0
