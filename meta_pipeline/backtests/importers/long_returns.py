"""A long returns table: one row per run and date.

Read in batches and taken apart at once, so that what is held is one float per return and, where runs share their
dates, one calendar for all of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from meta_pipeline.backtests.defect import shown
from meta_pipeline.backtests.importers.returns import (
    DateReader,
    Floats,
    Returns,
    RunReturns,
    Seconds,
    open_csv,
    parse_numbers,
    plain,
)
from meta_pipeline.backtests.importers.tables import ColumnMap
from meta_pipeline.errors import InputError

ROWS_AT_ONCE: Final = 1 << 20


class _Parts:
    """The pieces of one run, in the order of the table."""

    __slots__ = ("defects", "n_unreadable", "returns", "timestamps")

    def __init__(self) -> None:
        self.timestamps: list[Seconds] = []
        self.returns: list[Floats] = []
        self.defects: list[str] = []
        self.n_unreadable = 0


def read_long(path: Path, columns: ColumnMap) -> Returns:
    """Read a long returns table, sorted by run, by date, or not at all: rows carry their dates, so order says nothing.

    An empty return is NaN: the row says that there should be one.

    Raises
    ------
    InputError
        If the file as a whole cannot be read.
    """
    reader = _LongReader(path)
    names = [columns.fields[name] for name in ("run_id", "date", "return")]
    for batch in _batches(path, names):
        reader.add(*(batch.column(batch.schema.get_field_index(name)) for name in names))
    return Returns(reader.finished())


def _batches(path: Path, names: list[str]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            yield from pq.ParquetFile(path).iter_batches(batch_size=ROWS_AT_ONCE, columns=names)
        else:
            # As text: a cell that is no number then costs its own row and not the file.
            yield from open_csv(path, dict.fromkeys(names, pa.string()), names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


class _LongReader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._dates = DateReader(path.name)
        self._runs: dict[str, _Parts] = {}
        self._calendars: dict[bytes, Seconds] = {}
        self._n_rows = 0

    def add(self, ids: Any, dates: Any, returns: Any) -> None:
        """Take a batch of rows apart by run."""
        encoded = plain(ids).dictionary_encode()
        names = [_name(value) for value in encoded.dictionary.to_pylist()]
        codes = np.asarray(encoded.indices.fill_null(len(names)), dtype=np.intp)
        names.append("")
        seconds, dated = self._dates.read(dates)
        values, present, readable = _fast_numbers(returns)
        order = np.argsort(codes, kind="stable") if bool(np.any(np.diff(codes) < 0)) else None
        starts = np.searchsorted(codes if order is None else codes[order], np.arange(len(names) + 1))
        sound = dated & (readable | ~present)
        for code, name in enumerate(names):
            rows: Any = slice(int(starts[code]), int(starts[code + 1]))
            if rows.start == rows.stop:
                continue
            chosen = rows if order is None else order[rows]
            parts = self._runs.setdefault(name, _Parts())
            if not bool(sound[chosen].all()):
                self._note(parts, np.arange(len(codes))[chosen], sound, dates, returns)
                chosen = np.arange(len(codes))[chosen][sound[chosen]]
            parts.timestamps.append(self._shared(seconds[chosen]))
            parts.returns.append(np.array(values[chosen]))
        self._n_rows += len(codes)

    def _note(self, parts: _Parts, rows: Any, sound: Any, dates: Any, returns: Any) -> None:
        bad = rows[~sound[rows]]
        parts.n_unreadable += len(bad)
        if not parts.defects:
            row = int(bad[0])
            place = f"{self._path.name} {'line' if self._path.suffix == '.csv' else 'row'} "
            place += str(self._n_rows + row + (2 if self._path.suffix == ".csv" else 1))
            parts.defects.append(
                f"{place}: date {shown(dates[row].as_py())} with return {shown(returns[row].as_py())} cannot be read"
            )

    def _shared(self, timestamps: Seconds) -> Seconds:
        return self._calendars.setdefault(timestamps.tobytes(), timestamps.copy())

    def finished(self) -> dict[str, RunReturns]:
        """Put the pieces of each run together."""
        found: dict[str, RunReturns] = {}
        for name in list(self._runs):
            parts = self._runs.pop(name)
            more = f", and {parts.n_unreadable - 1} more rows" if parts.n_unreadable > 1 else ""
            timestamps, returns = _joined(parts.timestamps), _joined(parts.returns)
            if bool(np.any(np.diff(timestamps) < 0)):
                order = np.argsort(timestamps, kind="stable")
                timestamps, returns = timestamps[order], returns[order]
            found[name] = RunReturns(
                timestamps=self._shared(timestamps),
                returns=returns,
                defects=tuple(defect + more for defect in parts.defects),
            )
        return found


def _joined(pieces: list[Any]) -> Any:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _fast_numbers(column: Any) -> tuple[Floats, Any, Any]:
    """Read a column of texts at the speed of Arrow, where all of them are numbers."""
    import pyarrow as pa

    try:
        column = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return parse_numbers(column)
    return parse_numbers(column)


def _name(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
