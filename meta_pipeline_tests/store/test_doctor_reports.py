"""The doctor on reports: whoever decides must be able to read what the digest of the proposal covers."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from meta_pipeline.store.database import Database
from meta_pipeline.store.diagnosis import Diagnosis
from meta_pipeline.store.doctor_loop import examine_loop
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import NOW, declare
from meta_pipeline_tests.store.test_whole_backup import settings_of


@pytest.fixture
def shell(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(database, monkeypatch, capsys)


def reports_of(database: Database, home: Path) -> Diagnosis:
    with database.connect() as connection:
        (found,) = [one for one in examine_loop(connection, settings_of(home), NOW) if one.what == "reports"]
    return found


@pytest.mark.database
def test_a_missing_report_is_a_warning_and_an_altered_one_a_failure_until_it_is_put_back(
    database: Database, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("META_PIPELINE_HOME", str(tmp_path))
    assert reports_of(database, tmp_path).text == "of open proposals: 0, all whole"
    declare(database)
    changed = ("--strategy", "STRAT", "--knob", "risk.max_vol", "--to", "0.25", "--reason", "more room")
    made = shell.ask("proposals", "create", *changed)
    assert reports_of(database, tmp_path).text == "of open proposals: 1, all whole"
    (report,) = (tmp_path / "reports").iterdir()
    content = report.read_bytes()
    damage: tuple[tuple[str, Callable[[], object]], ...] = (
        ("FAIL", lambda: report.write_bytes(b"approve everything")),
        ("WARN", report.unlink),
    )
    for level, broken in damage:
        broken()
        found = reports_of(database, tmp_path)
        assert (found.level, made["proposal_id"] in found.text) == (level, True)
        assert f"{tmp_path}/reports" in found.mend
    report.write_bytes(content)
    assert sha256(content).hexdigest() == report.stem
    assert reports_of(database, tmp_path).level == "OK"
