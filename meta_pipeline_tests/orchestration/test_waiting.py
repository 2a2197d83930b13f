"""Alerts on what does not happen: proposals that nobody decides, approvals that nobody applies, assets that age."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.alerts import ALERTS_FILE
from meta_pipeline.orchestration.waiting import stale_assets, waiting_approvals
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import (
    NOW,
    allow,
    declare_strategy,
    form,
    launch,
    resource_of,
    save_proposal,
    verdict,
)

pytestmark = pytest.mark.database
HOUR = timedelta(hours=1)


def tick(
    database: Database, home: Path, *, at: datetime, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Look once, as the daemon does; return the new alerts and what is remembered."""
    before = written(home)
    with dg.build_sensor_context(cursor=cursor) as context:
        result = waiting_approvals(context, database=resource_of(database, now=at, home=home))
    assert isinstance(result, dg.SensorResult)
    assert result.skip_reason is not None
    return written(home)[len(before) :], result.cursor


def written(home: Path) -> list[dict[str, Any]]:
    path = home / ALERTS_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_proposal_is_told_of_once_when_it_waits_once_before_it_lapses_and_an_approval_before_it_does(
    database: Database, tmp_path: Path
) -> None:
    declare_strategy(database)
    allow(database, "Bob")
    proposal = save_proposal(database)
    said, cursor = tick(database, tmp_path, at=NOW + 23 * HOUR, cursor=None)
    assert said == []
    said, cursor = tick(database, tmp_path, at=NOW + 25 * HOUR, cursor=cursor)
    assert [(line["kind"], line["subject"], line["run_id"]) for line in said] == [
        ("approval_waiting", proposal.proposal_id, None)
    ]
    assert "STRAT_001: window 20 → 50 has waited 25 h for a decision" in said[0]["message"]
    assert f"meta-pipeline proposals show {proposal.proposal_id}" in said[0]["message"]
    said, cursor = tick(database, tmp_path, at=NOW + 30 * HOUR, cursor=cursor)
    assert said == []
    said, cursor = tick(database, tmp_path, at=NOW + timedelta(days=13, hours=3), cursor=cursor)
    assert [line["kind"] for line in said] == ["approval_lapses"]
    assert "lapses undecided in 21 h" in said[0]["message"]

    decided = NOW + timedelta(days=13, hours=4)
    assert launch("approve_proposals", form(verdict(proposal)), resource_of(database, now=decided)).success
    said, cursor = tick(database, tmp_path, at=decided + 60 * HOUR, cursor=cursor)
    assert [line["kind"] for line in said] == ["approval_lapses"]
    assert "is approved, not applied, and its approval lapses" in said[0]["message"]
    assert f"meta-pipeline apply {proposal.proposal_id} --dry-run" in said[0]["message"]
    said, cursor = tick(database, tmp_path, at=NOW + timedelta(days=40), cursor=cursor)
    assert (said, cursor) == ([], "[]")


def test_a_cursor_that_cannot_be_read_tells_again_rather_than_never(database: Database, tmp_path: Path) -> None:
    declare_strategy(database)
    save_proposal(database)
    for cursor in (None, "{broken", "7"):
        said, _ = tick(database, tmp_path, at=NOW + 25 * HOUR, cursor=cursor)
        assert [line["kind"] for line in said] == ["approval_waiting"]


def test_an_asset_that_fails_its_freshness_policy_is_told_of_once_and_again_after_it_was_fresh(
    database: Database, tmp_path: Path
) -> None:
    repository = build_definitions().get_repository_def()
    cursor = None
    with dg.DagsterInstance.ephemeral() as instance:

        def look() -> list[str]:
            nonlocal cursor
            before = len(written(tmp_path))
            with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository) as context:
                result = stale_assets(context, database=resource_of(database, home=tmp_path))
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
            return [f"{line['kind']} {line['subject']}" for line in written(tmp_path)[before:]]

        def evaluated(asset: str, state: FreshnessState) -> None:
            """Write down what Dagster's own daemon does."""
            change = FreshnessStateChange(
                key=dg.AssetKey(asset),
                new_state=state,
                previous_state=FreshnessState.UNKNOWN,
                state_change_timestamp=NOW.timestamp(),
            )
            instance._report_runless_asset_event(change)

        assert look() == []
        evaluated("proposals", FreshnessState.FAIL)
        evaluated("msc_policy", FreshnessState.PASS)
        assert look() == ["stale_asset proposals"]
        assert look() == []
        evaluated("proposals", FreshnessState.PASS)
        assert look() == []
        evaluated("proposals", FreshnessState.FAIL)
        assert look() == ["stale_asset proposals"]
