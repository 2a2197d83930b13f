"""Anchors of the audit log, outside the database: what its head was, and when.

A chain shows that nothing in it was changed. That its tail was cut off, or that a backup of last week was restored and
went on from there, it cannot show: such a chain holds together. An anchor is a small file that names an entry and its
hash; a log that lacks that entry, or has another one in its place, is not the log that was anchored, but a fork.
Each anchor is a file of its own that is written once: in a folder, or in any object store that fsspec knows.

A restore is legitimate at times. Then an operator seals the log anew: that writes an entry with the reason, and an
anchor of a new generation; anchors of earlier generations count up to where the log still agreed with them.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, select

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import AuditForked, InputError, NothingToDo, NotPermitted, Unhealthy
from meta_pipeline.proposals.digests import instant
from meta_pipeline.proposals.identity import clean_reason, is_machine
from meta_pipeline.proposals.roles import Power
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, people
from meta_pipeline.store.schema import audit_log

FORMAT: Final = 1
FOLDER: Final = "audit-anchors"
SEAL: Final = "audit.reseal"
_COLUMNS = audit_log.c


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """One entry of the log, as it was noted down outside the database.

    Parameters
    ----------
    seq, entry_hash
        The entry's number and hash; 0 and `audit.GENESIS` for an empty log.
    generation
        Rises by one with every reseal.
    agreed_until
        Of a reseal: the last entry in which the log agreed with the anchors before. Later ones of earlier generations
        do not count any more.
    """

    seq: int
    entry_hash: str
    at: datetime
    generation: int = 1
    agreed_until: int | None = None
    reason: str = ""

    def name(self) -> str:
        """Return the name of its file; names sort like the anchors."""
        return f"anchor-{self.generation:06d}-{self.seq:015d}-{self.entry_hash[:12]}.json"

    def text(self) -> str:
        """Return the content of its file."""
        body: dict[str, JsonValue] = {
            "format": FORMAT,
            "seq": self.seq,
            "hash": self.entry_hash,
            "at": instant(self.at),
            "generation": self.generation,
            "agreed_until": self.agreed_until,
            "reason": self.reason,
        }
        return canonical_json(body) + "\n"


class Place(Protocol):
    """Where anchors are kept."""

    def names(self) -> list[str]:
        """Return the names of all files."""

    def read(self, name: str) -> str:
        """Return the content of one."""

    def write(self, name: str, text: str) -> None:
        """Write one that is not there yet."""


class FolderPlace:
    """A folder. A file appears whole or not at all, and is on disk when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def names(self) -> list[str]:
        """Return the names of all files; none if the folder is not there yet."""
        try:
            return sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []

    def read(self, name: str) -> str:
        """Return the content of one."""
        return (self._folder / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write one; what is there already is left as it is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / f".{name}.{os.getpid()}"
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o444)
        beside.replace(self._folder / name)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class ObjectPlace:
    """An object store, by fsspec. Give it versioning and a retention lock, and nobody can take an anchor away."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise InputError(f"{address} needs the package fsspec: pip install 'meta-pipeline[objects]'") from error
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise InputError(f"fsspec cannot open {address.partition('?')[0]}: {error}") from error

    def __str__(self) -> str:
        return str(self._root)

    def names(self) -> list[str]:
        """Return the names of all objects below the address."""
        with _as_os_errors():
            self._files.invalidate_cache()
            try:
                found: list[str] = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(name.rsplit("/", maxsplit=1)[-1] for name in found)

    def read(self, name: str) -> str:
        """Return the content of one."""
        with _as_os_errors():
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
        return content.decode("utf-8")

    def write(self, name: str, text: str) -> None:
        """Write one, in one request."""
        with _as_os_errors():
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/{name}", text.encode("utf-8"))


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise what a store's own library raises (no credentials, no route) as the OSError that a folder would raise."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def place_of(settings: Settings) -> Place:
    """Return where the settings keep anchors.

    Raises
    ------
    InputError
        If the address needs a package that is not installed, or is none.
    """
    address = settings.audit_anchor
    if address is None:
        return FolderPlace(settings.home / FOLDER)
    return ObjectPlace(address) if "://" in address else FolderPlace(Path(address))


def read_anchors(place: Place) -> list[Anchor]:
    """Return the anchors that count, by entry.

    Raises
    ------
    Unhealthy
        If the place or an anchor cannot be read: then nothing can be said of the log.
    """
    try:
        found = [_parsed(name, place.read(name)) for name in place.names() if name.startswith("anchor-")]
    except OSError as error:
        raise Unhealthy(f"the audit anchors in {place} cannot be read: {error}") from error
    # A reseal ends what came before it from the entry on in which the log no longer agreed.
    cuts = [(one.generation, one.agreed_until) for one in found if one.agreed_until is not None]
    counting = [
        one for one in found if all(one.generation >= generation or one.seq <= until for generation, until in cuts)
    ]
    return sorted(counting, key=lambda one: (one.seq, one.generation))


def check_anchor(connection: Connection, anchor: Anchor) -> None:
    """Check that the log has the entry that was anchored.

    Raises
    ------
    AuditForked
        If it ends before, or has another entry in its place.
    """
    if anchor.seq == 0:
        return
    row = connection.execute(select(_COLUMNS.hash, _COLUMNS.action).where(_COLUMNS.seq == anchor.seq)).one_or_none()
    if row is None:
        last = audit.head(connection)
        raise AuditForked(
            f"the audit log ends at entry {last.entries}, but entry {anchor.seq} was anchored on "
            f"{anchor.at:%Y-%m-%d %H:%M} UTC: its tail was cut off, or a backup was restored. {_WAY_OUT}"
        )
    if row.hash != anchor.entry_hash:
        raise AuditForked(
            f"entry {anchor.seq} of the audit log has the hash {row.hash[:12]}..., but {anchor.entry_hash[:12]}... was "
            f"anchored on {anchor.at:%Y-%m-%d %H:%M} UTC: it is another log, a fork. {_WAY_OUT}"
        )
    if anchor.agreed_until is not None and row.action != SEAL:
        raise AuditForked(f"anchor {anchor.name()} claims a reseal that the audit log does not have; it is forged")


def verify_anchored(connection: Connection, anchors: Sequence[Anchor], *, since_last: bool = False) -> audit.Verified:
    """Walk the chain, and hold it against every anchor.

    Parameters
    ----------
    since_last
        Begin at the last anchored entry: what is before it was walked when it was anchored.

    Raises
    ------
    AuditBroken
        At the first entry that does not hold.
    AuditForked
        If the chain holds, and is not the one that was anchored.
    """
    for anchor in anchors[-1:] if since_last else anchors:
        check_anchor(connection, anchor)
    start = anchors[-1] if since_last and anchors else None
    if start is None:
        return audit.verify(connection)
    return audit.verify(connection, after=audit.Verified(entries=start.seq, head_hash=start.entry_hash))


def held_against(rows: Iterable[audit.Row], anchors: Sequence[Anchor]) -> Iterator[audit.Row]:
    """Pass entries on, and hold each against the anchors of its number.

    Raises
    ------
    AuditForked
        At the first entry that is another than was anchored.
    """
    noted = {(anchor.seq, anchor.entry_hash): anchor for anchor in anchors}
    numbers = {anchor.seq for anchor in anchors}
    for row in rows:
        if row["seq"] in numbers and (row["seq"], row["hash"]) not in noted:
            raise AuditForked(
                f"entry {row['seq']} has the hash {row['hash'][:12]}..., and another was anchored: it is another log"
            )
        yield row


def anchor_head(connection: Connection, settings: Settings, *, now: datetime) -> Anchor:
    """Verify what is new since the last anchor, and anchor the head.

    Returns
    -------
    Anchor
        The new one, or the last one if nothing was recorded since.

    Raises
    ------
    AuditBroken, AuditForked
        If the log does not verify: what cannot be trusted is not anchored.
    Unhealthy
        If the anchor cannot be read or written.
    """
    place = place_of(settings)
    anchors = read_anchors(place)
    verified = verify_anchored(connection, anchors, since_last=True)
    last = anchors[-1] if anchors else None
    if last is not None and last.seq == verified.entries:
        return last
    made = Anchor(
        seq=verified.entries,
        entry_hash=verified.head_hash,
        at=now,
        generation=1 if last is None else max(one.generation for one in anchors),
    )
    _write(place, made)
    return made


def reseal(connection: Connection, settings: Settings, *, reason: str, actor: str, now: datetime) -> Anchor:
    """Accept a log that is a fork of what was anchored, after a restore: recorded in the log, with the reason.

    The caller commits the entry only after this returns; an anchor of an entry that was not committed is a fork of its
    own, which another reseal mends.

    Raises
    ------
    AuditBroken
        If the chain itself does not hold: that no reseal mends.
    NothingToDo
        If the log is the one that was anchored.
    NotPermitted
        If the actor is a machine, or no operator where there are operators.
    """
    if is_machine(actor):
        raise NotPermitted(f"{actor!r} is a name reserved for machines; the log is sealed by a person")
    people.require(connection, actor, Power.SEAL)
    why = clean_reason(reason, what="the reseal")
    place = place_of(settings)
    anchors = read_anchors(place)
    audit.verify(connection)
    agreed, lost = 0, []
    for anchor in anchors:
        try:
            check_anchor(connection, anchor)
            agreed = max(agreed, anchor.seq)
        except AuditForked:
            lost.append(anchor)
    if not lost:
        raise NothingToDo("the audit log is the one that was anchored; there is nothing to reseal")
    event = audit.Event(
        action=SEAL,
        subject_type="audit",
        subject_id="log",
        payload={
            "reason": why,
            "agreed_until": agreed,
            "abandoned": [{"seq": one.seq, "hash": one.entry_hash, "at": instant(one.at)} for one in lost[-20:]],
        },
    )
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.SEAL)
    head = audit.head(connection)
    sealed = Anchor(
        seq=head.entries,
        entry_hash=head.head_hash,
        at=now,
        generation=max(one.generation for one in anchors) + 1,
        agreed_until=agreed,
        reason=why,
    )
    _write(place, sealed)
    return sealed


def _write(place: Place, anchor: Anchor) -> None:
    try:
        place.write(anchor.name(), anchor.text())
    except OSError as error:
        raise Unhealthy(f"the audit anchor cannot be written to {place}: {error}") from error


def _parsed(name: str, text: str) -> Anchor:
    try:
        body = json.loads(text)
        return Anchor(
            seq=int(body["seq"]),
            entry_hash=str(body["hash"]),
            at=datetime.fromisoformat(body["at"]),
            generation=int(body["generation"]),
            agreed_until=None if body["agreed_until"] is None else int(body["agreed_until"]),
            reason=str(body["reason"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unhealthy(
            f"the audit anchor {name} cannot be read ({type(error).__name__}); compare it with a copy, and remove it "
            "if it never was one"
        ) from error


_WAY_OUT: Final = (
    "Look for who did it and when; if it was a restore that you know of: meta-pipeline audit reseal --reason WHY"
)
