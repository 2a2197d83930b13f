"""Tokens of the HTTP API: made once, shown once, kept as a digest, and good for what their role may do."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.proposals.identity import clean_name, is_machine
from meta_pipeline.proposals.roles import Power
from meta_pipeline.store import audit, people
from meta_pipeline.store.schema_policy import api_tokens

ROLES: Final = ("reader", "executor", "researcher", "approver", "operator")
PREFIX: Final = "mp_"
LONGEST_LIFE: Final = timedelta(days=3660)


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is kept. `name` is who acts with it: decisions are recorded under it."""

    token_id: str
    name: str
    role: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the token as a JSON object."""
        return {
            "token_id": self.token_id,
            "name": self.name,
            "role": self.role,
            "created_by": self.created_by,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "revoked_at": None if self.revoked_at is None else self.revoked_at.isoformat(),
        }


def create_token(
    connection: Connection, *, name: str, role: str, lifetime: timedelta, actor: str, now: datetime
) -> tuple[str, Token]:
    """Make a token; return its text, which is kept nowhere, and its record.

    Raises
    ------
    InputError
        If the name, the role or the lifetime cannot be used: an approver is a person.
    NotPermitted
        If somebody asks who may not manage people and keys.
    """
    people.require(connection, actor, Power.MANAGE)
    who = clean_name(name)
    if role not in ROLES:
        raise InputError(f"role {role!r} is not one of {', '.join(ROLES)}")
    if role == "approver" and is_machine(who):
        raise InputError(f"{who!r} is a name reserved for machines, and a machine is never the human eye")
    if not timedelta(0) < lifetime <= LONGEST_LIFE:
        raise InputError(f"a lifetime of {lifetime} cannot be; give one between a moment and ten years")
    token_id = secrets.token_hex(6)
    text = f"{PREFIX}{token_id}_{secrets.token_urlsafe(32)}"
    values = {
        "token_id": token_id,
        "name": who,
        "role": role,
        "created_by": clean_name(actor),
        "created_at": now,
        "expires_at": now + lifetime,
    }
    connection.execute(insert(api_tokens).values(**values, token_digest=_digest(text)))
    event = audit.Event(
        action="token.create",
        subject_type="token",
        subject_id=token_id,
        payload={"name": who, "role": role, "expires_at": (now + lifetime).isoformat()},
    )
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.MANAGE)
    return text, _token(connection, token_id)


def revoke_token(connection: Connection, token_id: str, *, actor: str, now: datetime) -> Token:
    """End a token.

    Raises
    ------
    NotFound
        If there is none of that id.
    NotPermitted
        If somebody asks who may not freeze: a token that got into wrong hands is ended as fast as that.
    """
    people.require(connection, actor, Power.FREEZE)
    columns = api_tokens.c
    own = columns.token_id == (token_id if token_id.isprintable() else "")
    if connection.execute(select(columns.token_id).where(own)).first() is None:
        raise NotFound(f"there is no token {token_id!r}; see: meta-pipeline tokens list")
    done = connection.execute(update(api_tokens).where(own, columns.revoked_at.is_(None)).values(revoked_at=now))
    if done.rowcount:
        event = audit.Event(action="token.revoke", subject_type="token", subject_id=token_id, payload={})
        audit.append(connection, event, actor=actor, at=now)
    return _token(connection, token_id)


def list_tokens(connection: Connection) -> list[Token]:
    """Return all tokens, the newest first, also those that ended."""
    return [_of(row) for row in connection.execute(select(api_tokens).order_by(api_tokens.c.created_at.desc()))]


def find_token(connection: Connection, text: str, *, now: datetime) -> Token | None:
    """Return the token that a text is, if it is one and still good."""
    columns = api_tokens.c
    row = connection.execute(
        select(api_tokens).where(
            columns.token_digest == _digest(text), columns.revoked_at.is_(None), columns.expires_at > now
        )
    ).one_or_none()
    return None if row is None else _of(row)


def good_token(connection: Connection, token_id: str, *, now: datetime) -> Token | None:
    """Return a token by its id if it is still good: for who was let in with its text before."""
    columns = api_tokens.c
    row = connection.execute(
        select(api_tokens).where(columns.token_id == token_id, columns.revoked_at.is_(None), columns.expires_at > now)
    ).one_or_none()
    return None if row is None else _of(row)


def any_tokens(connection: Connection, *, now: datetime) -> bool:
    """Say whether any token is good."""
    columns = api_tokens.c
    statement = select(func.count()).where(columns.revoked_at.is_(None), columns.expires_at > now)
    return bool(connection.execute(statement).scalar_one())


def tokens_are_used(connection: Connection) -> bool:
    """Say whether a token was ever made: that the last one ran out or was revoked opens nothing again."""
    return connection.execute(select(api_tokens.c.token_id).limit(1)).first() is not None


def _digest(text: str) -> str:
    # The secret is 32 random bytes: there is nothing to guess, so a plain digest is enough.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _token(connection: Connection, token_id: str) -> Token:
    return _of(connection.execute(select(api_tokens).where(api_tokens.c.token_id == token_id)).one())


def _of(row: object) -> Token:
    fields = dict(row._mapping)  # type: ignore[attr-defined]
    fields.pop("token_digest")
    return Token(**fields)
