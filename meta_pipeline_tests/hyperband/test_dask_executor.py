"""A search on a real Dask cluster of two processes, one of which is killed in the middle."""

import time
from pathlib import Path

import optuna
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.dask_executor import DaskExecutor
from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest
from meta_pipeline.hyperband.search import Search
from meta_pipeline.store.search_ledgers import checkpoints_in
from meta_pipeline_tests.hyperband import toy


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_costs_nothing_and_the_result_is_the_same(tmp_path: Path) -> None:
    straight = toy.slow_search(str(tmp_path / "straight"), 0, {})
    died = tmp_path / "died"
    ledger = create_or_open(optuna.storages.InMemoryStorage(), toy.search_settings(toy={"dies": str(died)}))
    search = Search(ledger, checkpoints_in(tmp_path / "dask"), worker="test", clock=time.time)
    with DaskExecutor(workers=2) as executor:
        entries = search.run(executor)
    assert died.exists()
    assert ledger_digest(entries) == straight


def test_an_address_without_a_scheduler_is_named() -> None:
    with (
        DaskExecutor("tcp://127.0.0.1:9", patience=0.5) as executor,
        pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9"),
    ):
        list(executor.map_unordered(iter([None])))
