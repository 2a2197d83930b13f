"""Proposals that wait for a person: read, and written as the table, the picture and the links that people act on.

Belongs here: what Dagster's metadata and `meta-pipeline nightly` both show. Does not belong here: how a cell or a
bar is drawn (report).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.decision_form import OpenProposal, launchpad_link
from meta_pipeline.proposals.candidate import Candidate
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import OPEN, Status
from meta_pipeline.report.approval import approval_sheet, evidence_of
from meta_pipeline.report.table import Column, Kind, Table
from meta_pipeline.report.tables import change_text, effect_text
from meta_pipeline.report.text import markdown, visible
from meta_pipeline.settings import Settings

if TYPE_CHECKING:
    from meta_pipeline.report.table import Cell

MAX_LINKED: Final = 25
"""Proposals in one link: browsers and proxies cut addresses that are much longer."""

MAX_LISTED: Final = 10
"""Proposals that get a row of their own in the metadata."""

MAX_WHY: Final = 160

MAX_SHEETS: Final = 6
"""Approval sheets that are written out; each is about a page."""


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
    """Show knob, change, effect with interval, grade, expected uplift, probability, and why; status if it differs."""
    columns = (
        Column(key="strategy", header="Strategy"),
        Column(key="knob", header="Knob"),
        Column(key="change", header="From → to"),
        Column(key="effect", header="Effect"),
        Column(key="grade", header="Grade"),
        Column(key="expected_uplift", header="Uplift", kind=Kind.SIGNED),
        Column(key="probability", header="P(better)", kind=Kind.PROBABILITY),
        Column(key="why", header="Why", under="effect"),
    )
    status = () if all(line.is_pending for line in lines) else (Column(key="status", header="Status"),)
    return Table(
        title="Proposals",
        columns=(*columns, *status),
        rows=tuple(_row(line) for line in lines),
        note=""
        if not lines
        else "Effect: on the annualised Sharpe ratio unless named. Uplift: expected of that ratio.",
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
        "why": why(line),
        "rationale": draft.rationale,
        "author": draft.author,
        "expires_at": line.record.expires_at.isoformat(),
    }


RISK_WORDS: Final = {"raises": "raises risk", "reduces": "reduces risk", "neutral": "neutral to risk"}


def why(line: OpenLine) -> str:
    """Write in one line what the proposal rests on; of a person's proposal, what that person says."""
    draft, candidate = line.record.draft, line.candidate
    risk = RISK_WORDS.get(draft.risk_change, "effect on risk unknown")
    if candidate is None:
        return f"{risk}; {draft.author}: {draft.rationale}"
    parts = [risk, f"{counted(candidate.effect.n_days, 'day')}, {counted(candidate.n_distinct, 'distinct run')}"]
    stability = candidate.stability
    if stability is not None and stability.sign_consistency is not None:
        known = sum(period.estimate is not None for period in stability.sub_periods)
        parts.append(f"sign held in {stability.sign_consistency * known:.0f} of {counted(known, 'period')}")
    volatility = candidate.risk_effect("volatility")
    if volatility is not None and volatility.estimate is not None:
        parts.append(f"volatility {100 * volatility.estimate:+.1f} %")
    return "; ".join(parts)


def open_picture(lines: Sequence[OpenLine]) -> bytes:
    """Draw the expected uplift of each open proposal, with its predictive interval, as a PNG."""
    from meta_pipeline.report.pictures import Bar, intervals_picture

    bars = [
        Bar(
            label=line.asked.summary,
            value=line.candidate.expected_uplift,
            lower=line.candidate.uplift_lower,
            upper=line.candidate.uplift_upper,
        )
        for line in lines
        if line.candidate is not None
    ]
    return intervals_picture(
        bars, title="Expected uplift of each open proposal", axis="annualised Sharpe ratio, with predictive interval"
    )


def decisions_due(lines: Sequence[OpenLine], *, location: str) -> dict[str, str]:
    """Write, for each pending proposal, what it claims and the link into the gate; and one link for all of them.

    Parameters
    ----------
    location
        Name of the code location in which the gate lives.

    Returns
    -------
    dict
        Change -> Markdown of less than a thousand characters, which the UI shows without a further click.
    """
    pending = [line for line in lines if line.is_pending][:MAX_LINKED]
    due = {visible(line.asked.summary): _claim(line, location) for line in pending[:MAX_LISTED]}
    if len(pending) > 1:
        link = launchpad_link(location, [line.asked for line in pending])
        due[f"all {len(pending)} that wait for a verdict"] = f"[approve or reject them in one form]({link})"
    return due


def _claim(line: OpenLine, location: str) -> str:
    row = _row(line)
    uplift, probability = line.record.draft.expected_sharpe_improvement, line.record.draft.confidence_score
    said = [] if row["effect"] is None else [str(row["effect"])]
    said += [f"grade {row['grade']}"] if row["grade"] else []
    said += [] if uplift is None else [f"expected uplift {uplift:+.2f}"]
    said += [] if probability is None else [f"P(better) {probability:.2f}"]
    said.append(why(line)[:MAX_WHY])
    return f"{markdown('; '.join(said))}  \n**[approve or reject]({launchpad_link(location, [line.asked])})**"


def sheets(
    connection: Connection, lines: Sequence[OpenLine], *, location: str, now: datetime, settings: Settings
) -> str:
    """Write, in Markdown, what an approver reads before a verdict, each sheet followed by its link into the gate.

    Parameters
    ----------
    location
        Name of the code location in which the gate lives.
    settings
        How long an approval will hold, and which rules there are.
    """
    from meta_pipeline.report.outcomes import track_record
    from meta_pipeline.store.governance import preview, standing
    from meta_pipeline.store.scorecards import scorecard

    scores = scorecard(connection)
    parts = []
    for line in [line for line in lines if line.is_pending][:MAX_SHEETS]:
        seen = preview(connection, line.record.proposal_id, now=now, settings=settings)
        sheet = approval_sheet(
            line.record,
            checks=seen.checks,
            touched=seen.touched,
            track_record=track_record(scores, line.record.draft.proposal_type),
            approval_hours=settings.approval_hours,
            standing=standing(connection, line.record.proposal_id, viewer=None, now=now, settings=settings),
        )
        parts.append(f"{sheet.markdown()}\n\n**[Decide]({launchpad_link(location, [line.asked])})**")
    return "\n\n---\n\n".join(parts)
