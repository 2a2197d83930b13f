"""The list of what Dagster sees: what runs by itself, what never does, and that loading it does nothing."""

import itertools
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.definitions import build_definitions
from meta_pipeline.errors import InputError
from meta_pipeline.orchestration.refreshing import REFRESH, SHARD, Shard
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.orchestration.schedules import nightly_at_two
from meta_pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
REPOSITORY = build_definitions().get_repository_def()


def test_the_assets_form_one_line_from_backtests_to_what_is_live() -> None:
    graph = REPOSITORY.asset_graph
    names = ["backtest_aggregates", "diagnostics_report", "proposals", "approvals", "live_config"]
    for before, after in itertools.pairwise(names):
        assert graph.get(dg.AssetKey(after)).parent_keys == {dg.AssetKey(before)}
    assert graph.get(dg.AssetKey("msc_policy")).parent_keys == {dg.AssetKey("live_config")}
    judged = graph.get(dg.AssetKey("change_outcomes")).parent_keys
    assert judged == {dg.AssetKey("proposals"), dg.AssetKey("live_config")}
    assert graph.get(dg.AssetKey("hyperband_results")).parent_keys == {dg.AssetKey("live_config")}
    beside = {"hyperband_results", "change_outcomes", "prediction_logs", "meta_model", "msc_policy"}
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {*names, *beside}
    assert {key.to_user_string() for key in graph.external_asset_keys} == {
        "approvals",
        "live_config",
        "prediction_logs",
    }


def test_what_only_computes_runs_by_itself_and_what_acts_or_deletes_does_not() -> None:
    sensors = {sensor.name: sensor.default_status.value for sensor in REPOSITORY.sensor_defs}
    assert sensors == {
        "new_backtests": "RUNNING",
        "closed_trades": "RUNNING",
        "exchangeability_alarm": "RUNNING",
        "failed_runs": "RUNNING",
        "failed_checks": "RUNNING",
        "waiting_approvals": "RUNNING",
        "stale_assets": "RUNNING",
    }
    schedules = {schedule.name: schedule.default_status.value for schedule in REPOSITORY.schedule_defs}
    assert schedules == {
        "nightly_at_two": "RUNNING",
        "anchor_nightly": "RUNNING",
        "policy_every_half_hour": "RUNNING",
        "retrain_weekly": "RUNNING",
        "search_weekly": "RUNNING",
        "prune_runs_weekly": "STOPPED",
        "automation_hourly": "STOPPED",
    }
    started = {schedule.job_name for schedule in REPOSITORY.schedule_defs}
    started |= {target.job_name for sensor in REPOSITORY.sensor_defs for target in sensor.targets}
    assert started == {
        *("nightly", "policy", "retrain_meta_model", "weekly_search", "prune_runs", "automatic_application"),
        "anchor_audit",
    }


def test_the_night_starts_at_two_utc() -> None:
    nightly = REPOSITORY.get_schedule_def("nightly_at_two")
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("0 2 * * *", "UTC")


def test_every_asset_says_what_it_is_who_answers_for_it_and_how_old_it_may_get() -> None:
    graph = REPOSITORY.asset_graph
    for key in graph.get_all_asset_keys():
        asset = graph.get(key)
        assert asset.description, key
        assert asset.owners, key
        assert asset.kinds, key
        assert asset.group_name == "loop", key
        # What people decide is never late.
        assert (asset.freshness_policy is not None) == asset.is_materializable, key


def test_the_documents_name_every_asset_job_sensor_schedule_and_check_and_what_to_do_when_one_fails() -> None:
    graph = REPOSITORY.asset_graph
    checks = {key.name for key in graph.asset_check_keys}
    named = checks | {key.to_user_string() for key in graph.get_all_asset_keys()}
    named |= {job.name for job in REPOSITORY.get_all_jobs() if not job.name.startswith("__")}
    named |= {sensor.name for sensor in REPOSITORY.sensor_defs} | {each.name for each in REPOSITORY.schedule_defs}
    described = (ROOT / "docs/dagster.md").read_text(encoding="utf-8")
    assert {name for name in named if f"`{name}`" not in described} == set()
    mended = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert {name for name in checks if f"`{name}`" not in mended} == set()


