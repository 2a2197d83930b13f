"""The freeze of automatic application: set by anybody or by the machine itself, lifted by a person."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select, update

from meta_pipeline.errors import NothingToDo, NotPermitted
from meta_pipeline.proposals.identity import clean_name, clean_reason, is_machine
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import audit, people
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema_outcomes import automation_freezes
from meta_pipeline.store.transactions import in_transaction

_FREEZES: Final = automation_freezes.c


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A freeze of automation in force."""

    frozen_at: datetime
    frozen_by: str
    reason: str


def frozen(connection: Connection) -> Freeze | None:
    """Return the freeze of automation in force, or None."""
    row = connection.execute(
        select(_FREEZES.frozen_at, _FREEZES.frozen_by, _FREEZES.reason).where(_FREEZES.lifted_at.is_(None))
    ).one_or_none()
    return None if row is None else Freeze(**row._asdict())


def freeze(database: Database, *, reason: str, actor: str, now: datetime) -> Freeze:
    """Freeze automatic application; a freeze in force stays as it is.

    Raises
    ------
    NotPermitted
        If it is a person who may not freeze. The machine always may.
    """
    who, why = clean_name(actor), clean_reason(reason, what="the freeze of automation")

    def work(connection: Connection) -> Freeze:
        if not is_machine(who):
            people.require(connection, who, Power.FREEZE)
        there = frozen(connection)
        if there is not None:
            return there
        connection.execute(insert(automation_freezes).values(frozen_at=now, frozen_by=who, reason=why))
        event = audit.Event(
            action="automation.freeze", subject_type="automation", subject_id="automation", payload={"reason": why}
        )
        audit.append(connection, event, actor=who, at=now)
        return Freeze(frozen_at=now, frozen_by=who, reason=why)

    return in_transaction(database, work)


def unfreeze(database: Database, *, reason: str, actor: str, now: datetime) -> Freeze:
    """Lift the freeze of automation. A person does, who says what was done about its cause.

    Raises
    ------
    NothingToDo
        If it is not frozen.
    NotPermitted
        If a machine asks, or the person may not lift a freeze.
    """
    who, why = clean_name(actor), clean_reason(reason, what="lifting the freeze of automation")
    if is_machine(who):
        raise NotPermitted(f"{who!r} is a name reserved for machines; a person lifts it (set META_PIPELINE_ACTOR)")

    def work(connection: Connection) -> Freeze:
        people.require(connection, who, Power.LIFT)
        there = frozen(connection)
        if there is None:
            raise NothingToDo("automation is not frozen")
        connection.execute(
            update(automation_freezes)
            .where(_FREEZES.lifted_at.is_(None))
            .values(lifted_at=now, lifted_by=who, lift_reason=why)
        )
        event = audit.Event(
            action="automation.unfreeze",
            subject_type="automation",
            subject_id="automation",
            payload={"reason": why, "was": there.reason},
        )
        audit.append(connection, event, actor=who, at=now)
        people.require_still(connection, who, Power.LIFT)
        return there

    return in_transaction(database, work)
