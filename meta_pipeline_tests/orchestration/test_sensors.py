"""The sensor against the real database: what it starts, what it waits for, and that it loses nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from meta_pipeline.backtests import BacktestRun, record
from meta_pipeline.backtests.inspected import InspectedBatch
from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.batching import MAX_ATTEMPTS
from meta_pipeline.orchestration.refreshing import NIGHTLY, STRATEGIES, STUCK_AFTER, refresh_in_flight
from meta_pipeline.orchestration.sensors import new_backtests
from meta_pipeline.store import aggregates
from meta_pipeline.store.backtests import RunStore, close_campaign, ingest
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run, judge
from meta_pipeline_tests.orchestration.builders import NOW, resource_of

pytestmark = pytest.mark.database


@dataclass(kw_only=True)
class Daemon:
    """What Dagster's daemon does with the sensor: asks it, keeps its cursor, and never starts a run key twice."""

    database: Database
    instance: dg.DagsterInstance
    cursor: str | None = None
    seen: set[str] = field(default_factory=set)

    def tick(self, *, at: datetime = NOW + timedelta(hours=1)) -> dg.RunRequest | str:
        """Return the run that starts, or the sentence that says why none does."""
        resources = {"database": resource_of(self.database, now=at)}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            result = new_backtests(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.run_requests or []:
            assert request.run_key is not None
            assert request.run_key not in self.seen, "Dagster remembers a run key for ever"
            self.seen.add(request.run_key)
            return request
        assert result.skip_reason is not None
        return str(result.skip_reason.skip_message)

    def refresh(self, request: dg.RunRequest | str, *, at: datetime = NOW + timedelta(hours=1)) -> None:
        """Do what the first asset does."""
        assert isinstance(request, dg.RunRequest)
        with self.database.begin() as connection:
            for strategy in ("trend", "carry"):
                if strategy in request.tags[STRATEGIES]:
                    aggregates.refresh(connection, strategy, now=at)
        self.instance.report_runless_asset_event(dg.AssetMaterialization("proposals"))


@pytest.fixture
def daemon(database: Database) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(database=database, instance=instance)


def hand_in(database: Database, *runs: BacktestRun, at: datetime = NOW) -> None:
    record(runs, into=RunStore(database, actor="Ann", clock=lambda: at))


def close(database: Database, strategy: str = "trend") -> None:
    with database.begin() as connection:
        close_campaign(connection, strategy, "spring", now=NOW)


def test_with_nothing_pending_it_says_so(daemon: Daemon) -> None:
    assert daemon.tick() == "every run is in the evidence; nothing is pending"


def test_one_refresh_is_started_for_a_closed_campaign_of_many_runs(daemon: Daemon) -> None:
    hand_in(daemon.database, *(a_run(seed=seed) for seed in range(20)))
    close(daemon.database)
    request = daemon.tick(at=NOW)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[STRATEGIES] == '["trend"]'
    daemon.refresh(request)
    assert "nothing is pending" in str(daemon.tick())


def test_an_open_campaign_waits_until_it_is_quiet_and_the_reason_says_so(daemon: Daemon) -> None:
    hand_in(daemon.database, a_run())
    assert "1 pending run waits for more of trend; due in 50 s" in str(daemon.tick(at=NOW + timedelta(seconds=10)))
    assert isinstance(daemon.tick(at=NOW + timedelta(seconds=60)), dg.RunRequest)


def test_a_run_whose_transaction_commits_late_is_not_lost(daemon: Daemon) -> None:
    """A cursor on an id or a time would be past it; the question "what is not absorbed" is not."""
    early, late = a_run(seed=1), a_run(seed=2)
    # Strategy and campaign are there already, so that the two writers share no lock.
    hand_in(daemon.database, a_run(seed=3))
    daemon.refresh(daemon.tick())
    with daemon.database.begin() as slow:
        ingest(slow, InspectedBatch(runs=(judge(late),)), actor="Ann", now=NOW)
        hand_in(daemon.database, early, at=NOW + timedelta(minutes=1))
        daemon.refresh(daemon.tick())
        assert "nothing is pending" in str(daemon.tick())
    request = daemon.tick()
    assert isinstance(request, dg.RunRequest)
    daemon.refresh(request)
    assert "nothing is pending" in str(daemon.tick())


def test_the_same_runs_are_tried_five_times_and_then_given_up_aloud(daemon: Daemon) -> None:
    hand_in(daemon.database, a_run())
    close(daemon.database)
    for _ in range(MAX_ATTEMPTS):
        assert isinstance(daemon.tick(), dg.RunRequest)
    assert "gave up on trend after 5 refreshes" in str(daemon.tick())
    hand_in(daemon.database, a_run(seed=9))
    close(daemon.database)
    assert isinstance(daemon.tick(), dg.RunRequest)


def test_a_reset_cursor_starts_over_with_keys_that_dagster_has_not_seen(daemon: Daemon) -> None:
    hand_in(daemon.database, a_run())
    close(daemon.database)
    for _ in range(MAX_ATTEMPTS):
        daemon.tick()
    daemon.cursor = None
    assert isinstance(daemon.tick(at=NOW + timedelta(hours=2)), dg.RunRequest)


def test_a_refresh_that_died_before_it_proposed_is_made_up_for(daemon: Daemon) -> None:
    hand_in(daemon.database, a_run())
    close(daemon.database)
    daemon.refresh(daemon.tick())
    with daemon.database.begin() as connection:
        aggregates.refresh(connection, "trend", now=datetime.now(NOW.tzinfo) + timedelta(hours=1))
    request = daemon.tick()
    assert isinstance(request, dg.RunRequest)
    assert request.tags[STRATEGIES] == '["trend"]'


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED])
def test_a_refresh_in_flight_is_waited_for(status: DagsterRunStatus, daemon: Daemon) -> None:
    hand_in(daemon.database, a_run())
    close(daemon.database)
    job = build_definitions({"database": resource_of(daemon.database)}).resolve_job_def(NIGHTLY)
    run = daemon.instance.create_run_for_job(job, status=status)
    now = datetime.now(NOW.tzinfo)
    words = status.value.lower().replace("_", " ")
    assert daemon.tick(at=now) == f"1 pending run waits for run {run.run_id[:8]}, which is {words}"
    assert refresh_in_flight(daemon.instance, now=now + STUCK_AFTER) is None, "a dead process must not block for ever"


def test_a_run_of_another_job_or_one_that_ended_is_not_waited_for(daemon: Daemon) -> None:
    definitions = build_definitions({"database": resource_of(daemon.database)})
    daemon.instance.create_run_for_job(definitions.resolve_job_def("prune_runs"), status=DagsterRunStatus.STARTED)
    daemon.instance.create_run_for_job(definitions.resolve_job_def(NIGHTLY), status=DagsterRunStatus.FAILURE)
    assert refresh_in_flight(daemon.instance, now=datetime.now(NOW.tzinfo)) is None


@pytest.mark.parametrize("cursor", ["nonsense", "[]", '{"epoch": 1}', '{"epoch": "e", "tried": 3, "mark": 4}'])
def test_a_cursor_that_somebody_edited_starts_over(cursor: str, daemon: Daemon) -> None:
    daemon.cursor = cursor
    assert "nothing is pending" in str(daemon.tick())
    assert "nothing is pending" in str(daemon.tick())
