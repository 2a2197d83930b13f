"""Searches, kept: what each found, as rows that others read.

Belongs here: writing a search's result, and reading searches, `top_configs` and `optimization_history`. The ledger that
a search runs on is not here (search_ledgers): these rows are read off it, and can be written again from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.errors import NotFound
from meta_pipeline.hyperband.results import SearchResult, number
from meta_pipeline.store.schema_search import optimization_history, search_checkpoints, searches, top_configs


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """One search, as the database knows it. `summary` is the result's JSON without the lists."""

    search_name: str
    status: str
    place: str
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    verdict: Mapping[str, Any] | None
    digest: str | None
    started_at: datetime
    updated_at: datetime


def record(connection: Connection, result: SearchResult, *, place: str, now: datetime) -> StoredSearch:
    """Write what a search has found so far, in place of what was written of it before.

    Parameters
    ----------
    place
        Where its ledger is, for people.
    """
    name = result.settings.name
    brief = result.to_json()
    apart = {"top_configs", "settings", "search", "digest"}
    values = {
        "status": "finished" if result.is_finished else "running",
        "place": place,
        "settings": result.settings.to_json(),
        "summary": {key: value for key, value in brief.items() if key not in apart},
        "digest": result.digest if result.is_finished else None,
        "updated_at": now,
    }
    row = insert(searches).values(search_name=name, started_at=now, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["search_name"], set_=values))
    _replace_lists(connection, name, result)
    return get(connection, name)


def _replace_lists(connection: Connection, name: str, result: SearchResult) -> None:
    connection.execute(delete(top_configs).where(top_configs.c.search_name == name))
    connection.execute(delete(optimization_history).where(optimization_history.c.search_name == name))
    top: list[dict[str, Any]] = [
        {
            "search_name": name,
            "rank": found.rank,
            "slot": str(found.entry.slot),
            "config": dict(found.entry.config),
            "value": found.result.value,
            "feasible": found.is_feasible,
            "metrics": dict(found.result.metrics),
            "constraints": {key: number(figure) for key, figure in found.result.constraints.items()},
        }
        for found in result.top
        if number(found.result.value) is not None
    ]
    columns = {column.name for column in optimization_history.columns} - {"search_name"}
    history = [
        {"search_name": name, **{key: value for key, value in row.items() if key in columns}}
        for row in result.history()
    ]
    if top:
        connection.execute(insert(top_configs), top)
    if history:
        connection.execute(insert(optimization_history), history)


def get(connection: Connection, name: str) -> StoredSearch:
    """Return a search.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    row = connection.execute(select(searches).where(searches.c.search_name == name)).one_or_none()
    if row is None:
        raise NotFound(f"the database has no search {name!r}; `meta-pipeline search status` lists those that there are")
    return _stored(row)


def list_searches(connection: Connection) -> list[StoredSearch]:
    """List the searches, the newest first."""
    rows = connection.execute(select(searches).order_by(searches.c.updated_at.desc(), searches.c.search_name))
    return [_stored(row) for row in rows]


def top(connection: Connection, name: str, *, limit: int = 10) -> list[dict[str, Any]]:
    """Return the best configurations of a search, as the rows of `top_configs`."""
    query = select(top_configs).where(top_configs.c.search_name == name).order_by(top_configs.c.rank).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]


def history(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return every evaluation of a search, as the rows of `optimization_history`."""
    table = optimization_history.c
    place = (table.iteration, table.bracket.desc(), table.number, table.resource)
    query = select(optimization_history).where(table.search_name == name).order_by(*place)
    return [dict(row._mapping) for row in connection.execute(query)]


def forget_checkpoints(connection: Connection, name: str) -> int:
    """Delete the checkpoints of a search that needs them no more; return how many there were."""
    gone = delete(search_checkpoints).where(search_checkpoints.c.search_name == name)
    return connection.execute(gone).rowcount


def _stored(row: Row[Any]) -> StoredSearch:
    return StoredSearch(**row._mapping)
