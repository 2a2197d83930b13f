"""Rows of fixed width out of PostgreSQL and straight into an array: COPY in its binary format, read by numpy.

A hundred thousand rows take a few hundredths of a second; through Python values it would be ten times that. Belongs
here: the format. Does not belong here: what is read.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection

from meta_pipeline.store.queries import sql_folder

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00"
_TYPES: Final = {"int4": ">i4", "int8": ">i8", "float8": ">f8"}


def copy_columns(
    connection: Connection, name: str, columns: Mapping[str, str], parameters: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Run the COPY in sql/queries/<name>.sql and return its columns, in native byte order.

    Parameters
    ----------
    columns
        Name -> "int4", "int8" or "float8", in the order of the statement; none of them may be NULL.
    parameters
        Values of the `{name}` in the statement; they are quoted as literals, for COPY takes no parameters.

    Raises
    ------
    ValueError
        If the statement gives other columns than these, or a NULL.
    """
    driver: Any = connection.connection.driver_connection
    statement = _statement(name).format(**{key: sql.Literal(value) for key, value in parameters.items()})
    with driver.cursor() as cursor, cursor.copy(statement) as stream:
        data = b"".join(stream)
    if not data.startswith(_SIGNATURE):
        raise ValueError(f"the query {name} gave no binary COPY")
    start = len(_SIGNATURE) + 8 + int.from_bytes(data[len(_SIGNATURE) + 4 : len(_SIGNATURE) + 8], "big")
    record = _record(tuple(columns.items()))
    body = data[start:-2]  # the last two bytes say that no row follows
    if len(body) % record.itemsize:
        raise ValueError(f"the query {name} gave rows of another width than {record.itemsize} bytes")
    rows = np.frombuffer(body, dtype=record)
    for key in columns:
        size = record.fields[key][0].itemsize  # type: ignore[index]
        if len(rows) and not bool(np.all(rows[f"{key} length"] == size)):
            raise ValueError(f"the query {name} gave a NULL, or another type, in {key}")
    return {key: rows[key].astype(rows[key].dtype.newbyteorder("=")) for key in columns}


@cache
def _statement(name: str) -> sql.SQL:
    text = (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return sql.SQL(code)


@cache
def _record(columns: tuple[tuple[str, str], ...]) -> np.dtype[np.void]:
    fields: list[tuple[str, str]] = [("number of fields", ">i2")]
    for key, kind in columns:
        fields += [(f"{key} length", ">i4"), (key, _TYPES[kind])]
    return np.dtype(fields)
