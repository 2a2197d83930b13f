"""Who may approve. A name that is removed stays on record, inactive."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.proposals.identity import clean_name, is_machine, name_key
from meta_pipeline.store import audit
from meta_pipeline.store.schema import approvers


@dataclass(frozen=True, kw_only=True)
class Approver:
    """One name on the list. `name_key` is what names are compared by."""

    name_key: str
    display_name: str
    active: bool
    added_by: str
    added_at: datetime


def add(connection: Connection, name: str, *, actor: str, now: datetime) -> Approver:
    """Put a person on the list of approvers, or back on it.

    Raises
    ------
    InputError
        If the name cannot be one, or is reserved for machines.
    NotPermitted
        If a machine asks.
    NothingToDo
        If the person is on the list already.
    """
    _require_a_person(actor)
    shown, key = clean_name(name), name_key(name)
    if is_machine(shown):
        raise InputError(f"{shown!r} is a name reserved for machines, and a machine is never the human eye")
    there = connection.execute(select(approvers).where(approvers.c.name_key == key).with_for_update()).one_or_none()
    if there is not None and there.active:
        raise NothingToDo(f"{there.display_name!r} is an approver already")
    if there is None:
        values = {
            "name_key": key,
            "display_name": shown,
            "active": True,
            "added_by": clean_name(actor),
            "added_at": now,
        }
        connection.execute(insert(approvers).values(values))
    else:
        connection.execute(update(approvers).where(approvers.c.name_key == key).values(active=True))
    event = audit.Event(action="approver.add", subject_type="approver", subject_id=key, payload={"display_name": shown})
    audit.append(connection, event, actor=actor, at=now)
    return _get(connection, key)


def remove(connection: Connection, name: str, *, actor: str, now: datetime) -> Approver:
    """Take a person off the list. What the person approved and nobody applied yet can then not be applied.

    Raises
    ------
    NotFound
        If the name is not on the list.
    NotPermitted
        If a machine asks.
    """
    _require_a_person(actor)
    key = name_key(name)
    done = connection.execute(
        update(approvers).where(approvers.c.name_key == key, approvers.c.active).values(active=False)
    )
    if done.rowcount != 1:
        known = ", ".join(approver.display_name for approver in list_approvers(connection)) or "nobody"
        raise NotFound(f"{name!r} is not on the list of approvers; on it are: {known}")
    event = audit.Event(action="approver.remove", subject_type="approver", subject_id=key, payload={})
    audit.append(connection, event, actor=actor, at=now)
    return _get(connection, key)


def list_approvers(connection: Connection, *, inactive: bool = False) -> list[Approver]:
    """Return the approvers by name; with `inactive`, also those who were taken off the list."""
    statement = select(approvers).order_by(approvers.c.name_key)
    if not inactive:
        statement = statement.where(approvers.c.active)
    return [Approver(**row._asdict()) for row in connection.execute(statement)]


def get(connection: Connection, name: str) -> Approver:
    """Return one person who is, or was, on the list.

    Raises
    ------
    NotFound
        If the name never was on it.
    """
    row = connection.execute(select(approvers).where(approvers.c.name_key == name_key(name))).one_or_none()
    if row is None:
        raise NotFound(f"{name!r} never was an approver; see: meta-pipeline approvers list")
    return Approver(**row._asdict())


def is_active(connection: Connection, name: str, *, lock: bool = False) -> bool:
    """Say whether a name is an active approver's.

    Parameters
    ----------
    lock
        Also keep it so until the transaction ends.
    """
    statement = select(approvers.c.active).where(approvers.c.name_key == name_key(name))
    if lock:
        statement = statement.with_for_update(read=True)
    return connection.execute(statement).scalar_one_or_none() is True


def _get(connection: Connection, key: str) -> Approver:
    return Approver(**connection.execute(select(approvers).where(approvers.c.name_key == key)).one()._asdict())


def _require_a_person(actor: str) -> None:
    if is_machine(actor):
        raise NotPermitted(
            f"{actor!r} is a name reserved for machines; who may approve is up to people (set META_PIPELINE_ACTOR)"
        )
