"""Checkpoints in the database, for workers that share no disk.

A worker whose evaluation took minutes waits for a database that is away (`search_outage`), rather than lose it.
"""

import hashlib
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, Row, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.hyperband.checkpoints import EvaluationRecord
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema_search import search_checkpoints
from meta_pipeline.store.search_outage import outlived

NOT_AWAITED: Final = text("SET LOCAL synchronous_commit = off")
"""The commit does not wait for the disk. A crash of the server loses at most the last ones; order is kept, so whatever
is awaited later takes these along. For what nobody misses, and for nothing else: a coordinator that outlives the server
takes for written what it wrote."""


class DatabaseCheckpoints:
    """Records of one search as rows; a `hyperband.checkpoints.CheckpointStore`.

    Parameters
    ----------
    database
        Opened, for as long as this is used.
    search_name
        Whose.
    """

    def __init__(self, database: Database, search_name: str) -> None:
        self.database = database
        self.search_name = search_name

    def save(self, record: EvaluationRecord) -> str:
        """Insert the record, in a transaction of its own; one that is there already stays as it is."""
        content = record.to_bytes()
        name = hashlib.sha256(content).hexdigest()
        values = {**self._key(record.slot), "resource": record.r, "digest": name, "content": content}
        row = insert(search_checkpoints).values(values)
        place = ["search_name", "iteration", "bracket", "number", "resource"]
        # A damaged one, and only such a one, has another digest: evaluations are deterministic.
        written = row.on_conflict_do_update(index_elements=place, set_={"digest": name, "content": content})
        outlived(partial(self._write, written))
        return name

    def find(self, slot: Slot, r: int) -> tuple[str, EvaluationRecord] | None:
        """Read the row whose content has its digest."""
        table = search_checkpoints.c
        query = select(table.digest, table.content).where(*self._where(slot), table.resource == r)
        row = outlived(partial(self._read, query))
        if row is None or hashlib.sha256(row.content).hexdigest() != row.digest:
            return None
        return row.digest, EvaluationRecord.from_bytes(bytes(row.content))

    def discard(self, slot: Slot, below: int) -> None:
        """Delete a configuration's rows of less than `below` units; one that a crash brings back does no harm."""
        dropped = delete(search_checkpoints).where(*self._where(slot), search_checkpoints.c.resource < below)
        outlived(partial(self._write, NOT_AWAITED, dropped))

    def _write(self, *statements: Executable) -> None:
        with self.database.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def _read(self, query: Executable) -> "Row[Any] | None":
        with self.database.connect() as connection:
            return connection.execute(query).one_or_none()

    def _key(self, slot: Slot) -> dict[str, str | int]:
        return {
            "search_name": self.search_name,
            "iteration": slot.iteration,
            "bracket": slot.bracket,
            "number": slot.number,
        }

    def _where(self, slot: Slot) -> list[ColumnElement[bool]]:
        return [search_checkpoints.c[name] == value for name, value in self._key(slot).items()]