@pytest.mark.parametrize("shards", [1, 3])
def test_the_night_starts_as_many_runs_as_it_has_shards(shards: int) -> None:
    values: dict[str, Any] = {"_env_file": None, "nightly_shards": shards}
    resource = DatabaseResource(settings=lambda: Settings(**values))
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 21, 2, tzinfo=UTC), resources={"database": resource}
    )
    started = nightly_at_two(context)
    assert isinstance(started, list)
    assert len({request.run_key for request in started}) == shards
    parts = [request.tags.get(SHARD) for request in started]
    assert parts == ([None] if shards == 1 else ["1/3", "2/3", "3/3"])
    # Each its own turn: they run side by side.
    assert len({request.tags.get(REFRESH) for request in started}) == shards


@given(names=st.sets(st.text(min_size=1, max_size=12), max_size=30), of=st.integers(1, 9))
def test_the_shards_of_a_night_have_each_strategy_exactly_once(names: set[str], of: int) -> None:
    shards = [Shard(number=number, of=of) for number in range(1, of + 1)]
    assert all(sum(name in shard for shard in shards) == 1 for name in names)
    assert [Shard.parse(str(shard)) for shard in shards] == shards


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "1", "a/b", "", "1/2/3", "-1/2", "1/9999"])
def test_a_shard_that_there_is_not_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="write i/n"):
        Shard.parse(text)


def test_materialising_everything_approves_nothing() -> None:
    job = REPOSITORY.get_job("nightly")
    assert {node.name for node in job.nodes if "check" not in node.name} >= {"backtest_aggregates", "proposals"}
    assert not {"decide", "apply", "revert"} & {node.name for node in job.nodes}


@pytest.mark.parametrize("job", ["approve_proposals", "apply_approved", "revert_change"])
def test_jobs_in_which_a_person_acts_need_a_form_and_are_never_retried(job: str) -> None:
    definition = REPOSITORY.get_job(job)
    assert definition.tags["dagster/max_retries"] == "0"
    with pytest.raises(dg.DagsterInvalidConfigError, match="Missing required config entr"):
        dg.validate_run_config(definition, {})


def test_loading_connects_to_nothing_and_needs_no_setting(tmp_path: Path) -> None:
    """An address that nobody answers, a home that cannot be made, and a socket that may not be opened."""
    code = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event == 'socket.connect': raise RuntimeError(f'connected to {arguments}')\n"
        "sys.addaudithook(watch)\n"
        "from meta_pipeline.definitions import defs\n"
        "print(len(defs.get_repository_def().get_all_jobs()))\n"
    )
    environment = {
        **os.environ,
        "META_PIPELINE_DATABASE_URL": "postgresql://nobody:secret@192.0.2.1:1/none",
        "META_PIPELINE_HOME": "/proc/none",
    }
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "12"


def test_the_resource_shows_no_password() -> None:
    secret = Settings(_env_file=None, database_url="postgresql://u:hunter2@h/d")  # type: ignore[call-arg, arg-type]
    resource = DatabaseResource(settings=lambda: secret)
    assert "hunter2" not in repr(resource) + repr(resource.settings) + str(vars(resource))


@pytest.mark.parametrize("home", ["dagster_home", "dagster_home/postgres"])
def test_the_homes_are_understood_by_dagster_and_send_nothing_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._core.instance.ref import InstanceRef

    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", "1")
    reference = InstanceRef.from_dir(str(ROOT / home))
    assert reference.settings["telemetry"] == {"enabled": False}
    assert reference.settings["nux"] == {"enabled": False}
    turns = [{"key": "meta_pipeline/refresh", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}]
    assert reference.settings["concurrency"] == {"runs": {"max_concurrent_runs": 4, "tag_concurrency_limits": turns}}
    assert reference.run_coordinator is not None


def test_dagsters_own_tables_are_reached_through_psycopg2() -> None:
    """SQLAlchemy 2.1 would read `postgresql` as psycopg 3, which dagster-postgres does not speak."""
    home = yaml.safe_load((ROOT / "dagster_home/postgres/dagster.yaml").read_text())
    assert home["storage"]["custom"]["config"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_the_code_location_is_called_as_the_links_expect() -> None:
    from meta_pipeline.orchestration.evidence_state import DEFAULT_LOCATION

    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": DEFAULT_LOCATION}]}


def test_on_celery_everything_is_as_everywhere_but_for_the_nights_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_PIPELINE_CELERY_BROKER", raising=False)
    from meta_pipeline.definitions_celery import defs

    spread = defs.get_repository_def()
    assert {job.name for job in spread.get_all_jobs()} == {job.name for job in REPOSITORY.get_all_jobs()}
    assert spread.get_job("nightly").executor_def.name == "celery_over_redis"
    assert REPOSITORY.get_job("nightly").executor_def.name == "in_process"
    assert {sensor.name for sensor in spread.sensor_defs} == {sensor.name for sensor in REPOSITORY.sensor_defs}
