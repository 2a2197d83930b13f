"""Freezes on record: added, listed, lifted. What they mean is up to `proposals.freezes`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Row, insert, or_, select, update

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.proposals.freezes import EXCHANGES, Freeze
from meta_pipeline.proposals.freezes import in_force as held
from meta_pipeline.proposals.identity import clean_name, clean_reason, is_machine
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import audit, people, strategies
from meta_pipeline.store.schema_governance import freezes

_COLUMNS = freezes.c
_BITS = range(7)


@dataclass(frozen=True, kw_only=True)
class FreezeRecord:
    """A freeze as stored: who made it, and who lifted it."""

    freeze: Freeze
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None


def add(connection: Connection, freeze: Freeze, *, actor: str, now: datetime) -> FreezeRecord:
    """Add a freeze. It holds from the end of the transaction on.

    Raises
    ------
    InputError
        If it contradicts itself, has no reason, or names an unknown zone or strategy.
    NotPermitted
        If the one who asks may not.
    """
    people.require(connection, actor, Power.FREEZE)
    freeze.check()
    reason = clean_reason(freeze.reason, what="the freeze")
    if freeze.strategy_id is not None:
        strategies.load(connection, freeze.strategy_id)
    zone = EXCHANGES.get(freeze.time_zone.upper(), freeze.time_zone)
    freeze_id: int = connection.execute(
        insert(freezes)
        .values(
            strategy_id=freeze.strategy_id,
            time_zone=zone,
            weekdays=sum(1 << day for day in freeze.weekdays) or None,
            starts_time=freeze.starts_time,
            ends_time=freeze.ends_time,
            starts_local=freeze.starts_local,
            ends_local=freeze.ends_local,
            reason=reason,
            created_by=clean_name(actor),
            created_at=now,
        )
        .returning(_COLUMNS.freeze_id)
    ).scalar_one()
    added = get(connection, freeze_id)
    event = audit.Event(
        action="freeze.add",
        subject_type="freeze",
        subject_id=str(freeze_id),
        payload={"strategy_id": freeze.strategy_id, "when": added.freeze.when(), "reason": reason},
    )
    audit.append(connection, event, actor=actor, at=now)
    return added


def freeze_now(
    connection: Connection, *, reason: str, strategy_id: str | None, actor: str, now: datetime
) -> FreezeRecord:
    """Freeze from now on until it is lifted: everything, or one strategy."""
    starts = now.astimezone(UTC).replace(tzinfo=None)
    freeze = Freeze(time_zone="UTC", reason=reason, strategy_id=strategy_id, starts_local=starts)
    return add(connection, freeze, actor=actor, now=now)


def lift(connection: Connection, freeze_id: int, *, reason: str, actor: str, now: datetime) -> FreezeRecord:
    """End a freeze. A person does it: a machine never allows itself more.

    Raises
    ------
    NotPermitted
        If the one who asks is a machine, or may not.
    NothingToDo
        If it was lifted already.
    """
    require_lifter(connection, actor)
    why = clean_reason(reason, what=f"lifting freeze {freeze_id}")
    there = get(connection, freeze_id)
    lifted = connection.execute(
        update(freezes)
        .where(_COLUMNS.freeze_id == freeze_id, _COLUMNS.lifted_at.is_(None))
        .values(lifted_at=now, lifted_by=clean_name(actor), lift_reason=why)
    )
    if lifted.rowcount != 1:
        raise NothingToDo(f"freeze {freeze_id} was lifted already, by {there.lifted_by}")
    event = audit.Event(action="freeze.lift", subject_type="freeze", subject_id=str(freeze_id), payload={"reason": why})
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.LIFT)
    return get(connection, freeze_id)


def require_lifter(connection: Connection, actor: str) -> None:
    """Let a person who may lift a freeze, or the kill file, do so."""
    if is_machine(actor):
        raise NotPermitted(f"{actor!r} is a name reserved for machines; a freeze is lifted by a person")
    people.require(connection, actor, Power.LIFT)


def record_kill_file(connection: Connection, action: str, *, path: str, reason: str, actor: str, now: datetime) -> None:
    """Write down that the kill file was made or removed."""
    event = audit.Event(
        action=f"freeze.{action}",
        subject_type="freeze",
        subject_id="kill-file",
        payload={"path": path, "reason": reason},
    )
    audit.append(connection, event, actor=actor, at=now)
    if action == "unkill":
        people.require_still(connection, actor, Power.LIFT)


def get(connection: Connection, freeze_id: int) -> FreezeRecord:
    """Return one freeze.

    Raises
    ------
    NotFound
        If there is none of that number.
    """
    if not 0 < freeze_id < 2**63:
        raise InputError(f"{freeze_id} is no number of a freeze; see: meta-pipeline freeze list")
    row = connection.execute(select(freezes).where(_COLUMNS.freeze_id == freeze_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no freeze {freeze_id}; see: meta-pipeline freeze list")
    return _record(row)


def list_freezes(connection: Connection, *, lifted: bool = False) -> list[FreezeRecord]:
    """Return the freezes that were not lifted; with `lifted`, all of them."""
    statement = select(freezes).order_by(_COLUMNS.freeze_id)
    if not lifted:
        statement = statement.where(_COLUMNS.lifted_at.is_(None))
    return [_record(row) for row in connection.execute(statement)]


def in_force(connection: Connection, strategy_id: str, now: datetime) -> tuple[str, ...]:
    """Return the texts of the freezes that hold for a strategy.

    An act may have waited for a lock since it asked for the time. A freeze that is on record by now was recorded at the
    latest now, whatever the act believes: so freezes are judged at both times, and those that hold at either one hold.
    """
    statement = select(freezes).where(
        _COLUMNS.lifted_at.is_(None), or_(_COLUMNS.strategy_id.is_(None), _COLUMNS.strategy_id == strategy_id)
    )
    found = [_record(row) for row in connection.execute(statement.order_by(_COLUMNS.freeze_id))]
    moments = (now, max([now, *(one.created_at for one in found)]))
    return tuple(
        one.freeze.text() for one in found if any(held([one.freeze], at, strategy_id=strategy_id) for at in moments)
    )


def _record(row: Row[tuple[object, ...]]) -> FreezeRecord:
    fields = row._asdict()
    own = ("freeze_id", "strategy_id", "time_zone", "starts_time", "ends_time", "starts_local", "ends_local", "reason")
    weekdays = tuple(day for day in _BITS if (fields["weekdays"] or 0) >> day & 1)
    return FreezeRecord(
        freeze=Freeze(**{name: fields[name] for name in own}, weekdays=weekdays),
        **{name: fields[name] for name in ("created_by", "created_at", "lifted_at", "lifted_by", "lift_reason")},
    )
