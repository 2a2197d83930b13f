"""The audit log: append-only and hash-chained, written in the transaction of what it records.

Entry n holds the hash of entry n - 1, so that no entry can be changed, inserted or taken out of the middle
without a break that `verify` finds. What a chain alone does not prove: that its tail was not cut off, and
that nobody with the database owner's rights wrote it anew from some entry on. That takes a copy of the head
outside the database: `anchors`.

Appending takes one lock for the whole log and keeps it until the transaction ends: it is the last lock that
a transaction takes, after those of strategies and proposals. Everybody who writes waits for it, freezes included, so
the server ends the session of whoever holds it and falls silent.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, RowMapping, func, insert, select

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import AuditBroken
from meta_pipeline.proposals.digests import instant
from meta_pipeline.proposals.identity import clean_name, kind_of
from meta_pipeline.store.schema import audit_log

GENESIS: Final = "0" * 64
"""What the first entry names as the hash before it."""

_CHAIN_LOCK: Final = 6_504_801_271_023_571_001
"""Key of the advisory lock that appends take: a number of this project, with no further meaning."""

_LONGEST_SILENCE: Final = "20s"
"""How long who holds that lock may leave the server without a word: less than others wait for a lock."""

_STREAM_ROWS: Final = 2_000

Row: TypeAlias = RowMapping | Mapping[str, Any]
"""An entry with its columns by name, from the database or from an export."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: what was done to what, and the facts of it."""

    action: str
    subject_type: str
    subject_id: str
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One entry as stored. `payload` is canonical JSON, the very text that was hashed."""

    seq: int
    prev_hash: str
    hash: str
    at: datetime
    actor: str
    actor_kind: str
    action: str
    subject_type: str
    subject_id: str
    payload: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The result of a verification: how many entries hold together, and the head of the chain."""

    entries: int
    head_hash: str


NOTHING: Final = Verified(entries=0, head_hash=GENESIS)
"""An empty log."""


def append(connection: Connection, event: Event, *, actor: str, at: datetime) -> None:
    """Append one entry; see `append_all`."""
    append_all(connection, [event], actor=actor, at=at)


def append_all(connection: Connection, events: Sequence[Event], *, actor: str, at: datetime) -> None:
    """Append entries to the chain, in the caller's transaction.

    Two transactions append one after the other, never at once. Needs READ COMMITTED, PostgreSQL's default:
    under a stricter level an append that had to wait would see an old head, and be refused by the unique
    key on `prev_hash`.

    Parameters
    ----------
    actor
        Who did it; names reserved for machines are recorded as such.
    at
        When, UTC-aware.
    """
    if not events:
        return
    silence = func.set_config("idle_in_transaction_session_timeout", _LONGEST_SILENCE, True)
    connection.execute(select(func.pg_advisory_xact_lock(_CHAIN_LOCK), silence))
    last = head(connection)
    seq, prev_hash = last.entries, last.head_hash
    who, kind = clean_name(actor), kind_of(actor)
    rows: list[dict[str, Any]] = []
    for event in events:
        seq += 1
        row = {
            "seq": seq,
            "prev_hash": prev_hash,
            "at": at,
            "actor": who,
            "actor_kind": kind,
            "action": event.action,
            "subject_type": event.subject_type,
            "subject_id": event.subject_id,
            "payload": canonical_json(dict(event.payload)),
        }
        prev_hash = _hash(row)
        rows.append({**row, "hash": prev_hash})
    connection.execute(insert(audit_log), rows)


def head(connection: Connection) -> Verified:
    """Return the number of the newest entry and its hash, without walking the chain."""
    newest = select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return NOTHING if row is None else Verified(entries=row.seq, head_hash=row.hash)


def verify(connection: Connection, *, after: Verified = NOTHING) -> Verified:
    """Walk the chain, in constant memory.

    Parameters
    ----------
    after
        Begin after this entry, whose hash was verified before; by default, at the first.

    Returns
    -------
    Verified
        The number of the last entry, and its hash.

    Raises
    ------
    AuditBroken
        At the first entry that is missing, was changed, or does not follow the one before it.
    """
    return walk(stream(connection, after=after.entries), after=after)


def stream(connection: Connection, *, after: int = 0) -> Iterator[Row]:
    """Read the log from an entry on, through a cursor of the server: never more than some thousand rows at once."""
    statement = select(audit_log).where(audit_log.c.seq > after).order_by(audit_log.c.seq)
    result = connection.execute(statement, execution_options={"yield_per": _STREAM_ROWS})
    return iter(result.mappings())


def walk(rows: Iterable[Row], *, after: Verified = NOTHING) -> Verified:
    """Walk entries in their order, wherever they come from.

    Raises
    ------
    AuditBroken
        At the first entry that is missing, was changed, or does not follow the one before it.
    """
    seq, prev_hash = after.entries, after.head_hash
    for row in rows:
        if row["seq"] != seq + 1:
            raise AuditBroken(
                f"the audit log breaks at entry {seq + 1}: it is missing, the next one is {row['seq']}; "
                "compare with a backup, and do not trust what was recorded since"
            )
        about = f"the audit log breaks at entry {row['seq']} ({row['action']} of {row['subject_id']})"
        if row["prev_hash"] != prev_hash:
            raise AuditBroken(
                f"{about}: it does not follow entry {seq}; compare with a backup, and do not trust what was recorded "
                "since"
            )
        if _hash(row) != row["hash"]:
            raise AuditBroken(
                f"{about}: its content was changed after it was written; compare with a backup, and do not trust what "
                "was recorded since"
            )
        seq, prev_hash = row["seq"], row["hash"]
    return Verified(entries=seq, head_hash=prev_hash)


def entries(
    connection: Connection,
    *,
    subject_id: str | None = None,
    action: str | None = None,
    actor: str | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Return the newest entries first.

    Parameters
    ----------
    subject_id, action, actor
        Only entries about this, of this kind ("proposal" matches "proposal.approve"), by this actor.
    """
    statement = select(audit_log).order_by(audit_log.c.seq.desc()).limit(limit)
    if subject_id is not None:
        statement = statement.where(audit_log.c.subject_id == subject_id)
    if action is not None:
        statement = statement.where(
            (audit_log.c.action == action) | audit_log.c.action.startswith(f"{action}.", autoescape=True)
        )
    if actor is not None:
        statement = statement.where(audit_log.c.actor == actor)
    return [AuditEntry(**row._asdict()) for row in connection.execute(statement)]


def _hash(row: Row) -> str:
    hashed = {
        "seq": row["seq"],
        "prev_hash": row["prev_hash"],
        "at": instant(row["at"]),
        "actor": row["actor"],
        "actor_kind": row["actor_kind"],
        "action": row["action"],
        "subject_type": row["subject_type"],
        "subject_id": row["subject_id"],
        "payload": row["payload"],
    }
    return hashlib.sha256(canonical_json(hashed).encode("utf-8")).hexdigest()
