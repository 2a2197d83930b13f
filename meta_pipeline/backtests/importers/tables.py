"""Tables of one row per run, trade, or label: parquet or CSV, row by row, with the place of each row.

Belongs here: files to rows. Returns tables are large and are read whole, in `returns`.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meta_pipeline.errors import InputError

SUFFIXES: Final = (".parquet", ".csv")

_ROWS_AT_ONCE: Final = 4096
_LARGEST_CELL: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row.

    Parameters
    ----------
    place
        File and line (CSV) or row (parquet), counted from 1, for people.
    values
        By column name; text in a CSV, typed in parquet. An empty cell is None.
    problem
        Why the row cannot be trusted, or None.
    """

    place: str
    values: Mapping[str, Any]
    problem: str | None = None


def find_table(folder: Path, name: str) -> Path | None:
    """Return the table of that name in a folder, parquet or CSV, None if there is none.

    Raises
    ------
    InputError
        If there are both.
    """
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        raise InputError(f"{folder} holds both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None


def column_names(path: Path) -> list[str]:
    """Return the columns of a table.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if path.suffix == ".parquet":
        return list(_parquet(path).schema_arrow.names)
    with _csv(path) as lines:
        return next(lines, [])


def count_rows(path: Path) -> int:
    """Return the number of rows."""
    if path.suffix == ".parquet":
        return int(_parquet(path).metadata.num_rows)
    return sum(1 for _ in table_rows(path))


def table_rows(path: Path) -> Iterator[TableRow]:
    """Yield the rows of a table.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as parquet: {error}") from error


def _parquet_rows(path: Path) -> Iterator[TableRow]:
    import pyarrow as pa

    number = 0
    try:
        for batch in _parquet(path).iter_batches(batch_size=_ROWS_AT_ONCE):
            for values in batch.to_pylist():
                number += 1
                yield TableRow(place=f"{path.name} row {number}", values=values)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read after row {number}: {error}") from error


class _csv:  # noqa: N801 -- used like a function
    """A CSV file, opened; its lines as lists of cells."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_csv":
        csv.field_size_limit(_LARGEST_CELL)
        try:
            self._file = self._path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise InputError(f"{self._path} cannot be opened: {error.strerror}") from error
        self._reader = csv.reader(self._file, strict=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> "_csv":
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except UnicodeDecodeError as error:
            raise InputError(f"{self._path} is not UTF-8 (line {self.line + 1}): {error.reason}; convert it") from error
        except csv.Error as error:
            raise InputError(f"{self._path} line {self.line}: {error}; mend the quotes") from error

    @property
    def line(self) -> int:
        return self._reader.line_num


def _csv_rows(path: Path) -> Iterator[TableRow]:
    with _csv(path) as lines:
        header = next(lines, None)
        if header is None:
            return
        if len(set(header)) < len(header):
            repeated = next(name for name in header if header.count(name) > 1)
            raise InputError(f"{path} has two columns {repeated!r}; rename or drop one")
        for cells in lines:
            if not cells:  # an empty line
                continue
            problem = None
            if len(cells) != len(header):
                problem = f"{len(cells)} cells for {len(header)} columns"
            values = {name: cell or None for name, cell in zip(header, cells, strict=False)}
            yield TableRow(place=f"{path.name} line {lines.line}", values=values, problem=problem)


class ColumnMap:
    """Which column of a table is which field, by the names and aliases that are understood.

    Parameters
    ----------
    path, columns
        The table and its columns.
    aliases
        Field -> names it goes by, the first that is there wins; compared without case.
    """

    def __init__(self, path: Path, columns: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> None:
        by_name = {column.strip().lower(): column for column in reversed(columns)}
        self.path = path
        self.fields: dict[str, str] = {}
        for name, names in aliases.items():
            column = next((by_name[alias] for alias in (name, *names) if alias in by_name), None)
            if column is not None:
                self.fields[name] = column
        self.others = [column for column in columns if column not in self.fields.values()]

    def require(self, *names: str) -> None:
        """Refuse the table if a field has no column.

        Raises
        ------
        InputError
            Naming the missing ones, and the columns there are.
        """
        missing = [name for name in names if name not in self.fields]
        if missing:
            there = ", ".join([*self.fields.values(), *self.others])
            raise InputError(f"{self.path} has no column for {' and '.join(missing)}; it has: {there}")

    def read(self, row: TableRow, name: str, convert: Callable[[Any], Any], defects: list[str]) -> Any:
        """Return a field of a row, None if it is empty or unreadable; what is unreadable is added to `defects`."""
        column = self.fields.get(name)
        value = None if column is None else row.values.get(column)
        if value is None:
            return None
        try:
            return convert(value)
        except ValueError as error:
            defects.append(f"{row.place}: {column}: {error}")
            return None
