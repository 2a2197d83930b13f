"""The audit log as a file: one canonical JSON object per line, which anybody can verify without the database."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import AuditBroken, InputError
from meta_pipeline.proposals.digests import instant
from meta_pipeline.store.audit import NOTHING, Row, Verified

FIELDS: Final = (
    *("seq", "prev_hash", "hash", "at", "actor", "actor_kind", "action", "subject_type", "subject_id", "payload"),
)


def write_export(rows: Iterable[Row], file: Path) -> int:
    """Write entries to a file that is not there yet, one at a time; return their number.

    Raises
    ------
    InputError
        If the file is there, or cannot be written.
    """
    written = 0
    try:
        with file.open("x", encoding="utf-8") as opened:
            for row in rows:
                fields = {name: instant(row["at"]) if name == "at" else row[name] for name in FIELDS}
                opened.write(canonical_json(fields) + "\n")
                written += 1
    except FileExistsError:
        raise InputError(f"{file} is there already; an export never overwrites, so choose another name") from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from error
    return written


def read_export(file: Path) -> tuple[Verified, Iterator[Mapping[str, Any]]]:
    """Read the entries of an export, one at a time.

    Returns
    -------
    tuple
        What the first entry claims to follow (of an export of the whole log: nothing), and the entries.

    Raises
    ------
    InputError
        If the file cannot be read.
    AuditBroken
        If a line is no entry.
    """
    entries = _entries(file)
    first = next(entries, None)
    if first is None:
        return NOTHING, iter(())
    before = Verified(entries=first["seq"] - 1, head_hash=first["prev_hash"])
    return (NOTHING if first["seq"] == 1 else before), chain([first], entries)


def _entries(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with file.open("r", encoding="utf-8") as opened:
            for number, line in enumerate(opened, start=1):
                yield _entry(line, number, file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error


def _entry(line: str, number: int, file: Path) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
        if set(entry) != set(FIELDS) or not isinstance(entry["seq"], int):
            raise ValueError("other fields")
        return {**entry, "at": datetime.fromisoformat(entry["at"])}
    except (TypeError, ValueError) as error:
        raise AuditBroken(f"line {number} of {file} is no entry of an audit log") from error
