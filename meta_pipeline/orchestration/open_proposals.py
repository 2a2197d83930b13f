"""Proposals that wait for a person: read, and written as the table, the picture and the links that people act on.

Belongs here: what Dagster's metadata and `meta-pipeline nightly` both show. Does not belong here: how a cell or a
bar is drawn (report).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from meta_pipeline.orchestration.decision_form import OpenProposal, launchpad_link
from meta_pipeline.proposals.candidate import Candidate
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import OPEN, Status
from meta_pipeline.report.approval import evidence_of
from meta_pipeline.report.table import Column, Kind, Table
from meta_pipeline.report.tables import change_text, effect_text
from meta_pipeline.report.text import markdown

if TYPE_CHECKING:
    from meta_pipeline.report.table import Cell

MAX_LINKED: Final = 25
"""Proposals in one link: browsers and proxies cut addresses that are much longer."""


@dataclass(frozen=True, kw_only=True)
class OpenLine:
    """A proposal that is pending or approved, with the candidate it rests on; people propose without one."""

    record: ProposalRecord
    candidate: Candidate | None

    @property
    def change(self) -> str:
        """Knob, present value and proposed value."""
        draft = self.record.draft
        return f"{draft.target_component} {change_text(draft.current, draft.proposed)}"

    @property
    def asked(self) -> OpenProposal:
        """What the gate's form says about it."""
        return OpenProposal(
            proposal_id=self.record.proposal_id,
            digest=self.record.body_digest,
            summary=f"{self.record.draft.strategy_id}: {self.change}",
        )

    @property
    def holds_until(self) -> datetime:
        """When the proposal lapses, or its approval."""
        return self.record.expires_at if self.is_pending else self.record.approval_expires_at or self.record.expires_at

    @property
    def is_pending(self) -> bool:
        """Whether nobody has decided yet."""
        return self.record.status is Status.PENDING


def read_open(connection: Connection, *, now: datetime, strategy_id: str | None = None) -> list[OpenLine]:
    """Read the proposals that are pending or approved and have not lapsed: by strategy, the largest claim first."""
    from meta_pipeline.store.proposals import list_proposals

    found = list_proposals(connection, strategy_id=strategy_id, status=OPEN)
    lines = [OpenLine(record=record, candidate=evidence_of(record.draft)) for record in found]
    return sorted((line for line in lines if line.holds_until > now), key=_order)


def _order(line: OpenLine) -> tuple[str, float, str]:
    draft = line.record.draft
    return draft.strategy_id, -(draft.expected_sharpe_improvement or 0.0), line.record.proposal_id


def open_table(lines: Sequence[OpenLine]) -> Table:
    """Show knob, change, effect with interval, grade, expected uplift, probability, risk, status and why."""
    return Table(
        title="Proposals",
        columns=(
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="effect", header="Effect on Sharpe ratio"),
            Column(key="grade", header="Grade"),
            Column(key="expected_uplift", header="Expected uplift", kind=Kind.SIGNED),
            Column(key="probability", header="P(better)", kind=Kind.PROBABILITY),
            Column(key="risk", header="Risk"),
            Column(key="status", header="Status"),
            Column(key="why", header="Why"),
        ),
        rows=tuple(_row(line) for line in lines),
        empty="No proposal is open.",
    )


def _row(line: OpenLine) -> "dict[str, Cell]":
    draft = line.record.draft
    return {
        "proposal": line.record.proposal_id,
        "digest": line.record.body_digest,
        "strategy": draft.strategy_id,
        "knob": draft.target_component,
        "change": change_text(draft.current, draft.proposed),
        "effect": None if line.candidate is None else effect_text(line.candidate.effect),
        "grade": draft.grade,
        "expected_uplift": draft.expected_sharpe_improvement,
        "probability": draft.confidence_score,
        "risk": draft.risk_change,
        "status": str(line.record.status),
        "why": draft.rationale,
        "author": draft.author,
        "expires_at": line.record.expires_at.isoformat(),
    }


def open_picture(lines: Sequence[OpenLine]) -> bytes:
    """Draw the effect of each open proposal on the Sharpe ratio, with its interval, as a PNG."""
    from meta_pipeline.report.pictures import Bar, intervals_picture

    bars = [
        Bar(
            label=f"{line.record.draft.strategy_id}  {line.change}",
            value=line.candidate.effect.estimate,
            lower=line.candidate.effect.lower,
            upper=line.candidate.effect.upper,
        )
        for line in lines
        if line.candidate is not None and line.candidate.effect.metric == "sharpe_ratio"
    ]
    return intervals_picture(bars, title="Proposed changes", axis="change of the annualised Sharpe ratio")


def gate_links(lines: Sequence[OpenLine], *, location: str) -> str:
    """Write Markdown links into the gate: one for all pending proposals, and one for each.

    Parameters
    ----------
    location
        Name of the code location in which the gate lives.
    """
    pending = [line.asked for line in lines if line.is_pending]
    if not pending:
        return "No proposal waits for a verdict."
    rows = [f"- [{markdown(asked.summary)}]({launchpad_link(location, [asked])})" for asked in pending[:MAX_LINKED]]
    rows += [f"- {len(pending) - MAX_LINKED} more: `meta-pipeline proposals list`"] if len(pending) > MAX_LINKED else []
    if len(pending) > 1:
        shown = pending[:MAX_LINKED]
        rows.insert(0, f"**[Decide on {len(shown)} proposals]({launchpad_link(location, shown)})**\n")
    return "\n".join(rows)
