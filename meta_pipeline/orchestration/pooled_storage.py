"""Dagster's tables in PostgreSQL through one bounded pool per process. Named in `dagster_home/postgres/dagster.yaml`.

Dagster's own storage opens a connection for every statement, and in the webserver three pools that may grow to 63
connections. A server that is shared with the loop then runs out of connections on a busy morning, or spends its time
on handshakes. Here a process has one pool for all three storages, whatever opens them, and never more than its size.

Belongs here: the pool. All else is Dagster's.
"""

import os
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from dagster import Field, IntSource
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import Engine, event

CONNECTIONS: Final = 8
"""Of a process, at most. It keeps two; the others are closed when they come back."""

KEPT: Final = 2
WAIT_SECONDS: Final = 30
RECYCLE_SECONDS: Final = 600

_MAKING: Final = Lock()


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage on PostgreSQL, all three parts of it on one pool.

    The options are those of `storage: postgres`, and `connections`: how many a process may hold at once.
    """

    def __init__(
        self,
        postgres_url: str,
        *,
        connections: int = CONNECTIONS,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        if connections < KEPT:
            raise ValueError(f"connections is {connections}; a process needs at least {KEPT}")
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        pool = _pool(postgres_url, connections, token_provider)
        parts: tuple[Any, ...] = (self._run_storage, self._event_log_storage, self._schedule_storage)
        for part in parts:
            part._engine = pool.engine
            # The webserver would make a pool of its own for each; of what it asks for, the time limit remains.
            part.optimize_for_webserver = pool.limit

    @classmethod
    def config_type(cls) -> Any:
        """Return the options that `dagster.yaml` may give."""
        inherited: Any = DagsterPostgresStorage.config_type()
        return {**inherited, "connections": Field(IntSource, is_required=False, default_value=CONNECTIONS)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresStorage":
        """Make it from `dagster.yaml`."""
        given: Any = config_value
        return cls(
            pg_url_from_config(given),
            connections=given.get("connections", CONNECTIONS),
            should_autocreate_tables=given.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(given),
        )


class _Pool:
    """One process's connections, and the longest that a statement may take on them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._millis: int | None = None
        event.listen(engine, "connect", self._on_connect)

    def limit(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:  # noqa: ARG002
        """End statements of the webserver that take longer than it waits for."""
        self._millis = statement_timeout
        # Connections that are open already have no limit.
        self.engine.dispose()

    def _on_connect(self, connection: Any, _: Any) -> None:
        if self._millis is not None:
            set_pg_statement_timeout(connection, self._millis)


def _pool(url: str, connections: int, token_provider: Any) -> _Pool:
    """Return this process's pool: a forked child must not share its parent's connections."""
    key = (os.getpid(), url)
    with _MAKING:
        if key not in _POOLS:
            engine = create_pg_engine(
                url,
                token_provider,
                isolation_level="AUTOCOMMIT",
                pool_size=KEPT,
                max_overflow=connections - KEPT,
                pool_timeout=WAIT_SECONDS,
                pool_recycle=RECYCLE_SECONDS,
                # A server that was restarted costs a handshake, not a run.
                pool_pre_ping=True,
            )
            _POOLS[key] = _Pool(engine)
        return _POOLS[key]


_POOLS: Final[dict[tuple[int, str], _Pool]] = {}
