"""Lists of pages: cells that may lead somewhere, and the records that they show."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meta_pipeline.api.web.pages import link
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import OPEN
from meta_pipeline.report.table import MISSING, day
from meta_pipeline.report.tables import change_text
from meta_pipeline.store.audit import AuditEntry
from meta_pipeline.store.changes import ChangeRecord

SHORT_ID: Final = 11
LONGEST_PAYLOAD: Final = 300
"""Characters of a payload in a list; the whole is in the database and in the API."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: its text, where it leads, and how it is shown."""

    text: str
    href: str | None = None
    chip: bool = False
    number: bool = False
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A list: headers, rows of cells, and what is said where there are none."""

    name: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str


def figure(value: float | None, form: str = "+z.2f") -> Cell:
    """Write a figure; one that is not known says so."""
    return Cell(text=MISSING if value is None else format(value, form), number=True)


def moment(at: object) -> Cell:
    """Write a time."""
    return Cell(text=day(at) or MISSING)  # type: ignore[arg-type]  # a time, a day, or nothing


def proposals_grid(records: Sequence[ProposalRecord], *, empty: str = "No proposal is in this list.") -> Grid:
    """List proposals, each with a link to its page."""
    return Grid(
        name="Proposals",
        headers=(
            *("Proposal", "Strategy", "Knob", "From → to", "Risk", "Grade"),
            *("Expected uplift", "P(better)", "Status", "Author", "Lapses"),
        ),
        rows=tuple(_proposal(one) for one in records),
        empty=empty,
    )


def _proposal(record: ProposalRecord) -> tuple[Cell, ...]:
    draft = record.draft
    return (
        Cell(text=_short(record.proposal_id), href=link(f"proposals/{record.proposal_id}"), code=True),
        Cell(text=draft.strategy_id, href=link("strategy", id=draft.strategy_id)),
        Cell(text=draft.target_component),
        Cell(text=change_text(draft.current, draft.proposed), code=True),
        Cell(text=draft.risk_change, chip=True),
        Cell(text=draft.grade or MISSING, chip=draft.grade is not None),
        figure(draft.expected_sharpe_improvement),
        figure(draft.confidence_score, "z.2f"),
        Cell(text=str(record.status), chip=True),
        Cell(text=draft.author),
        moment(record.expires_at.date()) if record.status in OPEN else Cell(text="-"),
    )


def changes_grid(records: Sequence[ChangeRecord], *, empty: str = "No change is in this list.") -> Grid:
    """List applied changes, each with a link to its page."""
    return Grid(
        name="Changes",
        headers=("Change", "Strategy", "Knob", "From → to", "Risk", "Version", "Applied", "By", "Outcome", "State"),
        rows=tuple(_change(one) for one in records),
        empty=empty,
    )


def _change(record: ChangeRecord) -> tuple[Cell, ...]:
    return (
        Cell(text=_short(record.change_id), href=link(f"changes/{record.change_id}"), code=True),
        Cell(text=record.strategy_id, href=link("strategy", id=record.strategy_id)),
        Cell(text=record.target_component),
        Cell(text=change_text(record.previous_value, record.new_value), code=True),
        Cell(text=record.risk_change, chip=True),
        Cell(text=f"{record.base_version} → {record.new_version}"),
        moment(record.applied_at),
        Cell(text=record.applied_by),
        Cell(text=record.outcome_verdict or "not judged yet", chip=record.outcome_verdict is not None),
        Cell(text="REVERTED" if record.is_reverted else "in force", chip=True),
    )


def entries_grid(entries: Sequence[AuditEntry]) -> Grid:
    """List audit entries, each with the hash that the next one is chained to."""
    return Grid(
        name="Audit entries",
        headers=("Entry", "When", "Who", "Action", "Subject", "Payload", "Hash"),
        rows=tuple(
            (
                *_happened(one),
                Cell(text=_short(one.subject_id), href=link("audit", subject=one.subject_id), code=True),
                Cell(text=_brief(one.payload), code=True),
                Cell(text=one.hash[:12], code=True),
            )
            for one in entries
        ),
        empty="No entry is in this list.",
    )


def history_grid(entries: Sequence[AuditEntry]) -> Grid:
    """List what happened to one thing, the newest first, with the reason that was given."""
    return Grid(
        name="What has happened",
        headers=("Entry", "When", "Who", "Action", "Reason"),
        rows=tuple((*_happened(one), Cell(text=_reason(one) or "-")) for one in entries),
        empty="Nothing yet.",
    )


def _happened(entry: AuditEntry) -> tuple[Cell, ...]:
    return (
        Cell(text=f"{entry.seq:,}", href=link("audit", subject=entry.subject_id), number=True),
        moment(entry.at),
        Cell(text=f"{entry.actor} ({entry.actor_kind})"),
        Cell(text=entry.action),
    )


def _reason(entry: AuditEntry) -> str:
    return str(json.loads(entry.payload).get("reason") or "")


def _short(name: str) -> str:
    """Cut an id to the digits that the command line takes for it, too; names that are none of ours stay whole."""
    ours = name.startswith(("prop-", "chg-"))
    return name[: SHORT_ID + name.index("-")] if ours else name


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST_PAYLOAD else text[:LONGEST_PAYLOAD] + "…"
