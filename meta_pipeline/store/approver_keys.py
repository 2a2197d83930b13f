"""The public keys that approvers sign with. A revoked key stays on record, and signs nothing any more.

Rotation: register the new key, sign with it, revoke the old one. An approval that waits under a revoked key
can then not be applied: the change is proposed and approved anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.proposals.identity import clean_name, clean_reason, name_key
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.signatures import key_id_of
from meta_pipeline.store import approvers, audit, people
from meta_pipeline.store.schema_governance import approver_keys

_COLUMNS = approver_keys.c
_SHORTEST_PREFIX = 6


@dataclass(frozen=True, kw_only=True)
class ApproverKey:
    """One registered key: 32 bytes, and until when they counted."""

    key_id: str
    name_key: str
    public_key: bytes
    registered_by: str
    registered_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None


def register(connection: Connection, name: str, public_key: bytes, *, actor: str, now: datetime) -> ApproverKey:
    """Register an approver's key. Somebody else does it than the approver, so that no one claim is enough.

    Raises
    ------
    NotFound
        If the name is not on the list of approvers.
    NotPermitted
        If the one who asks is a machine, is the approver, or may not.
    NothingToDo
        If it is registered for them already.
    InputError
        If it is, or was, anybody else's, or was revoked.
    """
    if name_key(name) == name_key(actor):
        raise NotPermitted(f"the key of {name!r} is registered by somebody else, who was given it by that person")
    people.require_manager(connection, actor, about=name)
    if not approvers.is_active(connection, name, lock=True):
        raise NotFound(f"{name!r} is not on the list of approvers; add them with: meta-pipeline approvers add NAME")
    key_id, owner = key_id_of(public_key), name_key(name)
    there = connection.execute(select(approver_keys).where(_COLUMNS.key_id == key_id)).one_or_none()
    if there is not None:
        if there.name_key == owner and there.revoked_at is None:
            raise NothingToDo(f"the key {key_id} of {name!r} is registered already")
        raise InputError(f"the key {key_id} is {there.name_key}'s, or was revoked; make another: approvers keygen")
    values = {"key_id": key_id, "name_key": owner, "public_key": public_key}
    connection.execute(insert(approver_keys).values(**values, registered_by=clean_name(actor), registered_at=now))
    event = audit.Event(
        action="key.register",
        subject_type="approver",
        subject_id=owner,
        payload={"key_id": key_id, "public_key": public_key.hex()},
    )
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.MANAGE)
    return _get(connection, key_id)


def revoke(connection: Connection, prefix: str, *, reason: str, actor: str, now: datetime) -> ApproverKey:
    """Revoke a key, by the first digits of its id. Its owner may, and whoever manages people.

    Raises
    ------
    NotFound
        If no key, or more than one, starts like that.
    NothingToDo
        If it is revoked already.
    """
    why = clean_reason(reason, what=f"the revocation of {prefix[:64]!a}")
    key = _find(connection, prefix)
    if key.name_key != name_key(actor):
        people.require_manager(connection, actor, about=None)
    done = connection.execute(
        update(approver_keys)
        .where(_COLUMNS.key_id == key.key_id, _COLUMNS.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=clean_name(actor), revoked_reason=why)
    )
    if done.rowcount != 1:
        raise NothingToDo(f"the key {key.key_id} was revoked already, by {key.revoked_by}")
    event = audit.Event(
        action="key.revoke",
        subject_type="approver",
        subject_id=key.name_key,
        payload={"key_id": key.key_id, "reason": why},
    )
    audit.append(connection, event, actor=actor, at=now)
    return _get(connection, key.key_id)


def list_keys(connection: Connection, *, name: str | None = None) -> list[ApproverKey]:
    """Return all keys, by owner and age; with `name`, only that person's."""
    statement = select(approver_keys).order_by(_COLUMNS.name_key, _COLUMNS.registered_at)
    if name is not None:
        statement = statement.where(_COLUMNS.name_key == name_key(name))
    return [ApproverKey(**row._asdict()) for row in connection.execute(statement)]


def good_keys(connection: Connection, name: str, *, lock: bool = False) -> Mapping[str, bytes]:
    """Return a person's keys that are not revoked: id -> 32 bytes.

    Parameters
    ----------
    lock
        Keep them so until the transaction ends.
    """
    statement = select(approver_keys).where(_COLUMNS.name_key == name_key(name), _COLUMNS.revoked_at.is_(None))
    if lock:
        statement = statement.with_for_update(read=True)
    return {row.key_id: row.public_key for row in connection.execute(statement)}


def _find(connection: Connection, prefix: str) -> ApproverKey:
    found = []
    if len(prefix) >= _SHORTEST_PREFIX and set(prefix) <= set("0123456789abcdef"):
        statement = select(_COLUMNS.key_id).where(_COLUMNS.key_id.startswith(prefix)).limit(2)
        found = list(connection.execute(statement).scalars())
    if len(found) != 1:
        which = "is the start of more than one key" if found else "is no key"
        raise NotFound(f"{prefix[:64]!a} {which}; see: meta-pipeline approvers keys")
    return _get(connection, found[0])


def _get(connection: Connection, key_id: str) -> ApproverKey:
    return ApproverKey(**connection.execute(select(approver_keys).where(_COLUMNS.key_id == key_id)).one()._asdict())
