"""Returns tables: wide (dates x run ids) or long (run id, date, return), parquet or CSV.

Belongs here: which shape a table has, its dates, and the record both shapes are read into. How each is read is in
`wide_returns` and `long_returns`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.importers.tables import ColumnMap
from meta_pipeline.backtests.importers.values import to_datetime
from meta_pipeline.errors import InputError

DATE_COLUMNS: Final = ("timestamp", "time", "datetime", "day", "index", "unnamed: 0", "__index_level_0__", "")
RUN_COLUMNS: Final = ("run", "id", "backtest_id", "name")
RETURN_COLUMNS: Final = ("returns", "ret", "daily_return", "value")

Seconds = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RunReturns:
    """One run's part of a returns table.

    Parameters
    ----------
    timestamps, returns
        Shape (n,): seconds since 1970, and returns, in the order of the table.
    defects
        What could not be read of it, as sentences.
    """

    timestamps: Seconds
    returns: Floats
    defects: Sequence[str] = ()

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """The time stamps as dates."""
        return self.timestamps.view("datetime64[s]")


class Returns:
    """The returns of all runs of a table, by run id."""

    def __init__(self, by_run: Mapping[str, RunReturns]) -> None:
        self._by_run = by_run

    def of(self, run_id: str | None) -> RunReturns | None:
        """Return a run's part, None if the table has none."""
        return None if run_id is None else self._by_run.get(run_id)

    def run_ids(self) -> Iterator[str]:
        """Yield the runs of the table, in its order."""
        return iter(self._by_run)


def shape_of(path: Path, columns: Sequence[str]) -> tuple[str, ColumnMap]:
    """Say whether a returns table is "wide" or "long", and which columns are which.

    Raises
    ------
    InputError
        If it has no date column.
    """
    aliases = {"date": DATE_COLUMNS, "run_id": RUN_COLUMNS, "return": RETURN_COLUMNS}
    found = ColumnMap(path, columns, aliases)
    if {"date", "run_id", "return"} <= set(found.fields):
        return "long", found
    wide = ColumnMap(path, columns, {"date": DATE_COLUMNS})
    if "date" not in wide.fields:
        raise InputError(
            f"{path} has no date column; a wide table has one named date and one per run, a long table has "
            f"run_id, date and return; it has: {', '.join(map(repr, columns[:8]))}"
        )
    return "wide", wide


class DateReader:
    """Dates to seconds; each different text is read once."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._known: dict[str, int | None] = {}

    def read(self, column: Any) -> tuple[Seconds, NDArray[np.bool_]]:
        """Return the seconds of an Arrow column, and which of its rows could be read.

        Raises
        ------
        InputError
            If the column is of a type that holds no dates.
        """
        import pyarrow as pa
        from pyarrow import types

        column = plain(column)
        if types.is_timestamp(column.type) or types.is_date(column.type):
            valid = np.asarray(column.is_valid(), dtype=np.bool_)
            days = column.cast(pa.timestamp("s"), safe=False) if types.is_date(column.type) else column
            zone = getattr(days.type, "tz", None)
            seconds = days.cast(pa.timestamp("s", zone), safe=False).cast(pa.int64())
            return np.asarray(seconds.fill_null(0), dtype=np.int64), valid
        if not (types.is_string(column.type) or types.is_large_string(column.type)):
            raise InputError(f"{self._place}: the date column is of type {column.type}; give dates or ISO texts")
        return self._read_text(column)

    def _read_text(self, column: Any) -> tuple[Seconds, NDArray[np.bool_]]:
        encoded = column.dictionary_encode()
        values = [self._seconds(text) for text in encoded.dictionary.to_pylist()]
        # Position -1 stands for an empty cell.
        seconds = np.array([0 if value is None else value for value in (*values, None)], dtype=np.int64)
        readable = np.array([value is not None for value in (*values, None)])
        codes = np.asarray(encoded.indices.fill_null(len(values)), dtype=np.intp)
        return seconds[codes], readable[codes]

    def _seconds(self, text: str) -> int | None:
        if text not in self._known:
            try:
                moment = to_datetime(text)
            except ValueError:
                moment = None
            self._known[text] = None if moment is None else int(np.datetime64(moment, "s").astype(np.int64))
        return self._known[text]


def plain(column: Any) -> Any:
    """Return an Arrow column as one array, without a dictionary."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def parse_numbers(column: Any) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Read an Arrow column of numbers or texts.

    Returns
    -------
    values, present, readable
        Values (NaN where there is none), which cells are not empty, and which of those are numbers.
    """
    import pyarrow as pa
    from pyarrow import types

    column = plain(column)
    present = np.asarray(column.is_valid(), dtype=np.bool_)
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        if types.is_boolean(column.type) or not (types.is_primitive(column.type) or types.is_null(column.type)):
            return np.full(len(column), np.nan), present, np.zeros(len(column), dtype=np.bool_)
        numbers = column.cast(pa.float64(), safe=False)
        return np.asarray(numbers.fill_null(np.nan), dtype=np.float64), present, present.copy()
    values, readable = np.full(len(column), np.nan), np.zeros(len(column), dtype=np.bool_)
    for row, text in enumerate(column.to_pylist()):
        if text is None or not text.strip():
            present[row] = False
            continue
        try:
            values[row], readable[row] = float(text), True
        except ValueError:
            continue
    return values, present, readable


def open_csv(path: Path, types: Mapping[str, Any], columns: Sequence[str] | None = None) -> Any:
    """Open a CSV to be read in record batches; only an empty cell is null. Arrow's own errors come through."""
    from pyarrow import csv

    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=1 << 24),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            include_columns=columns,
        ),
    )
