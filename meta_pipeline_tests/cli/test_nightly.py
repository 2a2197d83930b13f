"""`meta-pipeline nightly`: what it prints, what it leaves in Dagster's instance, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer
from sqlalchemy import text

from meta_pipeline.cli import nightly
from meta_pipeline.errors import InputError, NothingToDo
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import declare_strategy
from meta_pipeline_tests.orchestration.campaigns import hand_in

pytestmark = pytest.mark.database


@pytest.fixture
def connected(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The command line of somebody whose settings name the test's database."""
    url = database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", url)
    monkeypatch.setenv("META_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return database


def as_json(capfd: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    nightly.nightly(as_json=True, **options)
    answer: dict[str, Any] = json.loads(capfd.readouterr().out)
    return answer


def test_it_shows_proposals_counts_of_the_suppressed_and_the_next_commands_and_no_log(
    connected: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    hand_in(connected, "TREND")
    nightly.nightly()
    out, err = capfd.readouterr()
    assert "window" in out
    assert "20 → 50" in out
    assert "Suppressed candidates, by reason" in out
    assert "32 runs were pending" in out
    assert "The audit log verifies, and is anchored at entry" in out
    assert "meta-pipeline approvers add NAME" in out
    assert "dagster" not in out + err
    assert "Warning" not in out + err


def test_the_commands_name_the_proposal_and_its_digest_whole(
    connected: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    hand_in(connected, "TREND")
    answer = as_json(capfd)
    assert answer["schema_version"] == 1
    assert answer["pending_before"] == 32
    assert answer["failed_checks"] == []
    best = max(answer["proposals"], key=lambda row: row["expected_uplift"])
    assert f"meta-pipeline approve {best['proposal']} --digest {best['digest']}" in answer["next"]
    assert len(best["digest"]) == 64
    assert sum(answer["suppressed"].values()) > 0
    again = as_json(capfd)
    assert again["pending_before"] == 0
    assert [row["proposal"] for row in again["proposals"]] == [row["proposal"] for row in answer["proposals"]]


def test_with_nothing_pending_and_nothing_open_there_is_nothing_to_do(connected: Database) -> None:
    declare_strategy(connected)
    with pytest.raises(NothingToDo, match="nothing was pending, and no proposal is open"):
        nightly.nightly()
    assert NothingToDo.exit_code == 3


def test_one_strategy_may_be_named_and_the_others_stay_pending(
    connected: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    hand_in(connected, "ONE")
    hand_in(connected, "TWO", seed=2)
    answer = as_json(capfd, strategy="ONE")
    assert answer["pending_before"] == 32
    assert {row["strategy"] for row in answer["proposals"]} == {"ONE"}
    assert as_json(capfd)["pending_before"] == 32


def test_a_strategy_that_does_not_exist_is_named(connected: Database) -> None:
    with pytest.raises(InputError, match="there is no strategy 'NONE'"):
        nightly.nightly(strategy="NONE")


def test_the_run_is_kept_where_dagster_home_says(
    connected: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    hand_in(connected, "TREND", n_runs=2)
    run_id = as_json(capfd)["run_id"]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.job_name == "nightly"
        assert instance.get_latest_materialization_event(dg.AssetKey("proposals")) is not None


def test_a_relative_dagster_home_is_refused_by_a_sentence(connected: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "dagster_home")
    hand_in(connected, "TREND", n_runs=2)
    with pytest.raises(InputError, match="must be the absolute path of an existing folder"):
        nightly.nightly()


def test_a_check_that_fails_is_shown_and_makes_the_exit_code_one(
    connected: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    hand_in(connected, "BAD")
    with connected.begin() as connection:
        connection.execute(text("UPDATE strategy_knobs SET knob_type = 'bogus'"))
    with pytest.raises(typer.Exit) as ended:
        nightly.nightly()
    assert ended.value.exit_code == 1
    assert "BAD was left behind: InputError" in capfd.readouterr().out
