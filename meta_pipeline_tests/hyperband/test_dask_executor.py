"""A search on a real Dask cluster of two processes, one of which is killed; ledger and checkpoints on PostgreSQL."""

import time
from pathlib import Path

import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.dask_executor import DaskExecutor
from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest, open_existing
from meta_pipeline.hyperband.search import Search
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.store.database import Database
from meta_pipeline.store.search_ledgers import database_place
from meta_pipeline_tests.hyperband import toy


@pytest.mark.slow
@pytest.mark.database
def test_a_dask_worker_that_is_killed_costs_one_evaluation_and_the_result_is_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    straight = toy.slow_search(str(tmp_path / "straight"), 0, {})
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
    died, log = tmp_path / "died", tmp_path / "log"
    place = database_place(database, checkpoints_of("toy", database))
    settings = toy.search_settings(toy={"dies": str(died), "log": str(log)})
    search = Search(create_or_open(place.storage, settings), place.checkpoints, worker="test", clock=time.time)
    with place.lock("toy"), DaskExecutor(workers=2) as executor:
        entries = search.run(executor)
    assert died.exists()
    assert ledger_digest(entries) == straight
    assert ledger_digest(open_existing(place.storage, "toy").entries()) == straight
    assert len(log.read_text().splitlines()) == settings.hyperband.evaluations + 1


def test_an_address_without_a_scheduler_is_named() -> None:
    with (
        DaskExecutor("tcp://127.0.0.1:9", patience=0.5) as executor,
        pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9"),
    ):
        list(executor.map_unordered(iter([None])))
