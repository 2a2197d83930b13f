"""The three assets on a real database: what they write, what they show, and whom a bad strategy leaves alone."""

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.backtests import record
from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.anchoring import anchor_check
from meta_pipeline.orchestration.metadata import MAX_PICTURE
from meta_pipeline.orchestration.refreshing import NIGHTLY, STRATEGIES
from meta_pipeline.store import audit
from meta_pipeline.store.anchors import Anchor, place_of, read_anchors
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.orchestration.builders import NOW, declare_strategy, resource_of
from meta_pipeline_tests.orchestration.campaigns import hand_in

pytestmark = pytest.mark.database
ASSETS = ("backtest_aggregates", "diagnostics_report", "proposals")


def refresh(
    database: Database, instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    job = build_definitions({"database": resource_of(database)}).resolve_job_def(NIGHTLY)
    return job.execute_in_process(instance=instance, tags=dict(tags or {}), raise_on_error=True)


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    # Of a table the value itself is of use: its `value` is another table.
    return {name: value if name == "performance" else value.value for name, value in event.metadata.items()}


def versions(result: dg.ExecuteInProcessResult) -> list[str | None]:
    events = [result.asset_materializations_for_node(asset)[0] for asset in ASSETS]
    return [(event.tags or {}).get("dagster/data_version") for event in events]


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, str | None]:
    evaluations = result.get_asset_check_evaluations()
    return {f"{e.asset_key.to_user_string()}.{e.check_name}": e.description for e in evaluations if not e.passed}


def count(database: Database, table: str) -> int:
    with database.connect() as connection:
        number: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return number


def test_a_campaign_becomes_aggregates_a_report_and_a_proposal_that_can_be_decided_on(database: Database) -> None:
    hand_in(database, "TREND")
    with dg.DagsterInstance.ephemeral() as instance:
        first = refresh(database, instance)
        again = refresh(database, instance)
    assert failed_checks(first) == {}
    aggregates, report, proposals = (shown(first, asset) for asset in ASSETS)

    assert (aggregates["runs absorbed"], aggregates["strategies refreshed"]) == (32, 1)
    labels = [row.data["Label"] for row in aggregates["performance"].records]
    assert labels == ["TREND", "TREND SP500", "TREND WTI"]

    assert (report["reports"], report["configurations"]) == (1, 16)
    assert "32 runs used, 0 in quarantine; 16 configurations" in report["TREND"]
    assert "Aliased knobs" not in report["TREND"]

    assert proposals["open proposals"] == proposals["new proposals"] >= 1
    claim = proposals["TREND: window 20 → 50"]
    assert "grade A" in claim
    assert "/locations/meta_pipeline.definitions/jobs/approve_proposals/playground/setup?config=" in claim
    assert len(claim) < 1000, "the UI folds longer Markdown behind a click"
    assert "Proposal prop" in proposals["approval sheets"]

    for metadata, picture in (
        (aggregates, "picture of the Sharpe ratios"),
        (report, "picture of the effects"),
        (proposals, "picture of the uplifts"),
    ):
        png = b64decode(metadata[picture].partition("base64,")[2].rstrip(")"))
        assert png.startswith(b"\x89PNG")
        assert len(png) <= MAX_PICTURE

    for metadata, document, said in (
        (report, "document of TREND", b"TREND: diagnostics of 2026-11-20"),
        (proposals, "report of TREND: window 20 → 50", b"Change window of TREND from 20 to 50"),
    ):
        path = Path(metadata[document])
        content = path.read_bytes()
        assert path.name == f"{hashlib.sha256(content).hexdigest()}.html"
        assert said in content

    pages = "http://127.0.0.1:8000/pages/"
    assert aggregates["on the pages"] == report["on the pages"] == f"- [TREND]({pages}strategy?id=TREND)"
    assert proposals["on the pages"].startswith(
        f"- [what waits]({pages}inbox)\n- [TREND\\: window 20 → 50]({pages}prop"
    )

    with database.connect() as connection:
        head = audit.head(connection)
    (anchor, *_) = read_anchors(place_of(resource_of(database).settings))[::-1]
    assert (anchor.seq, anchor.entry_hash) == (head.entries, head.head_hash), "whoever starts a refresh, it anchors"

    # Once more with nothing new: the same versions, nothing written twice.
    assert versions(first) == versions(again)
    assert shown(again, "backtest_aggregates")["runs absorbed"] == 0
    assert shown(again, "proposals")["new proposals"] == 0
    assert count(database, "diagnostics_reports") == 1
    assert count(database, "meta_config_proposals") == proposals["new proposals"]


def test_a_log_that_is_not_the_anchored_one_fails_a_check_and_not_the_refresh(database: Database) -> None:
    declare_strategy(database)
    resource = resource_of(database)
    assert anchor_check(resource, asset="change_outcomes").passed
    forged = Anchor(seq=1_000_000, entry_hash="f" * 64, at=NOW)
    place_of(resource.settings).write(forged.name(), forged.text())
    checked = anchor_check(resource, asset="change_outcomes")
    assert not checked.passed
    assert "its tail was cut off, or a backup was restored" in (checked.description or "")


def test_one_bad_strategy_stops_none_of_the_others_and_is_named_by_a_check(database: Database) -> None:
    hand_in(database, "GOOD")
    hand_in(database, "BAD", seed=2)
    with database.begin() as connection:
        connection.execute(text("UPDATE strategy_knobs SET knob_type = 'bogus' WHERE strategy_id = 'BAD'"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = refresh(database, instance)
    assert result.success
    failed = failed_checks(result)
    assert set(failed) == {
        "diagnostics_report.every_strategy_went_through",
        "proposals.every_strategy_went_through",
    }
    assert "BAD was left behind: InputError" in str(failed["proposals.every_strategy_went_through"])
    made = shown(result, "proposals")
    assert (made["strategies"], made["strategies failed"]) == (1, 1)
    assert "GOOD: window 20 → 50" in made


def test_a_run_may_be_about_some_strategies_only(database: Database) -> None:
    hand_in(database, "ONE")
    hand_in(database, "TWO", seed=2)
    with dg.DagsterInstance.ephemeral() as instance:
        result = refresh(database, instance, {STRATEGIES: '["TWO"]'})
        assert shown(result, "backtest_aggregates")["strategies refreshed"] == 1
        assert shown(result, "proposals")["strategies"] == 1
        with pytest.raises(Exception, match="write a JSON list of strategy ids"):
            refresh(database, instance, {STRATEGIES: "TWO"})


def test_what_is_missing_for_a_proposal_is_said_and_fails_nothing(database: Database) -> None:
    sink = RunStore(database, actor="Ann", clock=lambda: NOW)
    record([a_run(seed=1)], into=sink)  # "trend", which nobody declared
    hand_in(database, "FEW", n_runs=2)
    with dg.DagsterInstance.ephemeral() as instance:
        result = refresh(database, instance)
    assert failed_checks(result) == {}
    said = shown(result, "proposals")["remarks"]
    assert "trend has runs but declares no knobs" in said
    assert "insufficient data: 2 runs available, need 5" in said.replace("\\", "")
    assert "insufficient data" in shown(result, "diagnostics_report")["remarks"]
