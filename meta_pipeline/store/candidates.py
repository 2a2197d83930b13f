"""Candidates, kept: all of them, also those that a rule stopped.

A candidate is written once, under the digest of what it changes and on which evidence. When the same
evidence comes back (a change was reverted), its candidates are not written anew, but count as the latest again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.proposals.candidate import Candidate, Proposed
from meta_pipeline.proposals.candidate_json import candidate_from_json
from meta_pipeline.store.schema import candidates as table

MAX_PATH: Final = 256
"""Width of the column `knob_path`. A longer path is cut there; the body holds it whole."""


@dataclass(frozen=True, kw_only=True)
class StoredCandidate:
    """A candidate as it is stored.

    Parameters
    ----------
    created_at, seen_at
        When it was first found, and when last.
    """

    candidate_id: str
    strategy_id: str
    evidence_digest: str
    candidate: Candidate
    created_at: datetime
    seen_at: datetime


def write_candidates(connection: Connection, proposed: Proposed, *, strategy_id: str, now: datetime) -> tuple[str, ...]:
    """Write every candidate of a campaign, proposed and suppressed.

    Returns
    -------
    tuple of str
        The ids, in the order of `proposed.candidates`. Writing the same again adds nothing.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If there is no such strategy.
    """
    rows = [
        _row(candidate, strategy_id=strategy_id, evidence_digest=proposed.evidence_digest, now=now)
        for candidate in proposed.candidates
    ]
    ids = tuple(row["candidate_id"] for row in rows)
    if rows:
        written = insert(table)
        again = {"seen_at": func.greatest(table.c.seen_at, written.excluded.seen_at)}
        connection.execute(written.on_conflict_do_update(index_elements=[table.c.candidate_id], set_=again), rows)
    return ids


def _row(candidate: Candidate, *, strategy_id: str, evidence_digest: str, now: datetime) -> dict[str, Any]:
    return {
        "candidate_id": candidate.candidate_id(strategy_id=strategy_id, evidence_digest=evidence_digest),
        "strategy_id": strategy_id,
        "evidence_digest": evidence_digest,
        "knob_path": candidate.knob[:MAX_PATH],
        "from_value": candidate.from_value,
        "to_value": candidate.to_value,
        "grade": str(candidate.grade),
        "suppressed_by": None if candidate.suppressed_by is None else str(candidate.suppressed_by),
        "body": candidate.to_json(),
        "created_at": now,
        "seen_at": now,
    }


def latest_evidence(connection: Connection, strategy_id: str) -> str | None:
    """Return the digest of the evidence that was looked at last, or None if there are no candidates."""
    newest = (
        select(table.c.evidence_digest)
        .where(table.c.strategy_id == strategy_id)
        .order_by(table.c.seen_at.desc(), table.c.evidence_digest)
        .limit(1)
    )
    found: str | None = connection.execute(newest).scalar_one_or_none()
    return found


def read_candidates(
    connection: Connection, strategy_id: str, *, evidence_digest: str | None = None
) -> Sequence[StoredCandidate]:
    """Read the candidates of one campaign's evidence.

    Parameters
    ----------
    evidence_digest
        Which evidence; None: what was looked at last.

    Returns
    -------
    sequence of StoredCandidate
        Proposals first, by expected uplift; then the suppressed, by knob and value. Empty if there are none.
    """
    wanted = evidence_digest or latest_evidence(connection, strategy_id)
    if wanted is None:
        return ()
    rows = connection.execute(
        _selected().where(table.c.strategy_id == strategy_id, table.c.evidence_digest == wanted)
    ).all()
    return sorted((_stored(row) for row in rows), key=_order)


def read_candidate(connection: Connection, candidate_id: str) -> StoredCandidate | None:
    """Read one candidate by its id, or None if there is none."""
    row = connection.execute(_selected().where(table.c.candidate_id == candidate_id)).one_or_none()
    return None if row is None else _stored(row)


def suppressed_counts(
    connection: Connection, strategy_id: str, *, evidence_digest: str | None = None
) -> dict[str, int]:
    """Return how many candidates each rule stopped, most frequent first.

    Parameters
    ----------
    evidence_digest
        Which evidence; None: what was looked at last.
    """
    wanted = evidence_digest or latest_evidence(connection, strategy_id)
    number = func.count()
    rows = connection.execute(
        select(table.c.suppressed_by, number)
        .where(
            table.c.strategy_id == strategy_id,
            table.c.evidence_digest == wanted,
            table.c.suppressed_by.is_not(None),
        )
        .group_by(table.c.suppressed_by)
        .order_by(number.desc(), table.c.suppressed_by)
    ).all()
    return {str(rule): int(count) for rule, count in rows}


def _selected() -> Select[Any]:
    return select(
        table.c.candidate_id,
        table.c.strategy_id,
        table.c.evidence_digest,
        table.c.body,
        table.c.created_at,
        table.c.seen_at,
    )


def _stored(row: Row[Any]) -> StoredCandidate:
    return StoredCandidate(
        candidate_id=row.candidate_id,
        strategy_id=row.strategy_id,
        evidence_digest=row.evidence_digest,
        candidate=candidate_from_json(row.body),
        created_at=row.created_at,
        seen_at=row.seen_at,
    )


def _order(stored: StoredCandidate) -> tuple[bool, float, str, str]:
    candidate = stored.candidate
    uplift = candidate.expected_uplift if candidate.is_proposal else None
    return (not candidate.is_proposal, -(uplift or 0.0), candidate.knob, stored.candidate_id)
