"""Bars from files: parquet or CSV, of one symbol or several, each kept apart.

Belongs here: what columns mean. Does not belong here: what a valid bar is (bars).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.hyperband.bars import Bars

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("time", "timestamp", "datetime", "date", "open_time"),
    "symbol": ("symbol", "ticker", "instrument"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
}
"""What a column is -> names it may have, in any case. Symbol and volume may be missing."""

OPTIONAL: Final = frozenset({"symbol", "volume"})
MOST_SECONDS: Final = 1e11  # seconds since 1970 reach it in the year 5138, milliseconds did in 1973
DIGITS_OF_DATES: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


def read_bars(
    path: Path,
    *,
    symbols: Sequence[str] | None = None,
    periods_per_year: float | None = None,
    max_gap_days: float | None = None,
) -> tuple[Bars, ...]:
    """Read the bars of a file, one series per symbol, in the order of their names.

    Parameters
    ----------
    path
        `.parquet` or `.csv`: a time (text in ISO 8601, a date, or seconds or milliseconds since 1970; without a time
        zone it is UTC), open, high, low, close; a volume and a symbol if there are several.
    symbols
        Which to take; None: all.
    periods_per_year, max_gap_days
        See `Bars`; None: inferred.

    Raises
    ------
    NotFound
        If there is no such file.
    InputError
        If a column is missing or is not numbers, a symbol is not there, or bars are not valid (see `Bars`).
    """
    table = _read(path)
    columns = _columns(table, path)
    if table.empty:
        raise InputError(f"{path.name} has columns and no bars; give a file with some")
    names = table[columns["symbol"]] if "symbol" in columns else None
    if names is not None and bool(names.isna().any()):
        raise InputError(f"{path.name}: row {int(np.flatnonzero(names.isna())[0])} has no symbol; name it or drop it")
    labels = np.full(len(table), path.stem) if names is None else names.astype(str).to_numpy(dtype=str)
    there = sorted(set(labels.tolist()))
    wanted = there if symbols is None else list(dict.fromkeys(symbols))
    unknown = sorted(set(wanted) - set(there))
    if unknown or not wanted:
        raise InputError(f"{path.name} holds the symbols {', '.join(there)}, not {', '.join(unknown) or 'none'}")
    times = _times(table[columns["time"]], path)
    numbers = {name: _numbers(table, columns[name], path) for name in columns if name not in {"time", "symbol"}}
    found = []
    for symbol in wanted:
        rows = labels == symbol
        series = {name: values[rows] for name, values in numbers.items()}
        found.append(
            Bars(
                symbol=symbol,
                times=times[rows],
                periods_per_year=periods_per_year,
                max_gap_days=max_gap_days,
                **series,
            )
        )
    return tuple(found)


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise NotFound(f"there is no file {path}; give the path of a .parquet or .csv with bars")
    suffix = path.suffix.lower()
    if suffix not in {".parquet", ".csv"}:
        raise InputError(f"{path.name} is neither .parquet nor .csv; convert it")
    try:
        table = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as {suffix[1:]}: {error}") from error
    named = [name for name in table.index.names if name is not None]
    return table.reset_index() if named else table


def _columns(table: "pd.DataFrame", path: Path) -> dict[str, str]:
    lower: dict[str, str] = {}
    used = {name for names in COLUMNS.values() for name in names}
    for column in map(str, table.columns):
        name = column.strip().lower()
        if name in used and name in lower:
            raise InputError(f"{path.name} has both {lower[name]!r} and {column!r}; drop one of the columns")
        lower[name] = column
    found = {}
    for meaning, names in COLUMNS.items():
        named = next((lower[name] for name in names if name in lower), None)
        if named is not None:
            found[meaning] = named
        elif meaning not in OPTIONAL:
            raise InputError(
                f"{path.name} has no column for the {meaning} (named {' or '.join(names)}); "
                f"it has {', '.join(map(str, table.columns)) or 'none'}"
            )
    return found


def _times(column: "pd.Series[Any]", path: Path) -> NDArray[np.datetime64]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        if pd.api.types.is_integer_dtype(column):
            _refuse_digits_of_dates(column, path)
        seconds = column.to_numpy(dtype=np.float64)
        if not np.isfinite(seconds).all() or np.abs(seconds).max(initial=0.0) >= 1e3 * MOST_SECONDS:
            raise InputError(f"{path.name}: the times are neither seconds nor milliseconds since 1970; write ISO 8601")
        if np.abs(seconds).max(initial=0.0) >= MOST_SECONDS:
            seconds = seconds / 1e3
        if (seconds != np.floor(seconds)).any():
            raise InputError(f"{path.name}: times have fractions of a second; bars start on whole seconds")
        return seconds.astype(np.int64).astype("datetime64[s]")
    _refuse_mixed_zones(column, path)
    try:
        stamps = pd.to_datetime(column, utc=True, format=None if column.dtype.kind == "M" else "ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path.name}: a time cannot be read ({error}); write ISO 8601") from error
    exact = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    whole: NDArray[np.datetime64] = exact.astype("datetime64[s]")
    if (whole != exact)[~np.isnat(exact)].any():
        raise InputError(f"{path.name}: times have fractions of a second; bars start on whole seconds")
    return whole


def _refuse_digits_of_dates(column: "pd.Series[Any]", path: Path) -> None:
    """Refuse 20150101 and 201501011230: as seconds or milliseconds they would be moments of other decades."""
    import pandas as pd

    digits = column.astype(str)
    for width, form in DIGITS_OF_DATES.items():
        wide = bool(digits.str.fullmatch(rf"\d{{{width}}}").all())
        if wide and bool(pd.to_datetime(digits, format=form, errors="coerce").notna().all()):
            raise InputError(f"{path.name}: the times look like dates in digits, as {digits.iloc[0]}; write ISO 8601")


def _refuse_mixed_zones(column: "pd.Series[Any]", path: Path) -> None:
    """Refuse texts of which some name their time zone and others do not: those could be of any."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return
    texts = column.dropna().astype(str).str.strip()
    with_zone = texts.str.contains(r"(?:\d[Zz]|:\d{2}(?:\.\d+)?\s*[+-]\d{2}:?\d{0,2})$")
    if with_zone.any() and not with_zone.all():
        row = int(np.flatnonzero(~with_zone.to_numpy())[0])
        raise InputError(
            f"{path.name}: {texts.iloc[int(np.flatnonzero(with_zone.to_numpy())[0])]!r} names its time zone and "
            f"{texts.iloc[row]!r} does not; write all times with one, or none (which is UTC)"
        )


def _numbers(table: "pd.DataFrame", column: str, path: Path) -> NDArray[np.float64]:
    import pandas as pd

    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    if pd.api.types.is_numeric_dtype(table[column]):
        return np.asarray(values)
    text = np.flatnonzero(np.isnan(values) & table[column].notna().to_numpy())
    if len(text):
        raise InputError(
            f"{path.name}: {column} of row {text[0]} is {table[column].iloc[text[0]]!r}, which is no number"
        )
    return np.asarray(values)
