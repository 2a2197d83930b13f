"""The meta-model, kept: its inputs, its versions with one champion per horizon, and its alarms.

Belongs here: rows. The models themselves are files, addressed by the `model_id` of their rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import Conflict, InputError, NotFound, NothingToDo
from meta_pipeline.meta_model.round_trips import Fill, round_trips
from meta_pipeline.meta_model.training import Training
from meta_pipeline.proposals.identity import MACHINE_ACTOR, clean_reason
from meta_pipeline.store import audit
from meta_pipeline.store.schema import backtest_runs, backtest_trades
from meta_pipeline.store.schema_meta_model import (
    meta_model_alarms,
    meta_model_outcomes,
    meta_model_predictions,
    meta_model_versions,
)

BATCH_ROWS: Final = 2_000
_PROMOTION_LOCK: Final = 6_504_801_271_023_571_002
"""Key of the advisory lock that promotions take: two at once must not both see the same champion."""

_SIDES: Final = {"BUY": "BUY", "LONG": "BUY", "SELL": "SELL", "SHORT": "SELL"}


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """A trained model as the database knows it. `verdict` is the gate's, whole."""

    model_id: str
    horizon: str
    status: str
    data_kind: str
    n_samples: int
    passed: bool
    verdict: Mapping[str, Any]
    compared_with: str | None
    created_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    retired_by: str | None
    retired_reason: str | None


@dataclass(frozen=True, kw_only=True)
class StoredAlarm:
    """An alarm of a model; open until somebody clears it, or the model is retired."""

    alarm_id: int
    model_id: str
    report: Mapping[str, Any]
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None
    cleared_reason: str | None


def record_predictions(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write predictions in the documented schema; what is there already stays. Returns how many were new.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        If a row breaks a rule of the table; quarantine lines before (`prediction_log` says which are usable).
    """
    values = (
        {
            "predicted_at": row["timestamp"],
            "symbol": row["symbol"],
            "base_predictions": row["base_predictions"],
            "regime": row.get("regime"),
            "data_kind": row.get("data_kind"),
        }
        for row in rows
    )
    return _insert_new(connection, meta_model_predictions, values)


def record_outcomes(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write outcomes in the documented schema; the same row twice is one. Returns how many were new."""
    values = (
        {
            "filled_at": row["timestamp"],
            "symbol": row["symbol"],
            "horizon": row.get("horizon") or "",
            "action": row["action"],
            "outcome": row["outcome"],
            "pnl_pct": row["pnl_pct"],
            "hold_duration_minutes": row["hold_duration_minutes"],
            "propensity": row.get("propensity") or None,
        }
        for row in rows
    )
    return _insert_new(connection, meta_model_outcomes, values)


def read_predictions(connection: Connection) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read predictions as rows for `prediction_log`, in order of time."""
    table = meta_model_predictions
    statement = select(table).order_by(table.c.predicted_at, table.c.symbol)
    for number, row in enumerate(_streamed(connection, statement), start=1):
        yield (
            table.name,
            number,
            {
                "timestamp": row.predicted_at.isoformat(),
                "symbol": row.symbol,
                "base_predictions": row.base_predictions,
                "regime": row.regime,
                "data_kind": row.data_kind,
            },
        )


def read_outcomes(connection: Connection) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read outcomes as rows for `outcome_log`, in order of time."""
    table = meta_model_outcomes
    statement = select(table).order_by(table.c.filled_at, table.c.outcome_id)
    for number, row in enumerate(_streamed(connection, statement), start=1):
        values = row._asdict()
        yield table.name, number, {**values, "timestamp": row.filled_at.isoformat()}


def read_trade_outcomes(connection: Connection, run_id: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read the trades of a backtest run as outcomes: paired first in first out, dated at the end of their day.

    A tolerance of a day joins them to the predictions of that day.

    Raises
    ------
    NotFound
        If there is no such run.
    """
    if connection.execute(select(backtest_runs.c.run_id).where(backtest_runs.c.run_id == run_id)).first() is None:
        raise NotFound(f"there is no backtest run {run_id!r}; see `meta-pipeline runs list`")
    table = backtest_trades
    statement = select(table).where(table.c.run_id == run_id).order_by(table.c.trade_date, table.c.trade_id)
    fills = (
        Fill(
            at=datetime.combine(row.trade_date, time.max, tzinfo=UTC),
            symbol=row.ticker,
            side=_SIDES[row.direction],
            size=row.size,
            price=row.price,
        )
        for row in _streamed(connection, statement)
    )
    for number, row in enumerate(round_trips(fills), start=1):
        yield f"{table.name} of {run_id}", number, row


def count_inputs(connection: Connection) -> tuple[int, int]:
    """Count stored predictions and outcomes."""
    counted = [
        int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in (meta_model_predictions, meta_model_outcomes)
    ]
    return counted[0], counted[1]


def save_training(
    connection: Connection, training: Training, *, compared_with: str | None, now: datetime, horizon: str = ""
) -> StoredVersion:
    """Write a trained model, and promote it if it passed the gate. The artifact must be kept before.

    Parameters
    ----------
    training
        What training gave.
    compared_with
        The champion it was put against; None if there was none.
    horizon
        Which champion it may become.

    Returns
    -------
    StoredVersion
        As it is now. Training the same again updates the verdict of a candidate and changes nothing else.

    Raises
    ------
    Conflict
        If the model passed, but the champion is no longer the one it was compared with; nothing is written.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_PROMOTION_LOCK)))
    present = champion(connection, horizon)
    passed = training.verdict.promoted
    if passed and (None if present is None else present.model_id) != compared_with:
        raise Conflict(
            f"the champion is {None if present is None else present.model_id}, not {compared_with} that the new model "
            "was compared with: it changed meanwhile; train again"
        )
    model_id = training.model.sha256
    facts = {
        "passed": passed,
        "verdict": training.verdict.as_dict(),
        "compared_with": compared_with if compared_with != model_id else None,
    }
    row = {
        "model_id": model_id,
        "horizon": horizon,
        "data_kind": training.model.metadata["data_kind"],
        "n_samples": training.model.metadata["n_samples"],
        "created_at": now,
        **facts,
    }
    written = insert(meta_model_versions).values(row)
    connection.execute(
        written.on_conflict_do_update(
            index_elements=["model_id"], set_=facts, where=meta_model_versions.c.status == "candidate"
        )
    )
    stored = version(connection, model_id)
    if passed and stored.status == "candidate":
        _promote(connection, stored, present, now=now)
    return version(connection, model_id)


