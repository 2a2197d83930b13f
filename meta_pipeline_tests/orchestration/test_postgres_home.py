"""Dagster's own runs and events in PostgreSQL, as dagster_home/postgres/dagster.yaml configures them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.orchestration.forwarded_user import ForwardedUserRunCoordinator
from meta_pipeline.store import embedded
from meta_pipeline.store.database import engine_of
from meta_pipeline_tests.orchestration.dagster_dev import free_port

CONFIGURATION = Path(__file__).parents[2] / "dagster_home" / "postgres" / "dagster.yaml"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real PostgreSQL that listens on a port, with a user whose password needs quoting."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-dagster-"))
    port = str(free_port())
    settings = {"listen_addresses": "127.0.0.1", "port": port, "fsync": "off"}
    server = embedded.use_server(folder, server_settings=settings)
    try:
        engine = engine_of(server.address("postgres")).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE USER dagster PASSWORD 'p@:/w'"))
            connection.execute(text("CREATE DATABASE dagster OWNER dagster"))
        engine.dispose()
        given = {"HOST": "127.0.0.1", "PORT": port, "DB": "dagster", "USER": "dagster", "PASSWORD": "p@:/w"}
        for name, value in given.items():
            monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
        yield
    finally:
        server.release()
        shutil.rmtree(folder, ignore_errors=True)


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def chore() -> None:
    nothing()


@pytest.mark.database
def test_a_run_is_kept_in_postgresql_and_read_back(environment: None, tmp_path: Path) -> None:
    shutil.copy(CONFIGURATION, tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, ForwardedUserRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        result = chore.execute_in_process(instance=instance)
    with dg.DagsterInstance.from_config(str(tmp_path)) as again:
        run = again.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert len(again.all_logs(result.run_id)) > 3
