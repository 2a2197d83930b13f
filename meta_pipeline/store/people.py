"""Who holds which role, and whether that lets them do what they are about to do.

Approvers are on the list of `approvers`; the other roles are kept here. What a role is for is up to `proposals.roles`.

A role that is taken away is a row that `require` has locked: whoever takes it waits for the act that it allows. Where a
role is open to all, or somebody who holds none is made an auditor, there is no such row. So an act that could add risk
asks again, by `require_still`, once it holds the lock of the audit log. Whoever gives a role holds that lock when they
commit: what was given before is seen then, and what is given later waits until the act is committed or undone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.proposals.identity import clean_name, is_machine, name_key
from meta_pipeline.proposals.roles import Power, Role, objection, objection_to_grant
from meta_pipeline.proposals.situation import Check
from meta_pipeline.store import approvers, audit
from meta_pipeline.store.schema import approvers as approver_table
from meta_pipeline.store.schema_governance import person_roles

_COLUMNS = person_roles.c

_GIVING: Final = 6_504_801_271_023_571_002
"""Key of the advisory lock of whoever gives or takes a role: a number of this project, with no further meaning."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who holds roles, or held them. `name_key` is what names are compared by."""

    name_key: str
    display_name: str
    roles: frozenset[Role]
    former: frozenset[Role]


def require(connection: Connection, actor: str, power: Power) -> None:
    """Let somebody do something, or refuse; what lets them stays so until the transaction ends.

    Raises
    ------
    NotPermitted
        If their roles do not allow it, naming the role that would.
    """
    check = check_role(connection, actor, power, lock=True)
    if not check.passed:
        raise NotPermitted(check.text)


def require_still(connection: Connection, actor: str, power: Power) -> None:
    """Ask again, when the audit entry of an act is written, whether somebody may do it.

    Locks nothing: what is committed after this is committed after the act.

    Raises
    ------
    NotPermitted
        If they lost the right while they were at it. All of it is to be rolled back.
    """
    check = check_role(connection, actor, power)
    if not check.passed:
        raise NotPermitted(f"{check.text}. Roles were given while this was under way; nothing was written")


def check_role(connection: Connection, actor: str, power: Power, *, lock: bool = False) -> Check:
    """Say whether somebody's roles let them do something.

    Parameters
    ----------
    lock
        Keep what lets them, or does not, so until the transaction ends.
    """
    held = roles_of(connection, actor, lock=lock)
    refused = objection(actor, power, held=held, ever_given=_ever_given(connection))
    if refused is not None:
        return Check(name="role", passed=False, error=NotPermitted, text=refused)
    named = f" ({', '.join(sorted(held))})" if held else ""
    return Check(name="role", passed=True, text=f"no role, and no lack of one, keeps {actor}{named} from it")


def roles_of(connection: Connection, name: str, *, lock: bool = False) -> frozenset[Role]:
    """Return the roles that somebody holds now.

    Parameters
    ----------
    lock
        Keep them so until the transaction ends.
    """
    statement = select(_COLUMNS.role).where(_COLUMNS.name_key == name_key(name), _COLUMNS.active)
    if lock:
        statement = statement.with_for_update(read=True)
    held = {Role(role) for role in connection.execute(statement).scalars()}
    if approvers.is_active(connection, name, lock=lock):
        held.add(Role.APPROVER)
    return frozenset(held)


def grant(connection: Connection, name: str, role: Role, *, actor: str, now: datetime) -> Person:
    """Give somebody a role.

    Raises
    ------
    NotPermitted
        If the one who asks is a machine, may not, or asks for themselves once there are operators.
    InputError
        If the name cannot be one, a machine shall approve or audit, or an auditor shall hold another role.
    NothingToDo
        If they hold it already.
    """
    _one_after_the_other(connection)
    require_manager(connection, actor, about=name)
    shown, key = clean_name(name), name_key(name)
    if is_machine(shown) and role in {Role.APPROVER, Role.AUDITOR}:
        raise InputError(f"{shown!r} is a name reserved for machines, and a machine is never the human eye")
    held = roles_of(connection, shown, lock=True)
    refused = objection_to_grant(role, held=held)
    if refused is not None:
        raise InputError(refused)
    if role is Role.APPROVER:
        approvers.add(connection, name, actor=actor, now=now)
        return get(connection, name)
    if role in held:
        raise NothingToDo(f"{shown!r} is {role} already")
    written = {"display_name": shown, "active": True, "granted_by": clean_name(actor), "granted_at": now}
    connection.execute(
        upsert(person_roles)
        .values(name_key=key, role=role, **written)
        .on_conflict_do_update(index_elements=["name_key", "role"], set_=written)
    )
    event = audit.Event(
        action="person.grant", subject_type="person", subject_id=key, payload={"display_name": shown, "role": role}
    )
    audit.append(connection, event, actor=actor, at=now)
    return get(connection, name)