def champion(connection: Connection, horizon: str = "") -> StoredVersion | None:
    """Return the model that decides for a horizon, None if there is none."""
    table = meta_model_versions
    row = connection.execute(
        select(table).where(table.c.horizon == horizon, table.c.status == "champion")
    ).one_or_none()
    return None if row is None else _version(row)


def version(connection: Connection, model_id: str) -> StoredVersion:
    """Return a trained model by its address, or by the first digits of it.

    Raises
    ------
    NotFound
        If there is none.
    InputError
        If several start with these digits.
    """
    table = meta_model_versions
    rows = connection.execute(select(table).where(table.c.model_id.startswith(model_id, autoescape=True))).all()
    if not rows:
        raise NotFound(f"there is no meta-model {model_id!r}; see `meta-pipeline model status`")
    if len(rows) > 1:
        raise InputError(f"{len(rows)} meta-models start with {model_id!r}; give more digits")
    return _version(rows[0])


def versions(connection: Connection, *, limit: int = 20) -> list[StoredVersion]:
    """Return the latest trained models, the newest first."""
    table = meta_model_versions
    statement = select(table).order_by(table.c.created_at.desc(), table.c.model_id).limit(limit)
    return [_version(row) for row in connection.execute(statement)]


def retire(connection: Connection, *, reason: str, actor: str, now: datetime, horizon: str = "") -> StoredVersion:
    """Take the champion out of use; until another is promoted, there is none.

    Raises
    ------
    NothingToDo
        If there is no champion.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_PROMOTION_LOCK)))
    present = champion(connection, horizon)
    if present is None:
        raise NothingToDo("there is no champion to retire")
    _retire(connection, present, reason=clean_reason(reason, what="retiring a model"), actor=actor, now=now)
    return version(connection, present.model_id)


def raise_alarm(
    connection: Connection, model_id: str, report: Mapping[str, JsonValue], *, now: datetime
) -> StoredAlarm:
    """Raise the alarm of a model; while one is open, another changes nothing."""
    table = meta_model_alarms
    new = connection.execute(
        insert(table)
        .values(model_id=model_id, report=dict(report), raised_at=now)
        .on_conflict_do_nothing()
        .returning(table.c.alarm_id)
    ).scalar_one_or_none()
    if new is not None:
        _audit(connection, "meta_model_alarm", model_id, {"alarm_id": new}, actor=MACHINE_ACTOR, now=now)
    found = open_alarm(connection, model_id)
    assert found is not None
    return found


def open_alarm(connection: Connection, model_id: str) -> StoredAlarm | None:
    """Return the open alarm of a model, None if there is none."""
    table = meta_model_alarms
    row = connection.execute(
        select(table).where(table.c.model_id == model_id, table.c.cleared_at.is_(None))
    ).one_or_none()
    return None if row is None else StoredAlarm(**row._asdict())


def clear_alarm(connection: Connection, model_id: str, *, reason: str, actor: str, now: datetime) -> StoredAlarm:
    """Clear the open alarm of a model: a person says that it may be trusted again.

    Raises
    ------
    NothingToDo
        If no alarm is open.
    """
    found = open_alarm(connection, model_id)
    if found is None:
        raise NothingToDo(f"no alarm of the meta-model {model_id} is open")
    said = clean_reason(reason, what="clearing an alarm")
    table = meta_model_alarms
    row = connection.execute(
        update(table)
        .where(table.c.alarm_id == found.alarm_id)
        .values(cleared_at=now, cleared_by=actor, cleared_reason=said)
        .returning(table)
    ).one()
    facts: dict[str, JsonValue] = {"alarm_id": found.alarm_id, "reason": said}
    _audit(connection, "meta_model_alarm_cleared", model_id, facts, actor=actor, now=now)
    return StoredAlarm(**row._asdict())


def _promote(connection: Connection, stored: StoredVersion, present: StoredVersion | None, *, now: datetime) -> None:
    if present is not None:
        reason = f"{stored.model_id} earned more on the same days"
        _retire(connection, present, reason=reason, actor=MACHINE_ACTOR, now=now)
    table = meta_model_versions
    connection.execute(
        update(table).where(table.c.model_id == stored.model_id).values(status="champion", promoted_at=now)
    )
    facts: dict[str, JsonValue] = {
        "horizon": stored.horizon,
        "n_samples": stored.n_samples,
        "instead_of": None if present is None else present.model_id,
    }
    _audit(connection, "meta_model_promoted", stored.model_id, facts, actor=MACHINE_ACTOR, now=now)


def _retire(connection: Connection, present: StoredVersion, *, reason: str, actor: str, now: datetime) -> None:
    table = meta_model_versions
    connection.execute(
        update(table)
        .where(table.c.model_id == present.model_id)
        .values(status="retired", retired_at=now, retired_by=actor, retired_reason=reason)
    )
    if open_alarm(connection, present.model_id) is not None:
        clear_alarm(connection, present.model_id, reason=f"the model was retired: {reason}", actor=actor, now=now)
    _audit(connection, "meta_model_retired", present.model_id, {"reason": reason}, actor=actor, now=now)


def _audit(
    connection: Connection, action: str, model_id: str, payload: Mapping[str, JsonValue], *, actor: str, now: datetime
) -> None:
    event = audit.Event(action=action, subject_type="meta_model", subject_id=model_id, payload=payload)
    audit.append(connection, event, actor=actor, at=now)


def _version(row: Row[Any]) -> StoredVersion:
    return StoredVersion(**row._asdict())


def _streamed(connection: Connection, statement: Any) -> Iterator[Row[Any]]:
    return iter(connection.execute(statement, execution_options={"yield_per": BATCH_ROWS}))


def _insert_new(connection: Connection, table: Any, values: Iterable[dict[str, Any]]) -> int:
    written, batch = 0, []
    for row in values:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            written += _insert_batch(connection, table, batch)
            batch = []
    return written + (_insert_batch(connection, table, batch) if batch else 0)


def _insert_batch(connection: Connection, table: Any, batch: list[dict[str, Any]]) -> int:
    key = next(iter(table.primary_key))
    statement = insert(table).on_conflict_do_nothing().returning(key)
    return len(connection.execute(statement, batch).all())
