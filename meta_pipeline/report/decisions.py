"""Tables of what is decided: stored proposals, decisions, applies, reverts, checks and touched keys.

Belongs here: columns for the records of governance. Does not belong here: candidates and evidence (tables), the
sheet that an approver reads (approval).
"""

from collections.abc import Sequence
from typing import Final

from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.decision import ApplyResult, DecisionResult, RevertResult
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.standing import Standing
from meta_pipeline.report.table import Cell, Column, Kind, Table, day
from meta_pipeline.report.tables import change_text, level_text

SHORT_DIGEST: Final = 8
"""Digits of a digest that a person types to decide."""


def stored_proposals_table(records: Sequence[ProposalRecord], *, title: str = "Proposals") -> Table:
    """Show stored proposals: id, strategy, knob, change, effect, grade, uplift, probability, risk, status, author."""
    return Table(
        title=title,
        columns=(
            Column(key="proposal_id", header="Proposal"),
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="grade", header="Grade"),
            Column(key="expected_uplift", header="Expected uplift", kind=Kind.SIGNED),
            Column(key="probability", header="P(better)", kind=Kind.PROBABILITY),
            Column(key="risk", header="Risk"),
            Column(key="status", header="Status"),
            Column(key="author", header="Author"),
            Column(key="expires", header="Lapses"),
            Column(key="digest", header="Digest"),
        ),
        rows=tuple(_proposal_row(record) for record in records),
        empty="No proposals.",
    )


def _proposal_row(record: ProposalRecord) -> dict[str, Cell]:
    draft = record.draft
    return {
        "proposal_id": record.proposal_id,
        "strategy": draft.strategy_id,
        "type": draft.proposal_type,
        "knob": draft.target_component,
        "change": change_text(draft.current, draft.proposed),
        "grade": draft.grade,
        "expected_uplift": draft.expected_sharpe_improvement,
        "probability": draft.confidence_score,
        "legacy_confidence": draft.legacy_confidence,
        "risk": draft.risk_change,
        "status": str(record.status),
        "author": f"{draft.author} ({draft.author_kind})",
        "expires": day(record.expires_at),
        "digest": record.body_digest[:SHORT_DIGEST],
        "why": draft.rationale,
    }


def checks_table(checks: Sequence[Check], *, title: str = "Checks") -> Table:
    """Show every check with its result and its sentence; failures are in capitals."""
    return Table(
        title=title,
        columns=(
            Column(key="name", header="Check"),
            Column(key="result", header="Result"),
            Column(key="text", header="What was found"),
        ),
        rows=tuple(
            {"name": check.name, "result": "passed" if check.passed else "FAILED", "text": check.text}
            for check in checks
        ),
        empty="No check was run.",
    )


def standing_table(standing: Standing, *, title: str = "Checks") -> Table:
    """Show every check of the acts that are open to a viewer, once, with the acts that ask it; failures in capitals."""
    asked: dict[tuple[str, bool, str], list[str]] = {}
    for prospect in standing.prospects:
        for check in prospect.checks:
            asked.setdefault((check.name, check.passed, check.text), []).append(prospect.act)
    return Table(
        title=title,
        columns=(
            Column(key="name", header="Check"),
            Column(key="asked", header="Asked to"),
            Column(key="result", header="Result now"),
            Column(key="text", header="What was found"),
        ),
        rows=tuple(
            {"name": name, "asked": ", ".join(acts), "result": "passes" if passed else "FAILS", "text": text}
            for (name, passed, text), acts in asked.items()
        ),
        empty="Nothing can be decided any more.",
    )


def touched_table(touched: Sequence[TouchedKey], *, title: str = "Exact difference") -> Table:
    """Show touched keys only, each with its direction of risk."""
    return Table(
        title=title,
        columns=(
            Column(key="path", header="Key"),
            Column(key="before", header="Before"),
            Column(key="after", header="After"),
            Column(key="risk", header="Risk"),
        ),
        rows=tuple(
            {
                "path": key.path,
                "before": level_text(key.before),
                "after": level_text(key.after),
                "risk": key.risk_change,
            }
            for key in touched
        ),
        empty="Nothing changes.",
    )


def decisions_table(results: Sequence[DecisionResult], *, title: str = "Decisions") -> Table:
    """Show what became of each decision; competing proposals and other notes go with the message."""
    return Table(
        title=title,
        columns=(
            Column(key="proposal_id", header="Proposal"),
            Column(key="verdict", header="Verdict"),
            Column(key="outcome", header="Outcome"),
            Column(key="status", header="Status"),
            Column(key="message", header="What happened"),
        ),
        rows=tuple(
            {
                "proposal_id": result.proposal_id,
                "verdict": result.verdict,
                "outcome": result.outcome,
                "status": result.status,
                "approval_expires": day(result.approval_expires_at),
                "message": " ".join((result.message, *result.notes)),
            }
            for result in results
        ),
        empty="No decision was handed in.",
    )


def applies_table(results: Sequence[ApplyResult], *, title: str = "Applied changes") -> Table:
    """Show what became, or would become, of each proposal; notes go with the message."""
    return Table(
        title=title,
        columns=(
            Column(key="proposal_id", header="Proposal"),
            Column(key="outcome", header="Outcome"),
            Column(key="change_id", header="Change"),
            Column(key="versions", header="Version"),
            Column(key="risk", header="Risk"),
            Column(key="message", header="What happened"),
        ),
        rows=tuple(
            {
                "proposal_id": result.proposal_id,
                "outcome": result.outcome,
                "change_id": result.change_id,
                "versions": _versions(result.base_version, result.new_version),
                "risk": result.risk_change,
                "message": " ".join((result.message, *result.notes)),
            }
            for result in results
        ),
        empty="Nothing was to be applied.",
    )


def reverts_table(results: Sequence[RevertResult], *, title: str = "Reverts") -> Table:
    """Show what became, or would become, of each revert; a three-way difference goes with the message."""
    return Table(
        title=title,
        columns=(
            Column(key="change_id", header="Change"),
            Column(key="outcome", header="Outcome"),
            Column(key="versions", header="Version"),
            Column(key="risk", header="Risk"),
            Column(key="message", header="What happened"),
        ),
        rows=tuple(
            {
                "change_id": result.change_id,
                "outcome": result.outcome,
                "versions": _versions(result.base_version, result.new_version),
                "risk": result.risk_change,
                "message": result.message
                if result.three_way is None
                else f"{result.message} {result.three_way.text()}",
            }
            for result in results
        ),
        empty="Nothing was to be reverted.",
    )


def _versions(before: int | None, after: int | None) -> str | None:
    if before is None and after is None:
        return None
    return " → ".join("?" if version is None else str(version) for version in (before, after))