def revoke(connection: Connection, name: str, role: Role, *, actor: str, now: datetime) -> Person:
    """Take a role from somebody. The power it gives stays closed to all who do not hold it.

    Raises
    ------
    NotFound
        If they do not hold it.
    NotPermitted
        If the one who asks is a machine, or may not.
    """
    _one_after_the_other(connection)
    require_manager(connection, actor, about=None)
    if role is Role.APPROVER:
        approvers.remove(connection, name, actor=actor, now=now)
        return get(connection, name)
    key = name_key(name)
    taken = connection.execute(
        update(person_roles)
        .where(_COLUMNS.name_key == key, _COLUMNS.role == role, _COLUMNS.active)
        .values(active=False)
    )
    if taken.rowcount != 1:
        raise NotFound(f"{name!r} is no {role}; see: meta-pipeline people list")
    event = audit.Event(action="person.revoke", subject_type="person", subject_id=key, payload={"role": role})
    audit.append(connection, event, actor=actor, at=now)
    return get(connection, name)


def get(connection: Connection, name: str) -> Person:
    """Return one person.

    Raises
    ------
    NotFound
        If that name never held a role.
    """
    key = name_key(name)
    found = [person for person in list_people(connection) if person.name_key == key]
    if not found:
        raise NotFound(f"{name!r} never held a role; see: meta-pipeline people list")
    return found[0]


def list_people(connection: Connection) -> list[Person]:
    """Return everybody who holds or held a role, by name."""
    rows = [(row.name_key, row.display_name, Role(row.role), row.active) for row in connection.execute(_ALL)]
    listed = approvers.list_approvers(connection, inactive=True)
    rows += [(one.name_key, one.display_name, Role.APPROVER, one.active) for one in listed]
    return [
        Person(
            name_key=key,
            display_name=next(shown for other, shown, *_ in rows if other == key),
            roles=frozenset(role for other, _, role, active in rows if other == key and active),
            former=frozenset(role for other, _, role, active in rows if other == key and not active),
        )
        for key in sorted({row[0] for row in rows})
    ]


def require_manager(connection: Connection, actor: str, *, about: str | None) -> None:
    """Let somebody manage people and keys: a person, who may, and not in a matter of their own.

    Parameters
    ----------
    about
        Whose matter it is. Once there are operators, nobody gives anything to themselves.
    """
    if is_machine(actor):
        raise NotPermitted(
            f"{actor!r} is a name reserved for machines; who may do what is up to people (set META_PIPELINE_ACTOR)"
        )
    require(connection, actor, Power.MANAGE)
    if about is not None and name_key(about) == name_key(actor) and Role.OPERATOR in _ever_given(connection):
        raise NotPermitted(f"{actor!r} cannot give anything to themselves; another operator has to")


def _one_after_the_other(connection: Connection) -> None:
    """Let one at a time give and take roles: of two who make themselves the first operator, the second is refused."""
    connection.execute(select(func.pg_advisory_xact_lock(_GIVING)))


def _ever_given(connection: Connection) -> frozenset[Role]:
    given = {Role(role) for role in connection.execute(select(_COLUMNS.role).distinct()).scalars()}
    if connection.execute(select(approver_table.c.name_key).limit(1)).first() is not None:
        given.add(Role.APPROVER)
    return frozenset(given)


_ALL = select(person_roles).order_by(_COLUMNS.name_key, _COLUMNS.role)
