"""Trade outcomes: what came of acting. Read from CSV, from rows of a table, or made from a list of fills.

Documented schema: timestamp, symbol, action, outcome (win, loss, ...), pnl_pct (per cent: 2.5 is 2.5 %),
hold_duration_minutes. Optional: `propensity`, the probability with which this decision was traded at all (0..1), and
`horizon`, a name, where outcomes of several horizons share a file.
"""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import HOLD, action_code
from meta_pipeline.meta_model.instants import MICROSECONDS_PER_MINUTE, read_instant
from meta_pipeline.meta_model.quarantine import Quarantined

COLUMNS: Final = ("timestamp", "symbol", "action", "outcome", "pnl_pct", "hold_duration_minutes")

Row = tuple[str, int, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeLog:
    """The usable rows of trade outcomes, in the order read.

    Parameters
    ----------
    starts, ends
        Shape (n,), microseconds since 1970, UTC: the fill, and the fill plus the time held.
    symbols
        Shape (n,), index into `symbol_names`.
    symbol_names
        The symbols, in the order met.
    actions
        Shape (n,), SELL or BUY as codes.
    wins
        Shape (n,), whether the outcome is called a win.
    pnl_pct
        Shape (n,), finite, per cent of what was traded, positive is profit of the action taken.
    propensities
        Shape (n,), in (0, 1]; NaN where not given.
    quarantined, digests
        As of `PredictionLog`.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    symbols: NDArray[np.int64]
    symbol_names: tuple[str, ...]
    actions: NDArray[np.int8]
    wins: NDArray[np.bool_]
    pnl_pct: NDArray[np.float64]
    propensities: NDArray[np.float64]
    n_lines: int
    quarantined: tuple[Quarantined, ...]
    digests: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.starts)


def read_outcome_log(path: Path, *, horizon: str | None = None) -> OutcomeLog:
    """Read outcomes from a CSV file, or from every *.csv file of a folder.

    Raises
    ------
    InputError
        If there is no such file, a documented column is missing, or the file holds several horizons and none was
        chosen.
    """
    digests: dict[str, str] = {}
    return outcome_log(outcome_rows(path, digests), horizon=horizon, digests=digests)


def outcome_log(
    rows: Iterable[Row], *, horizon: str | None = None, digests: Mapping[str, str] | None = None
) -> OutcomeLog:
    """Read outcomes from rows; a row that cannot be used is quarantined, one of another horizon is passed over."""
    reader = _Reader(horizon)
    for source, line, row in rows:
        reader.add(source, line, row)
    return reader.log({} if digests is None else digests)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.csv")) if path.is_dir() else []
    if not files:
        raise InputError(
            f"there are no trade outcomes at {path}; name a CSV file with the columns {', '.join(COLUMNS)}, "
            "or a folder of such files. Without outcomes there is nothing to learn from"
        )
    return files


def outcome_rows(path: Path, digests: dict[str, str] | None = None) -> Iterator[Row]:
    """Read the rows of a CSV file, or of every *.csv file of a folder.

    Parameters
    ----------
    path
        File or folder.
    digests
        Gets the sha256 of each file, by its name.

    Raises
    ------
    InputError
        If there is no such file, or a documented column is missing.
    """
    for file in _files(path):
        content = file.read_bytes()
        if digests is not None:
            digests[file.name] = sha256(content).hexdigest()
        reader = csv.DictReader(content.decode("utf-8-sig", errors="replace").splitlines())
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{file} lacks the columns {', '.join(missing)}; it has {reader.fieldnames}")
        for row in reader:
            yield file.name, reader.line_num, row


class _Reader:
    def __init__(self, horizon: str | None) -> None:
        self.horizon = horizon
        self.starts, self.ends, self.symbols = array("q"), array("q"), array("q")
        self.actions, self.wins = array("b"), array("b")
        self.pnl, self.propensities = array("d"), array("d")
        self.names: dict[str, int] = {}
        self.horizons: set[str] = set()
        self.quarantined: list[Quarantined] = []
        self.n_lines = 0

    def add(self, source: str, line: int, row: Mapping[str, Any]) -> None:
        self.n_lines += 1
        name = row.get("horizon") or ""
        self.horizons.add(str(name))
        if self.horizon is not None and name != self.horizon:
            return
        try:
            self._add(row)
        except _Unusable as problem:
            self.quarantined.append(Quarantined(source=source, line=line, reason=problem.reason, detail=problem.detail))

    def _add(self, row: Mapping[str, Any]) -> None:
        symbol = row.get("symbol")
        if not isinstance(symbol, str) or not symbol or not symbol.isprintable():
            raise _Unusable("bad_symbol", f"symbol is {symbol!r}")
        try:
            start = read_instant(row.get("timestamp")).microseconds
        except InputError as error:
            raise _Unusable("bad_timestamp", str(error)) from None
        stated = row.get("action")
        action = action_code(stated) if isinstance(stated, str) else None
        if action is None:
            raise _Unusable("unknown_action", f"action is {stated!r}; an outcome is of BUY or SELL")
        if action == HOLD:
            raise _Unusable("nothing_traded", "the action is HOLD, so there is no trade whose outcome this is")
        pnl = _number(row, "pnl_pct")
        minutes = _number(row, "hold_duration_minutes")
        if minutes < 0:
            raise _Unusable("bad_hold_duration_minutes", f"hold_duration_minutes is {minutes}; it must not be negative")
        propensity = math.nan if row.get("propensity") in {None, ""} else _number(row, "propensity")
        if propensity <= 0 or propensity > 1:
            raise _Unusable("bad_propensity", f"propensity is {propensity}; it must be above 0 and at most 1")
        self.starts.append(start)
        self.ends.append(start + round(minutes * MICROSECONDS_PER_MINUTE))
        self.symbols.append(self.names.setdefault(symbol, len(self.names)))
        self.actions.append(action)
        self.wins.append(str(row.get("outcome") or "").strip().lower() == "win")
        self.pnl.append(pnl)
        self.propensities.append(propensity)

    def log(self, digests: Mapping[str, str]) -> OutcomeLog:
        if self.horizon is None and len(self.horizons) > 1:
            raise InputError(
                f"the outcomes are of several horizons, {', '.join(sorted(self.horizons))}; choose one, or train one "
                "model for each"
            )
        if self.horizon is not None and self.n_lines and self.horizon not in self.horizons:
            raise InputError(f"no outcome is of horizon {self.horizon!r}; there are {', '.join(sorted(self.horizons))}")
        return OutcomeLog(
            starts=np.frombuffer(self.starts, dtype=np.int64),
            ends=np.frombuffer(self.ends, dtype=np.int64),
            symbols=np.frombuffer(self.symbols, dtype=np.int64),
            symbol_names=tuple(self.names),
            actions=np.frombuffer(self.actions, dtype=np.int8),
            wins=np.frombuffer(self.wins, dtype=np.int8).astype(np.bool_),
            pnl_pct=np.frombuffer(self.pnl, dtype=np.float64),
            propensities=np.frombuffer(self.propensities, dtype=np.float64),
            n_lines=self.n_lines,
            quarantined=tuple(self.quarantined),
            digests=dict(digests),
        )


class _Unusable(Exception):  # noqa: N818 -- never leaves this module
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _Unusable(f"bad_{name}", f"{name} is {value!r}; it must be a finite number")
    return number
