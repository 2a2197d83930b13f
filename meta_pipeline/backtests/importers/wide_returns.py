"""A wide returns table: a column of dates, and one column of returns per run.

An empty cell means that the run has no observation. Before a run's first and after its last return that is its
window; in between it is a day on which its market did not trade, if no other run of the market has a return either.
Where another one has, a return is missing: it is kept as NaN, and the quality gate refuses the run.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.defect import shown
from meta_pipeline.backtests.importers.returns import (
    DateReader,
    Returns,
    RunReturns,
    Seconds,
    open_csv,
    parse_numbers,
)
from meta_pipeline.backtests.importers.tables import ColumnMap
from meta_pipeline.errors import InputError

Mask = NDArray[np.bool_]

_HEADER_LINES: Final = 1


def read_wide(path: Path, columns: ColumnMap, market_of: Callable[[str], str]) -> Returns:
    """Read a wide returns table.

    Parameters
    ----------
    market_of
        The market of a run id, "" if unknown.

    Raises
    ------
    InputError
        If the file as a whole cannot be read.
    """
    table = _table(path, columns)
    names = list(table.column_names)
    date_at = names.index(columns.fields["date"])
    timestamps, dated = DateReader(path.name).read(table.column(date_at))
    cells = _Cells(path, table, timestamps, dated)
    runs = {name: position for position, name in enumerate(names) if position != date_at}
    repeated = {name for name in runs if names.count(name) > 1} if len(set(names)) < len(names) else set()
    trading: dict[str, Mask] = {}
    for name, position in runs.items():
        market = market_of(name)
        present = cells.present(position)
        trading[market] = present if market not in trading else trading[market] | present
    return Returns(
        {name: cells.run(name, position, trading[market_of(name)], name in repeated) for name, position in runs.items()}
    )


def _table(path: Path, columns: ColumnMap) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        try:
            return _read_csv(path, columns, pa.float64())
        except pa.ArrowInvalid:  # some cell is no number: all as text, to find out which
            return _read_csv(path, columns, pa.string())
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _read_csv(path: Path, columns: ColumnMap, of_returns: Any) -> Any:
    import pyarrow as pa

    return open_csv(path, {**dict.fromkeys(columns.others, of_returns), columns.fields["date"]: pa.string()}).read_all()


class _Cells:
    """The columns of a wide table, read one by one."""

    def __init__(self, path: Path, table: Any, timestamps: Seconds, dated: Mask) -> None:
        self._path = path
        self._table = table
        self._timestamps = timestamps
        self._dated = dated
        self._calendars: dict[bytes, Seconds] = {}

    def present(self, position: int) -> Mask:
        column = self._table.column(position)
        if column.null_count == 0:
            return np.ones(len(column), dtype=np.bool_)
        return np.asarray(column.is_valid(), dtype=np.bool_)

    def run(self, name: str, position: int, trading: Mask, repeated: bool) -> RunReturns:
        values, present, readable = parse_numbers(self._table.column(position))
        defects = list(self._defects(name, position, present, readable))
        if repeated:
            defects.append(f"{self._path.name}: more than one column is named {shown(name)}; keep one")
        rows = np.flatnonzero(present)
        if len(rows) == 0:
            return RunReturns(timestamps=np.empty(0, np.int64), returns=np.empty(0), defects=tuple(defects))
        within = slice(int(rows[0]), int(rows[-1]) + 1)
        kept = trading[within] & self._dated[within]
        if kept.all():
            return RunReturns(
                timestamps=self._shared(self._timestamps[within]), returns=values[within], defects=tuple(defects)
            )
        return RunReturns(
            timestamps=self._shared(self._timestamps[within][kept]),
            returns=values[within][kept],
            defects=tuple(defects),
        )

    def _shared(self, timestamps: Seconds) -> Seconds:
        return self._calendars.setdefault(timestamps.tobytes(), timestamps)

    def _defects(self, name: str, position: int, present: Mask, readable: Mask) -> Iterator[str]:
        unreadable = np.flatnonzero(present & ~readable)
        if len(unreadable):
            row = int(unreadable[0])
            cell = shown(self._table.column(position)[row].as_py())
            yield f"{self._place(row)}: column {shown(name)} is {cell}, which is not a number{_more(unreadable)}"
        undated = np.flatnonzero(present & ~self._dated)
        if len(undated):
            yield f"{self._place(int(undated[0]))}: the date is missing or not like 2020-12-31{_more(undated)}"

    def _place(self, row: int) -> str:
        if self._path.suffix == ".csv":
            return f"{self._path.name} line {row + _HEADER_LINES + 1}"
        return f"{self._path.name} row {row + 1}"


def _more(rows: NDArray[np.intp]) -> str:
    return f", and {len(rows) - 1} more" if len(rows) > 1 else ""
