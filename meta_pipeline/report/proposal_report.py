"""The report of one proposal: the approval sheet with its charts, as one self-contained document.

It is written when the proposal is saved. Its sha256 is part of what is hashed and approved, so that what the approver
saw can always be shown again; what may change afterwards (status, checks, who decided) is on the page around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.standing import Standing
from meta_pipeline.report.approval import Section, TrackRecord, approval_sheet, evidence_of
from meta_pipeline.report.candidate_charts import contrasts_chart, relative_chart, slices_chart
from meta_pipeline.report.charts import equity_chart
from meta_pipeline.report.descriptive import scenarios_table
from meta_pipeline.report.downside import scenarios_of
from meta_pipeline.report.html import Chart, Part, document
from meta_pipeline.report.table import Table, day

Charts: TypeAlias = Mapping[str, tuple[Chart, ...]]
"""Part -> its charts."""

_ANCHORS: Final = ("change", "effect", "downside", "checks", "difference", "track-record", "exit-plan", "who")
_AS_PROPOSED: Final = (
    "As it was when it was proposed. The sha256 of this document is part of the digest that an approval names; the "
    "checks are made again when it is approved, and again when it is applied."
)
# Both name this very document, and could not stand in it.
_NOT_IN_FILE: Final = frozenset({"Digest", "Report, part of the digest"})


@dataclass(frozen=True, kw_only=True, eq=False)
class ProposalReport:
    """All that the report of one proposal says.

    Parameters
    ----------
    checks, touched
        Of a dry run: every check with its result, and the keys that would change.
    track_record
        Of proposals of this type, if outcomes are on record.
    equity
        The live configuration against the changed one, if their series were at hand.
    standing
        Who may decide, and what would be checked of whoever reads it; None in the file that is kept, which is for all.
    """

    record: ProposalRecord
    checks: Sequence[Check] = field(default=())
    touched: Sequence[TouchedKey] = field(default=())
    track_record: TrackRecord | None = None
    approval_hours: float | None = None
    equity: EquityComparison | None = None
    standing: Standing | None = None


def proposal_html(found: ProposalReport) -> bytes:
    """Return the report as one HTML document without scripts; the same input gives the same bytes."""
    record = found.record
    return document(
        title=f"Proposal {record.proposal_id}",
        subtitle=f"For {record.draft.strategy_id}, proposed on {day(record.created_at)}.",
        parts=_as_proposed(proposal_parts(found)),
        footer=(
            _AS_PROPOSED,
            f"Evidence {record.draft.evidence_digest}.",
        ),
    )


def proposal_parts(found: ProposalReport, charts: Charts | None = None) -> tuple[Part, ...]:
    """Return the eight parts of the approval page, in order; what is not known says so, and why.

    Parameters
    ----------
    charts
        What `proposal_charts` returned for this very body, if that is at hand.
    """
    record = found.record
    sheet = approval_sheet(
        record,
        checks=found.checks,
        touched=found.touched,
        track_record=found.track_record,
        approval_hours=found.approval_hours,
        standing=found.standing,
    )
    drawn = proposal_charts(record.draft, found.equity) if charts is None else charts
    further = {"downside": _scenarios(found)}
    return tuple(
        _part(section, anchor, drawn.get(anchor, ()), further.get(anchor, ()))
        for section, anchor in zip(sheet.sections, _ANCHORS, strict=True)
    )


def _scenarios(found: ProposalReport) -> tuple[Table, ...]:
    scenarios = scenarios_of(found.record.draft)
    return () if scenarios is None else (scenarios_table(scenarios, why="", against="the changed one"),)


def _part(section: Section, anchor: str, charts: tuple[Chart, ...], further: tuple[Table, ...]) -> Part:
    return Part(
        heading=section.heading,
        anchor=anchor,
        sentences=section.sentences,
        charts=charts,
        tables=(*(() if section.table is None else (section.table,)), *further),
        lead=anchor == "change",
    )


def proposal_charts(draft: ProposalDraft, equity: EquityComparison | None = None) -> Charts:
    """Draw the charts of a proposal, by the part that they belong to; they depend on nothing but what is proposed."""
    candidate = evidence_of(draft)
    if candidate is None:
        return {}
    effect: list[Chart | None] = [contrasts_chart(candidate), relative_chart(candidate)]
    effect.append(None if equity is None else equity_chart(equity))
    periods = candidate.stability.sub_periods if candidate.stability else ()
    downside = (
        slices_chart(candidate.regimes, name="by-regime", title="Effect by regime"),
        slices_chart(periods, name="by-period", title="Effect by sub-period"),
    )
    return {
        "effect": tuple(one for one in effect if one is not None),
        "downside": tuple(one for one in downside if one is not None),
    }


def _as_proposed(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(replace(part, tables=tuple(_without(table) for table in part.tables)) for part in parts)


def _without(table: Table) -> Table:
    kept: list[Any] = [row for row in table.rows if row.get("what") not in _NOT_IN_FILE]
    return replace(table, rows=tuple(row for row in kept if row.get("name") != "content"))
