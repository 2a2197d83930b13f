"""From the night's report to the missing runs and back, by the commands that a person types."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meta_pipeline import lab
from meta_pipeline.backtests import record
from meta_pipeline.cli import common
from meta_pipeline.orchestration.assets.diagnostics_report import report_for
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.report.strategy_report import StrategyReport, strategy_html
from meta_pipeline.store import strategies
from meta_pipeline.store.backtests import RunStore, close_campaign
from meta_pipeline.store.database import Database
from meta_pipeline.store.diagnostics import latest_report
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.lab.test_planned import LIVE, aliased_runs
from meta_pipeline_tests.orchestration.builders import NOW

pytestmark = pytest.mark.database


@pytest.fixture
def aliased(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A campaign of the lab in which two knobs never part."""
    monkeypatch.setenv("META_PIPELINE_HOME", str(tmp_path))
    declared = replace(lab.strategy_named("LAB_TREND"), live_config=dict(LIVE))
    with database.begin() as connection:
        strategies.declare(connection, declared, actor="ann", now=NOW)
    record(aliased_runs(), into=RunStore(database, actor="ann", clock=lambda: NOW))
    with database.begin() as connection:
        close_campaign(connection, "LAB_TREND", "aliased", now=NOW)
    return database


def test_the_night_lists_what_to_run_next_and_handing_it_in_resolves_the_alias(
    aliased: Database, shell: Shell, tmp_path: Path
) -> None:
    settings = common.settings()
    night = DatabaseResource(aliased, settings=lambda: settings, clock=lambda: NOW)
    report = report_for("LAB_TREND", night)
    assert not isinstance(report, str)
    assert report.n_missing_runs == len(report.missing_runs) == 12
    with aliased.connect() as connection:
        stored = latest_report(connection, "LAB_TREND")
    assert stored is not None
    assert stored.report.missing_runs == report.missing_runs
    page = strategy_html(StrategyReport(strategy_id="LAB_TREND", night=NOW.date(), report=report)).decode()
    assert "What to run next" in page
    assert "Missing runs (12)" in page

    for name in ("plan.json", "plan.yaml"):
        shown = shell.ask("proposals", "experiments", "LAB_TREND", "--output", str(tmp_path / name))
        assert len(shown["runs"]) == 12
    assert json.loads((tmp_path / "plan.json").read_text())["runs"] == shown["runs"]
    assert "Missing runs (12)" in shell.run("proposals", "experiments", "LAB_TREND").out

    handed_in = shell.ask("lab", "experiment", str(tmp_path / "plan.yaml"))
    assert (handed_in["accepted"], handed_in["campaigns"]) == (12, ["aliased"])
    again = shell.ask("lab", "experiment", str(tmp_path / "plan.json"))
    assert (again["accepted"], again["duplicates"]) == (0, 12)

    resolved = report_for("LAB_TREND", night)
    assert not isinstance(resolved, str)
    assert {knob.path: knob.status for knob in resolved.knobs if knob.path.endswith("_days")} == {
        "fast_days": "varied",
        "slow_days": "varied",
    }
    assert {one.knob for one in resolved.more_evidence} == {"fast_days", "slow_days"}
    assert shell.ask("proposals", "experiments", "LAB_TREND", "--output", str(tmp_path / "next.json"))["runs"] == []
    nothing = shell.run("lab", "experiment", str(tmp_path / "next.json"))
    assert nothing.code == 3
    assert "asks for no run" in nothing.err


def test_a_file_that_is_no_plan_is_refused_in_words(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.yaml").write_text("a: [")
    for name, said in (("list.json", "not a plan"), ("broken.yaml", "cannot be read as a plan")):
        answer = shell.run("lab", "experiment", str(tmp_path / name))
        assert answer.code != 0
        assert said in answer.err
