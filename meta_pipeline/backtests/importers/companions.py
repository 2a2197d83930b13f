"""What may lie beside a runs table: configurations, trades, regime labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from meta_pipeline.backtests.defect import shown
from meta_pipeline.backtests.importers import values
from meta_pipeline.backtests.importers.importer import RegimeLabels
from meta_pipeline.backtests.importers.tables import ColumnMap, column_names, table_rows
from meta_pipeline.backtests.run import Trade
from meta_pipeline.errors import InputError

TRADE_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "run_id": ("run", "id", "backtest_id"),
    "trade_date": ("date", "day", "timestamp"),
    "ticker": ("symbol", "instrument"),
    "direction": ("side",),
    "size": ("quantity", "qty"),
    "price": (),
}
REGIME_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "market_id": ("market", "symbol"),
    "date": ("as_of", "day"),
    "label": ("regime",),
}

_LONGEST_LABEL: Final = 32

Trades = dict[str, tuple[list[Trade], list[str]]]


def read_configs(path: Path | None) -> dict[str, Any]:
    """Read configs.json: an object run id -> configuration, or a list of objects with run_id and config.

    Raises
    ------
    InputError
        If it is neither.
    """
    if path is None:
        return {}
    try:
        document = values.to_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if isinstance(document, list) and all(isinstance(item, dict) and "run_id" in item for item in document):
        return {str(item["run_id"]): item.get("config") for item in document}
    if not isinstance(document, dict):
        raise InputError(f"{path} holds {shown(document)}; write an object of run id and configuration")
    return document


def read_trades(path: Path | None, *, known: set[str], warnings: list[str]) -> Trades:
    """Read the trades table: run id -> trades, and what could not be read of them."""
    found: Trades = {}
    if path is None:
        return found
    columns = ColumnMap(path, column_names(path), TRADE_COLUMNS)
    columns.require(*TRADE_COLUMNS)
    strangers: list[str] = []
    for row in table_rows(path):
        defects = [] if row.problem is None else [f"{row.place}: {row.problem}"]
        run_id = columns.read(row, "run_id", values.to_text, defects) or ""
        if run_id not in known:
            strangers.append(f"{row.place} of run {shown(run_id)}")
            continue
        trades, problems = found.setdefault(run_id, ([], []))
        trade = Trade(
            trade_date=columns.read(row, "trade_date", values.to_date, defects),
            ticker=columns.read(row, "ticker", values.to_text, defects) or "",
            direction=(columns.read(row, "direction", values.to_text, defects) or "").strip().upper(),
            size=columns.read(row, "size", values.to_number, defects),
            price=columns.read(row, "price", values.to_number, defects),
        )
        if defects:
            problems += defects
        else:
            trades.append(trade)
    if strangers:
        warnings.append(f"{len(strangers)} trades of runs that are not here were ignored, the first in {strangers[0]}")
    return found


def read_regimes(path: Path | None, *, warnings: list[str]) -> tuple[RegimeLabels, ...]:
    """Read the regimes table; a row that cannot be used is ignored with a warning."""
    if path is None:
        return ()
    columns = ColumnMap(path, column_names(path), REGIME_COLUMNS)
    columns.require(*REGIME_COLUMNS)
    found: dict[str, dict[Any, str]] = {}
    for row in table_rows(path):
        defects = [] if row.problem is None else [row.problem]
        market = columns.read(row, "market_id", values.to_text, defects)
        day = columns.read(row, "date", values.to_date, defects)
        label = columns.read(row, "label", values.to_text, defects)
        if defects or not market or day is None or not label or max(len(market), len(label)) > _LONGEST_LABEL:
            why = "; ".join(defects) or "market, date and label are needed, of at most 32 characters"
            warnings.append(f"{row.place} was ignored: {why}")
        elif found.setdefault(market, {}).setdefault(day, label) != label:
            warnings.append(f"{row.place} was ignored: {market} already has another label for {day}")
    return tuple(
        RegimeLabels(
            market_id=market,
            dates=np.array(sorted(days), dtype="datetime64[D]"),
            labels=np.array([days[day] for day in sorted(days)], dtype=np.str_),
        )
        for market, days in sorted(found.items())
    )
