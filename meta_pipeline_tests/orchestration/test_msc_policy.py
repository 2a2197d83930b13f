"""The policy under Dagster: what starts it, that a bad book stops no other, and what a person is shown."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.policy_starts import closed_trades, policy, policy_every_half_hour
from meta_pipeline.orchestration.policy_tags import SCOPES, policy_tags
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import resource_of
from meta_pipeline_tests.store.live_book import NOW, calm_policy, evaluate_at, fill_book

pytestmark = pytest.mark.database


def run(database: Database, home: Path, *, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
    definitions = build_definitions({"database": resource_of(database, home=home, now=NOW)})
    return definitions.resolve_job_def("policy").execute_in_process(tags=tags or {}, raise_on_error=False)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A schedule asks for its instance by reference, which one in memory has not."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def look(database: Database, instance: dg.DagsterInstance, at: datetime, *, scheduled: bool) -> dg.RunRequest | str:
    """Ask the schedule or the sensor; return what it starts, or why it starts nothing."""
    resources = {"database": resource_of(database, now=at)}
    answer: Any
    if scheduled:
        with dg.build_schedule_context(instance=instance, resources=resources) as scheduling:
            answer = policy_every_half_hour(scheduling)
    else:
        with dg.build_sensor_context(instance=instance, resources=resources) as sensing:
            answer = closed_trades(sensing)
    if isinstance(answer, dg.RunRequest):
        return answer
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def test_every_book_gets_its_policy_and_a_person_sees_why(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        fill_book(connection)
        fill_book(connection, scope="paper", strategies=1)
    done = run(database, tmp_path)
    assert done.success
    metadata = done.asset_materializations_for_node("msc_policy")[0].metadata
    assert metadata["books"].value == 2
    assert str(metadata["live"].value).startswith("DEFENSIVE: ")
    assert {"live: why", "live: limits", "live: strategies", "paper: version"} <= metadata.keys()
    assert "data:image/png;base64," in str(metadata["paper: mode over time"].value)
    assert "/pages/policy?scope=paper)" in str(metadata["on the pages"].value)
    assert (tmp_path / "policy" / "live.json").is_file()
    with database.connect() as connection:
        rows = connection.execute(text("SELECT scope, trigger, actor FROM msc_policies ORDER BY scope")).all()
    assert [tuple(row) for row in rows] == [("live", "manual", "meta-pipeline"), ("paper", "manual", "meta-pipeline")]


def test_a_book_that_fails_stops_none_of_the_others_and_fails_the_check(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        fill_book(connection)
        fill_book(connection, scope="paper", strategies=1)
    record = evaluate_at(database, NOW, scope="paper")
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE msc_policies DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE msc_policies SET state = '{}' WHERE id = :id"), {"id": record.id})
    done = run(database, tmp_path)
    (check,) = done.get_asset_check_evaluations()
    assert not check.passed
    assert "paper" in str(check.description)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM msc_policies WHERE scope = 'live'")).scalar_one() == 1


def test_without_a_book_the_asset_says_what_to_do(
    database: Database, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    done = run(database, tmp_path)
    assert done.success
    metadata = done.asset_materializations_for_node("msc_policy")[0].metadata
    assert "meta-pipeline live" in str(metadata["next"].value)
    assert look(database, instance, NOW, scheduled=True) == "there is no live book yet"


def test_the_half_hour_and_the_sensor_start_only_what_is_due(
    database: Database, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    calm_policy(database)
    with database.begin() as connection:
        fill_book(connection, scope="paper", strategies=1)
    first = look(database, instance, NOW + timedelta(minutes=1), scheduled=True)
    assert isinstance(first, dg.RunRequest)
    assert first.tags[SCOPES] == '["paper"]'
    run(database, tmp_path, tags=dict(first.tags))
    with database.connect() as connection:
        scopes = connection.execute(text("SELECT scope FROM msc_policies WHERE trigger = 'schedule'")).scalars().all()
    assert scopes == ["paper"]
    assert "good for" in str(look(database, instance, NOW + timedelta(minutes=2), scheduled=True))
    assert "good for" in str(look(database, instance, NOW + timedelta(minutes=2), scheduled=False))
    both = look(database, instance, NOW + timedelta(minutes=30), scheduled=True)
    assert isinstance(both, dg.RunRequest)
    assert both.tags[SCOPES] == '["live", "paper"]'


def test_one_evaluation_runs_at_a_time(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    resources = {"database": resource_of(database, now=datetime.now(NOW.tzinfo))}
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
        instance.add_run(dg.DagsterRun(job_name=policy.name, run_id=run_id, status=dg.DagsterRunStatus.STARTED))
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            answer = closed_trades(context)
    assert isinstance(answer, dg.SkipReason)
    assert "evaluates already" in str(answer.skip_message)


def test_a_run_is_about_the_books_its_tag_names(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        fill_book(connection)
    assert run(database, tmp_path, tags=policy_tags(["elsewhere"], "schedule")).success
    assert not run(database, tmp_path, tags={SCOPES: "live"}).success
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM msc_policies")).scalar_one() == 0
