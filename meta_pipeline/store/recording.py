"""Logs into tables: the usable lines of prediction logs and outcomes, in one transaction."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_pipeline.meta_model.decision_log import as_json
from meta_pipeline.meta_model.instants import iso, read_instant
from meta_pipeline.meta_model.outcome_log import outcome_log, outcome_rows
from meta_pipeline.meta_model.prediction_log import prediction_lines, read_prediction_log
from meta_pipeline.meta_model.quarantine import Quarantined
from meta_pipeline.store import meta_model as store
from meta_pipeline.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """How many rows were new, and the lines that could not be used."""

    new_predictions: int
    new_outcomes: int
    quarantined: tuple[Quarantined, ...]


def record_logs(
    database: Database, predictions: Path | None, outcomes: Path | None, models: tuple[str, ...]
) -> Recorded:
    """Write logs into the tables; what is there already stays, and lines in quarantine are left out.

    Parameters
    ----------
    predictions, outcomes
        Files or folders; None: there are none of this kind.
    models
        Names of the base models, whose votes decide whether a line is usable.

    Raises
    ------
    InputError
        If a file is missing or lacks a column; nothing is written.
    """
    bad: list[Quarantined] = []
    if predictions is not None:
        bad += read_prediction_log(predictions, models).quarantined
    rows = [] if outcomes is None else list(outcome_rows(outcomes))
    for horizon in sorted({str(row.get("horizon") or "") for _, _, row in rows}):
        bad += outcome_log(rows, horizon=horizon).quarantined
    left_out = {(item.source, item.line) for item in bad}
    with database.begin() as connection:
        new_predictions = (
            0 if predictions is None else store.record_predictions(connection, _predictions(predictions, left_out))
        )
        usable = (_outcome(row) for source, line, row in rows if (source, line) not in left_out)
        new_outcomes = store.record_outcomes(connection, usable)
    return Recorded(new_predictions=new_predictions, new_outcomes=new_outcomes, quarantined=tuple(bad))


def _predictions(path: Path, left_out: set[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    for source, line, content in prediction_lines(path):
        if (source, line) in left_out:
            continue
        assert isinstance(content, str)
        record = json.loads(content)
        kind = record.get("data_kind")
        yield {
            "timestamp": _zoned(record["timestamp"]),
            "symbol": record["symbol"],
            # Numbers that JSON does not have are kept as marks, which are read as the rejected votes they are.
            "base_predictions": as_json(record["base_predictions"]),
            "regime": as_json(record.get("regime")),
            "data_kind": kind if kind in {"real", "synthetic"} else None,
        }


def _outcome(row: Mapping[str, Any]) -> dict[str, Any]:
    propensity = row.get("propensity")
    return {
        "timestamp": _zoned(row["timestamp"]),
        "symbol": row["symbol"],
        "horizon": row.get("horizon") or "",
        "action": str(row["action"]).strip().upper(),
        "outcome": str(row.get("outcome") or "")[:16],
        "pnl_pct": float(row["pnl_pct"]),
        "hold_duration_minutes": float(row["hold_duration_minutes"]),
        "propensity": None if propensity in {None, ""} else float(str(propensity)),
    }


def _zoned(text: str) -> str:
    return iso(read_instant(text).microseconds)
