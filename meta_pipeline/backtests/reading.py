"""Reading the parts of one run: each comes out storable, and what was wrong with it becomes a defect.

Belongs here: texts, configuration, trades, window and arrays, one run at a time. Does not belong
here: judging numbers (quality).
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.defect import Defect, printable, shown, storable, written
from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.backtests.run import BacktestRun, Trade
from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError

TEXT_LIMITS: Final[Mapping[str, int]] = {
    "run_id": 128,
    "market_id": 32,
    "universe_id": 64,
    "sector": 64,
    "code_version": 64,
}
"""Longest text of each field, in characters."""

ADDRESS_LIMIT: Final = 64
TICKER_LIMIT: Final = 50
DIRECTIONS: Final = frozenset({"BUY", "SELL", "LONG", "SHORT"})
_LARGEST_INTEGER: Final = 2**31 - 1
_LONGEST_INTEGER: Final = 4096  # in bits; Python refuses to write much longer ones in decimal

SERIES_DEFECTS: Final = frozenset(
    {
        ReasonCode.LENGTH_MISMATCH,
        ReasonCode.UNREADABLE_DATES,
        ReasonCode.UNSORTED_DATES,
        ReasonCode.REPEATED_DATES,
        ReasonCode.TOO_FEW_RETURNS,
    }
)
"""Defects after which no number is taken from the returns."""

_YEAR_1 = int(np.datetime64("0001-01-01", "s").astype(np.int64))
_YEAR_9999 = int(np.datetime64("9999-12-31", "s").astype(np.int64))

Arrays = tuple[NDArray[np.int64], NDArray[np.float64]]


class Window(NamedTuple):
    """Start and end of what was simulated, both inclusive."""

    start: date | None
    end: date | None


def check_address(run: BacktestRun) -> None:
    """Refuse a run whose strategy or campaign cannot be stored: it would have no place, not even in quarantine.

    Raises
    ------
    InputError
        If the strategy or campaign id is no text, empty, longer than 64 characters, or not storable.
    """
    for name in ("strategy_id", "campaign_id"):
        value = getattr(run, name)
        if not isinstance(value, str) or not value or len(value) > ADDRESS_LIMIT or not storable(value):
            raise InputError(
                f"{name} {shown(value)} of run {shown(run.run_id)} cannot be used; give a text of 1 to "
                f"{ADDRESS_LIMIT} characters. Nothing was written."
            )


def read_texts(run: BacktestRun, defects: list[Defect]) -> dict[str, str]:
    """Return run_id, labels and source; a text that cannot be stored is cut and marked with its digest."""
    texts = {"source": printable(str(run.source))}
    for name, limit in TEXT_LIMITS.items():
        value = getattr(run, name)
        if isinstance(value, str) and len(value) <= limit and storable(value) and (value or name != "run_id"):
            texts[name] = value
        elif name == "run_id" and value is None:
            texts[name] = ""
        else:
            defects.append(Defect(ReasonCode.MALFORMED_TEXT, _text_problem(name, value, limit)))
            texts[name] = _marked(value, limit)
    return texts


def _text_problem(name: str, value: Any, limit: int) -> str:
    if not isinstance(value, str):
        return f"{name} is {shown(value)}, which is not a text"
    if not value:
        return f"{name} is empty; leave it out to have one derived"
    if len(value) > limit:
        return f"{name} has {len(value)} characters, {limit} are the most: {shown(value)}"
    return f"{name} holds a character that cannot be stored: {shown(value)}"


def _marked(value: Any, limit: int) -> str:
    """Cut a text so that different texts stay different."""
    written = value if isinstance(value, str) and storable(value) else shown(value)
    mark = "~" + hashlib.sha256(ascii(as_content(value)).encode()).hexdigest()[:8]
    return written[: limit - len(mark)] + mark


def read_config(config: Any, defects: list[Defect]) -> str:
    """Return the configuration as canonical JSON; one that is none is kept as text under `unreadable`."""
    try:
        if not isinstance(config, Mapping):
            problem = f"the configuration is not a JSON object: {shown(config)}"
        else:
            return _canonical(config)
    except (TypeError, ValueError) as error:
        problem = f"the configuration cannot be stored: {error}"
    except RecursionError:
        problem = "the configuration is nested too deeply"
    defects.append(Defect(ReasonCode.MALFORMED_CONFIG, problem))
    return canonical_json({"unreadable": as_content(config)})


def _canonical(config: Mapping[str, JsonValue]) -> str:
    try:
        return canonical_json(config)
    except TypeError:
        # numpy scalars are what a parameter grid is often made of; they become the Python numbers they stand for.
        return canonical_json(_without_numpy(config))


def _without_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _without_numpy(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numpy(member) for member in value]
    return value


def as_content(value: Any) -> JsonValue:
    """Return a JSON value that differs where two values differ, for the digest of a run's content."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value.bit_length() <= _LONGEST_INTEGER else hex(value)
    if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, str):
        return value if storable(value) else ascii(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()
    return written(value)


def read_trades(trades: Sequence[Trade], defects: list[Defect]) -> tuple[Trade, ...]:
    """Return the trades that can be stored; a malformed one puts its run into quarantine."""
    kept: list[Trade] = []
    for position, trade in enumerate(trades):
        problem = _trade_problem(trade)
        if problem is None:
            kept.append(trade)
        else:
            defects.append(Defect(ReasonCode.MALFORMED_TRADE, f"trade {position + 1}: {problem}"))
    return tuple(kept)


def _trade_problem(trade: Any) -> str | None:
    if not isinstance(trade.trade_date, date):
        return f"trade_date is {shown(trade.trade_date)}, which is not a date"
    ticker = trade.ticker
    if not isinstance(ticker, str) or len(ticker) > TICKER_LIMIT or not storable(ticker):
        return f"ticker is {shown(ticker)}; give a text of at most {TICKER_LIMIT} characters"
    if trade.direction not in DIRECTIONS:
        return f"direction is {shown(trade.direction)}; give one of {', '.join(sorted(DIRECTIONS))}"
    if not _is_finite(trade.size) or trade.size < 0:
        return f"size is {shown(trade.size)}; give a finite number of units that is not negative"
    if not _is_finite(trade.price):
        return f"price is {shown(trade.price)}; give a finite number"
    return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count_of(values: Any) -> int:
    """Return how many returns were handed in: None is none, and what cannot be counted is one."""
    if values is None:
        return 0
    try:
        return len(values)
    except TypeError:
        return 1


def read_arrays(run: BacktestRun, defects: list[Defect]) -> Arrays | None:
    """Return time stamps in seconds and returns, both of one length; None if there are none or they do not fit."""
    returns = _read_returns(run.returns, defects)
    if returns is None or len(returns) == 0:
        return None
    if run.dates is None:
        sentence = f"there are {len(returns)} returns and no dates"
        defects.append(Defect(ReasonCode.LENGTH_MISMATCH, sentence))
        return None
    timestamps = _read_dates(run.dates, defects)
    if timestamps is None:
        return None
    if len(timestamps) != len(returns):
        sentence = f"there are {len(returns)} returns for {len(timestamps)} dates"
        defects.append(Defect(ReasonCode.LENGTH_MISMATCH, sentence))
        return None
    return timestamps, returns


def _read_returns(raw: Any, defects: list[Defect]) -> NDArray[np.float64] | None:
    if raw is None:
        return None
    try:
        returns = np.ascontiguousarray(raw, dtype="<f8")
    except (TypeError, ValueError) as error:
        defects.append(Defect(ReasonCode.NOT_FINITE, f"the returns are not numbers: {error}"))
        return None
    if np.ndim(raw) != 1:
        sentence = f"the returns have {np.ndim(raw)} dimensions; give one return per date"
        defects.append(Defect(ReasonCode.LENGTH_MISMATCH, sentence))
        return None
    return returns


def _read_dates(raw: Any, defects: list[Defect]) -> NDArray[np.int64] | None:
    try:
        dates = np.asarray(raw)
        # Numbers are refused: 20200102 is a date to a person and a day in August 1970 to a computer.
        if dates.dtype.kind not in "MOU" or dates.ndim != 1:
            raise TypeError(f"they are an array of {dates.dtype} with {dates.ndim} dimensions")
        seconds = dates.astype("datetime64[s]").astype(np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        defects.append(Defect(ReasonCode.UNREADABLE_DATES, f"the dates cannot be read: {error}"))
        return None
    if len(seconds) and (seconds.min() < _YEAR_1 or seconds.max() > _YEAR_9999):
        position = int(np.argmax((seconds < _YEAR_1) | (seconds > _YEAR_9999)))
        sentence = f"date {position + 1} is {dates[position]}; give one between the years 1 and 9999"
        defects.append(Defect(ReasonCode.UNREADABLE_DATES, sentence))
        return None
    return seconds


def calendar_defects(timestamps: NDArray[np.int64]) -> Iterator[Defect]:
    """Say whether time stamps go backwards or repeat."""
    steps = np.diff(timestamps)
    if bool(np.any(steps < 0)):
        position = int(np.argmax(steps < 0))
        earlier, later = moment(timestamps[position]), moment(timestamps[position + 1])
        yield Defect(ReasonCode.UNSORTED_DATES, f"{later} comes after {earlier}; sort by date")
    if bool(np.any(steps == 0)):
        position = int(np.argmax(steps == 0))
        count = int(np.sum(steps == 0))
        sentence = f"{moment(timestamps[position])} occurs twice, and {count} dates in all repeat; keep one return each"
        yield Defect(ReasonCode.REPEATED_DATES, sentence)


def moment(timestamp: int | np.int64) -> str:
    """Write seconds since 1970 as a date, with the time of day if there is one."""
    written = str(np.datetime64(int(timestamp), "s"))
    return written.removesuffix("T00:00:00")


def read_window(run: BacktestRun, timestamps: NDArray[np.int64] | None, defects: list[Defect]) -> Window:
    """Return the window: as declared, or from the first to the last date."""
    start = _read_day("start_date", run.start_date, defects)
    end = _read_day("end_date", run.end_date, defects)
    if timestamps is not None:
        first, last = _day(timestamps.min()), _day(timestamps.max())
        if (start is not None and start > first) or (end is not None and end < last):
            sentence = f"the dates run from {first} to {last}, outside the window {start or ''} to {end or ''}"
            defects.append(Defect(ReasonCode.INVALID_WINDOW, sentence))
        start, end = start or first, end or last
    if start is None or end is None:
        missing = " and ".join(name for name, day in (("start_date", start), ("end_date", end)) if day is None)
        defects.append(Defect(ReasonCode.INVALID_WINDOW, f"{missing} missing, and no dates to take the window from"))
    elif start > end:
        defects.append(Defect(ReasonCode.INVALID_WINDOW, f"start_date {start} is after end_date {end}"))
        return Window(start=start, end=None)
    return Window(start=start, end=end)


def _day(timestamp: np.int64) -> date:
    day: date = np.datetime64(int(timestamp), "s").astype("datetime64[D]").item()
    return day


def _read_day(name: str, value: Any, defects: list[Defect]) -> date | None:
    if isinstance(value, np.datetime64) and not np.isnat(value):
        value = value.astype("datetime64[D]").item()
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    defects.append(Defect(ReasonCode.INVALID_WINDOW, f"{name} is {shown(value)}, which is not a date"))
    return None


def read_periods(value: Any, defects: list[Defect]) -> float | None:
    """Return the declared periods per year, if they are a positive number."""
    if value is None:
        return None
    number = value.item() if isinstance(value, np.generic) else value
    if _is_finite(number) and number > 0:
        return float(number)
    sentence = f"periods_per_year is {shown(value)}; give a positive number, or none to have it inferred"
    defects.append(Defect(ReasonCode.PERIODS_PER_YEAR_CONFLICT, sentence))
    return None


def read_version(value: Any, defects: list[Defect]) -> int | None:
    """Return the config version that is replayed, if it is a positive integer."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_INTEGER:
        return value
    sentence = f"config_version is {shown(value)}; give a positive integer, or none"
    defects.append(Defect(ReasonCode.MALFORMED_ROW, sentence))
    return None
