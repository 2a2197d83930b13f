"""Searches in the database: the ledger in its own schema, checkpoints as rows, and the results that others read."""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from meta_pipeline.errors import Conflict, NotFound
from meta_pipeline.hyperband.checkpoints import EvaluationRecord
from meta_pipeline.hyperband.executors import InProcess
from meta_pipeline.hyperband.holdout import Opening
from meta_pipeline.hyperband.ledger import create_or_open, ledger_digest, open_existing
from meta_pipeline.hyperband.results import result_of
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.trial_writer import TrialEnd, TrialReport
from meta_pipeline.store import migrations, search
from meta_pipeline.store.database import Database
from meta_pipeline.store.search_checkpoints import DatabaseCheckpoints
from meta_pipeline.store.search_ledgers import checkpoints_in, database_coordinator, database_place
from meta_pipeline.store.search_storage import LedgerStorage
from meta_pipeline.store.search_verdict import open_once
from meta_pipeline_tests.hyperband import toy

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_search_on_postgresql_is_the_same_search_and_its_tables_disturb_nobody(
    database: Database, tmp_path: Path
) -> None:
    place = database_place(database, checkpoints_in(tmp_path / "database"))
    settings = toy.search_settings()
    ledger = create_or_open(place.storage, settings)
    entries = Search(ledger, place.checkpoints, worker="test", clock=time.time).run(InProcess())
    assert ledger_digest(entries) == toy.slow_search(str(tmp_path / "folder"), 0, {})
    assert ledger_digest(open_existing(place.storage, "toy").entries()) == ledger_digest(entries)
    with database.connect() as connection:
        assert migrations.status(connection).state is migrations.SchemaState.CURRENT
        apart = text("SELECT count(*) FROM optuna.trials UNION ALL SELECT count(*) FROM optuna.alembic_version")
        assert connection.execute(apart).scalars().all() == [len(entries), 1]

    result = result_of(settings, entries)
    with database.begin() as connection:
        stored = search.record(connection, result, place="here", now=NOW)
        assert search.record(connection, result, place="here", now=NOW) == stored  # again is the same
    with database.connect() as connection:
        top, history = search.top(connection, "toy"), search.history(connection, "toy")
        assert (stored.status, stored.digest) == ("finished", result.digest)
        assert [found.search_name for found in search.list_searches(connection)] == ["toy"]
        with pytest.raises(NotFound, match="no search 'tyo'"):
            search.get(connection, "tyo")
    assert [row["rank"] for row in top] == list(range(1, settings.hyperband.reaching_the_top + 1))
    assert top[0]["config"] == dict(result.top[0].entry.config)  # numbers come back as the numbers they were
    assert len(history) == 22
    assert {row["error"] for row in history} == {None}


def test_what_is_written_at_once_is_what_optuna_would_have_written_and_stays_when_written_again(
    database: Database, tmp_path: Path
) -> None:
    fails = {"fails": "sqrt"}  # so that some trials fail, with a value of minus infinity
    place = database_place(database, checkpoints_in(tmp_path / "ours"))
    ours = toy.search_settings(resource=3, name="ours", toy=fails)
    search_ = Search(create_or_open(place.storage, ours), place.checkpoints, worker="test", clock=lambda: 0.0)
    search_.run(InProcess())
    assert isinstance(place.storage, LedgerStorage)
    plain = RDBStorage(place.storage.url, engine_kwargs=place.storage.engine_kwargs, skip_table_creation=True)
    optunas = create_or_open(plain, toy.search_settings(resource=3, name="optuna's", toy=fails))
    Search(optunas, checkpoints_in(tmp_path / "optuna"), worker="test", clock=lambda: 0.0).run(InProcess())

    def rows(study: Any) -> list[Any]:
        timeless = [_without_cpu_seconds(trial.user_attrs) for trial in study.trials]
        return [
            (trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.system_attrs,
             trial.intermediate_values, trial.constraints, attributes, trial.datetime_complete > trial.datetime_start)
            for trial, attributes in zip(study.trials, timeless, strict=True)
        ]  # fmt: skip

    study = search_.ledger.study
    assert rows(study) == rows(optunas.study)
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED", "FAIL"}
    assert study.best_trial.value == optunas.study.best_trial.value

    before = rows(study)
    ended = study.trials[0]
    place.storage.write_report(ended._trial_id, TrialReport(step=1, value=9.0, name="rung:1", attribute={}))
    end = TrialEnd(trial_id=ended._trial_id, trial_number=0, state="FAIL", value=9.0, constraints={"late": 1.0})
    place.storage.write_ends([end])
    assert rows(open_existing(place.storage, "ours").study) == before  # two workers may report the same, one too late


def _without_cpu_seconds(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: item for key, item in value.items() if key != "cpu_seconds"} if name.startswith("rung:") else value
        for name, value in attributes.items()
    }


def test_only_one_process_coordinates_a_search_in_the_database(database: Database) -> None:
    with (
        database_coordinator(database, "toy"),
        database_coordinator(database, "another"),
        pytest.raises(Conflict, match="another process runs the search 'toy'"),
        database_coordinator(database, "toy"),
    ):
        raise AssertionError("unreachable")
    with database_coordinator(database, "toy"):
        pass


def test_a_holdout_is_opened_once_per_as_of_date_and_earlier_looks_are_counted(database: Database) -> None:
    def look(config: str, as_of: date, scope: str = "four forests: SP500") -> int:
        wanted = Opening(scope=scope, as_of=as_of, first_day=date(2026, 1, 1), last_day=as_of, config=config * 64)
        with database.begin() as connection:
            return open_once(connection, wanted, search_name="weekly", actor="ann", now=NOW)

    november, december = date(2026, 11, 20), date(2026, 12, 20)
    assert look("a", november) == 0
    assert look("a", november) == 0  # the same again is no new look
    with pytest.raises(Conflict, match="opened once per as-of date"):
        look("b", november)
    assert look("b", december) == 1  # somebody saw most of these days
    assert look("b", november, scope="four forests: WTI") == 0
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM holdout_openings")).scalar_one() == 3
    with pytest.raises(DBAPIError, match="holdout_openings"), database.begin() as connection:
        connection.execute(text("DELETE FROM holdout_openings"))


def test_checkpoints_in_the_database_survive_and_a_damaged_one_is_not_taken(database: Database) -> None:
    kept, slot = DatabaseCheckpoints(database, "toy"), Slot(0, 2, 1)
    done = toy.Toy({}).evaluate({"x": 0.5, "rate": 0.1, "depth": 5, "features": 0.5}, 0, 3, None)
    record = EvaluationRecord.of_evaluation(slot, 3, done)
    name = kept.save(record)
    assert kept.save(record) == name
    found = kept.find(slot, 3)
    assert found is not None
    assert found[1].to_bytes() == record.to_bytes()
    assert DatabaseCheckpoints(database, "other").find(slot, 3) is None
    with database.begin() as connection:
        connection.execute(text("UPDATE search_checkpoints SET content = content || 'x'::bytea"))
    assert kept.find(slot, 3) is None
    kept.save(record)
    kept.discard(slot, below=3)
    assert kept.find(slot, 3) is not None
    kept.discard(slot, below=9)
    assert kept.find(slot, 3) is None
