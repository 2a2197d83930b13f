"""Many rows out of PostgreSQL and straight into arrays: each column comes as one value, its numbers end to end.

A hundred thousand rows take a few hundredths of a second; a row at a time it would be ten times that. The statement
joins what `float8send` and its like give with `string_agg`; all columns are joined in one pass, so their rows agree.
Belongs here: the format. Does not belong here: what is read.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from meta_pipeline.store.queries import query

_TYPES: Final = {"int4": ">i4", "int8": ">i8", "float8": ">f8"}


def read_columns(
    connection: Connection, name: str, columns: Mapping[str, str], parameters: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Run the query in sql/queries/<name>.sql and return its columns, in native byte order.

    Parameters
    ----------
    columns
        Name -> "int4", "int8" or "float8". The query gives one row: a bytea for each, and the number of rows as `n`.

    Raises
    ------
    ValueError
        If a column holds NULL, or is of another type than said.
    """
    row = connection.execute(query(name), dict(parameters)).one()
    found = {}
    for column, kind in columns.items():
        data = getattr(row, column) or b""
        dtype = np.dtype(_TYPES[kind])
        if len(data) != row.n * dtype.itemsize:
            raise ValueError(
                f"{name}: {column} has {len(data)} bytes for {row.n} rows of {kind}; it holds NULL, or another type"
            )
        values = np.frombuffer(data, dtype=dtype)
        found[column] = values.astype(dtype.newbyteorder("="))
    return found
