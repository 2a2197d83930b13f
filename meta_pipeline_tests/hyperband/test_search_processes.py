"""A search on many processes: the same result whatever their number, and whoever is killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.executors import LocalPool, WorkersDied
from meta_pipeline.store.database import Database
from meta_pipeline_tests.hyperband import toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the search that nothing interrupts, in one process."""
    return toy.slow_search(str(tmp_path_factory.mktemp("straight")), 0, {})


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_finds_the_same_to_the_last_bit(tmp_path: Path, straight: str, workers: int) -> None:
    assert toy.slow_search(str(tmp_path), workers, {}) == straight


@pytest.mark.slow
def test_ten_kills_of_the_whole_process_group_change_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    straight = toy.slow_search(str(tmp_path / "straight"), 0, {}, iterations=2)
    found = torn_search(tmp_path / "torn", kills=10, iterations=2)
    assert found["digest"] == straight
    assert found["repeated"] == 0
    assert found["reported"][-1] == 44
    assert len(set(found["reported"])) >= 6, "the kills came at too few different places to mean anything"
    assert found["begun"] <= 44 + 10 * 2  # each kill costs what the two workers were at


@pytest.mark.slow
@pytest.mark.database
def test_kills_of_the_whole_process_group_change_nothing_on_postgresql_either(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, straight: str
) -> None:
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
    found = torn_search(tmp_path / "torn", kills=2, iterations=1)
    assert (found["digest"], found["repeated"], found["reported"][-1]) == (straight, 0, 22)
    assert found["reported"][-2] < 22, "the search was over before the last kill"
    assert found["begun"] <= 22 + 2 * 2


def torn_search(folder: Path, *, kills: int, iterations: int) -> dict[str, Any]:
    """Kill a search again and again, let the last attempt finish, and return what the program says of it."""
    folder.mkdir()
    command = [sys.executable, "-m", "meta_pipeline_tests.hyperband.kill_fuzz", str(folder), str(kills), "1"]
    ran = subprocess.run(
        [*command, str(iterations)], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_worker_that_dies_costs_one_evaluation_and_its_job_is_done_by_another(tmp_path: Path, straight: str) -> None:
    dies = {"dies": str(tmp_path / "died")}
    assert toy.slow_search(str(tmp_path / "search"), 2, dies) == straight
    assert (tmp_path / "died").exists()


def test_workers_that_die_again_and_again_end_the_search_with_the_job_named(tmp_path: Path) -> None:
    with pytest.raises(WorkersDied, match=r"died 3 times .* they were at 0\.2\.0 at 1 units"):
        toy.slow_search(str(tmp_path), 1, {"dies": "always"})


def test_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="use at least one"):
        LocalPool(0)


def test_workers_end_with_their_coordinator(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "from meta_pipeline_tests.hyperband import toy\n"
        f"toy.slow_search({str(tmp_path)!r}, 2, {{'seconds': 30.0, 'log': {str(log)!r}}})"
    )
    coordinator = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not log.exists() or len(log.read_text().splitlines()) < 2:
        assert time.monotonic() < deadline, "the workers did not begin"
        time.sleep(0.05)
    workers = descendants(coordinator.pid)
    assert len(workers) >= 2
    coordinator.send_signal(signal.SIGKILL)
    coordinator.wait()
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their coordinator"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def is_alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
