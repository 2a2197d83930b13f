"""A search as a Dagster job, in one process and in several. On Celery it runs in test_separate_processes.py."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest, open_existing
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.orchestration import search_batches
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.store import search as kept
from meta_pipeline.store.database import Database
from meta_pipeline.store.search_ledgers import database_place
from meta_pipeline_tests.hyperband import toy
from meta_pipeline_tests.hyperband.test_search import begin, done
from meta_pipeline_tests.orchestration import search_jobs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.database

# One wave in two processes of Dagster; prints the steps. A process of its own, because the server from which Python
# forks such processes is kept for good, with the environment of whichever test needed it first.
FIRST_WAVE = """
import os, sys
import dagster as dg
from meta_pipeline_tests.hyperband import toy
from meta_pipeline_tests.orchestration import search_jobs
from meta_pipeline_tests.orchestration.test_search_job import run_config
ready = ["dagster._core.executor.multiprocess", "dagster._core.storage.event_log.sqlite.sqlite_event_log"]
ready += ["meta_pipeline.orchestration.search_batches", "meta_pipeline.store.search_storage"]
ready += [search_jobs.__name__, toy.__name__]
two = {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": ready}}}
with dg.DagsterInstance.local_temp(os.environ["DAGSTER_HOME"]) as instance:
    done = dg.execute_job(
        dg.reconstructable(search_jobs.first_wave),
        instance=instance,
        run_config=run_config(sys.argv[1], multiprocess=two),
    )
print(*(event.step_key for event in done.all_events))
sys.exit(not done.success)
"""


@pytest.fixture
def home(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What a worker's environment says: the database, and Dagster's home."""
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return tmp_path


def begun(database: Database, name: str, **options: Any) -> SearchSettings:
    settings = toy.search_settings(resource=3, name=name, **options)
    create_or_open(database_place(database, checkpoints_of(name, database)).storage, settings)
    return settings


def found(database: Database, name: str) -> tuple[str | None, str]:
    """Return the digest that the run wrote, and that of the ledger."""
    with database.connect() as connection:
        stored = kept.get(connection, name)
    place = database_place(database, checkpoints_of(name, database))
    return stored.digest, ledger_digest(open_existing(place.storage, name).entries())


def run_config(name: str, **execution: Any) -> dict[str, Any]:
    resources = {"search_of_run": {"config": {"search": name}}}
    return {"resources": resources} | ({"execution": {"config": execution}} if execution else {})


def test_in_one_process_the_job_finds_what_the_search_finds_and_again_it_does_nothing(
    database: Database, home: Path, tmp_path: Path
) -> None:
    begun(database, "toy one")
    straight = ledger_digest(done(tmp_path, resource=3))
    first = search_jobs.small().execute_in_process(run_config=run_config("toy one"))
    assert first.success
    assert found(database, "toy one") == (straight, straight)
    again = search_jobs.small().execute_in_process(run_config=run_config("toy one"))
    assert again.success  # without a batch, every wave goes by
    assert not [event for event in again.all_events if (event.step_key or "").startswith("evaluate")]


@pytest.mark.slow
def test_a_process_of_dagster_that_is_killed_costs_one_evaluation_and_another_executor_goes_on(
    database: Database, home: Path, tmp_path: Path
) -> None:
    died, log = tmp_path / "died", tmp_path / "log"
    settings = begun(database, "toy two", toy={"dies": str(died), "log": str(log)})
    started = subprocess.run(
        [sys.executable, "-c", FIRST_WAVE, "toy two"], capture_output=True, text=True, check=False, timeout=240
    )
    assert started.returncode == 0, started.stderr
    assert died.exists()
    assert {"evaluate_1[b0]", "evaluate_1[b1]"} <= set(started.stdout.split())
    rung = settings.hyperband.brackets[0].rungs[0]
    assert len(log.read_text().splitlines()) == rung.configurations + 1
    assert search_jobs.small().execute_in_process(run_config=run_config("toy two")).success
    straight = ledger_digest(done(tmp_path / "straight", resource=3))
    assert found(database, "toy two") == (straight, straight)
    assert len(log.read_text().splitlines()) == settings.hyperband.evaluations + 1


def test_batches_are_long_enough_to_be_worth_an_operation_and_together_are_all_there_is(tmp_path: Path) -> None:
    search = begin(tmp_path, toy.search_settings(resource=27))
    jobs = search.ready()
    share = search_batches.share_out
    assert len(share(jobs, search.entries, batch_seconds=30, workers=2)) == 2  # nothing to measure by yet
    measured = {Slot(9, 0, 0): _cost(search.entries[jobs[0].slot], seconds=10.0)}
    assert len(jobs) == 27
    batches = share(jobs, measured, batch_seconds=30, workers=2)
    assert [len(batch) for batch in batches] == [3] * 9
    assert sorted(job.slot for batch in batches for job in batch) == sorted(job.slot for job in jobs)
    assert len(share(jobs, measured, batch_seconds=1e6, workers=2)) == 1
    assert share([], measured, batch_seconds=30, workers=2) == []


def _cost(entry: Any, *, seconds: float) -> Any:
    from dataclasses import replace

    from meta_pipeline.hyperband.ledger import RungValue

    return replace(entry, rungs={1: RungValue(value=0.0, cpu_seconds=seconds)})
