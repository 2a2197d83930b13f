"""The sheet that an approver reads, in the order in which a decision is made.

What changes, in one sentence; what it is expected to bring; the downside; the checks; the exact difference; the
track record; the way back; who. What is not known is said to be unknown, and never left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meta_pipeline.canonical import ABSENT
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.influence import SHARPE_RATIO as SHARPE
from meta_pipeline.outcomes.plan import exit_plan
from meta_pipeline.proposals.candidate import Candidate, Effect
from meta_pipeline.proposals.candidate_json import candidate_from_json
from meta_pipeline.proposals.checks import Check
from meta_pipeline.proposals.diff import TouchedKey, sentence
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.standing import Standing
from meta_pipeline.report.decisions import checks_table, standing_table, touched_table
from meta_pipeline.report.downside import downside_rows
from meta_pipeline.report.search_evidence import evidence_rows
from meta_pipeline.report.table import MISSING, Cell, Column, Table, day, interval
from meta_pipeline.report.tables import METHOD_NAMES, METRIC_NAMES, effect_text, estimate_text, level_text, size_text
from meta_pipeline.report.text import markdown, visible

if TYPE_CHECKING:
    from rich.console import Group

_FACTS: Final = (Column(key="what", header="What"), Column(key="value", header="Value"))


@dataclass(frozen=True, kw_only=True)
class TrackRecord:
    """What proposals of this kind claimed, and what they brought.

    Parameters
    ----------
    n_outcomes
        Ended outcomes.
    claimed, realised
        Means, in annualised Sharpe ratio.
    lower, upper
        Interval of the realised mean, or None.
    n_joint, jointly
        Changes of this kind that were applied together with others of other kinds, and the record of all such sets.
    """

    n_outcomes: int
    claimed: float | None = None
    realised: float | None = None
    lower: float | None = None
    upper: float | None = None
    n_joint: int = 0
    jointly: "TrackRecord | None" = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the sheet: a heading, sentences, and perhaps a table."""

    heading: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The whole sheet of one proposal."""

    title: str
    sections: tuple[Section, ...]

    def markdown(self) -> str:
        """Return the sheet in Markdown."""
        parts = [f"## {markdown(self.title)}"]
        for number, section in enumerate(self.sections, start=1):
            parts.append(f"### {number}\\. {markdown(section.heading)}")
            parts += [markdown(line) for line in section.sentences]
            parts += [section.table.markdown()] if section.table else []
        return "\n\n".join(parts)

    def rich(self) -> "Group":
        """Return the sheet for a terminal; texts in it are literal."""
        from rich.console import Group
        from rich.text import Text

        parts: list[Text | Group] = [Text(visible(self.title), style="bold"), Text()]
        for number, section in enumerate(self.sections, start=1):
            parts.append(Text(f"{number}. {visible(section.heading)}", style="bold"))
            parts += [Text(visible(line)) for line in section.sentences]
            parts += [section.table.body()] if section.table else []
            parts.append(Text())
        return Group(*parts)


def approval_sheet(
    record: ProposalRecord,
    *,
    checks: Sequence[Check] = (),
    touched: Sequence[TouchedKey] = (),
    out_of_sample: Effect | None = None,
    track_record: TrackRecord | None = None,
    approval_hours: float | None = None,
    standing: Standing | None = None,
) -> Sheet:
    """Write the sheet of one proposal.

    Parameters
    ----------
    record
        The proposal.
    checks, touched
        Of a dry run: every check with its result, and the keys that would change.
    out_of_sample
        The effect on days after the evidence, if they were replayed.
    track_record
        Of proposals of this type, if outcomes are on record.
    approval_hours
        How long an approval will hold.
    standing
        Who may decide, and what would be checked of the acts of whoever reads the sheet. With acts in it, these are the
        checks that are shown.
    """
    draft = record.draft
    candidate = evidence_of(draft)
    return Sheet(
        title=f"Proposal {record.proposal_id} ({record.status})",
        sections=(
            Section(heading="The change", sentences=(_sentence(draft), *_why(draft))),
            Section(heading="Effect", table=_facts(_effect_rows(draft, candidate, out_of_sample))),
            Section(heading="Downside", table=_facts(downside_rows(draft, candidate))),
            _checks(checks, standing),
            Section(heading="Exact difference", table=touched_table(touched or _stated(draft))),
            Section(heading="Track record", sentences=(_track_record(draft, track_record),)),
            Section(heading="Exit plan", sentences=_exit_plan(draft, candidate)),
            Section(heading="Who", table=_facts(_who(record, approval_hours, standing))),
        ),
    )


def _checks(checks: Sequence[Check], standing: Standing | None) -> Section:
    if standing is None or not standing.prospects:
        return Section(heading="Checks", table=checks_table(checks))
    return Section(heading="Checks", sentences=standing.sentences(), table=standing_table(standing))


def evidence_of(draft: ProposalDraft) -> Candidate | None:
    """Return the engine's candidate that a proposal carries, or None if it carries none."""
    if "effect" not in draft.supporting_metrics:
        return None
    try:
        return candidate_from_json(draft.supporting_metrics)
    except InputError:
        return None


def _sentence(draft: ProposalDraft) -> str:
    return sentence(
        strategy_id=draft.strategy_id,
        path=draft.target_component,
        before=draft.current,
        after=draft.proposed,
        risk_change=draft.risk_change,
    )


def _why(draft: ProposalDraft) -> tuple[str, ...]:
    return (f"Why: {draft.rationale}",) if draft.rationale.strip() else ()


def _stated(draft: ProposalDraft) -> tuple[TouchedKey, ...]:
    path, risk = draft.target_component, draft.risk_change
    return (TouchedKey(path=path, before=draft.current, after=draft.proposed, risk_change=risk),)


def _facts(rows: Sequence[tuple[str, str | None]]) -> Table:
    written: tuple[dict[str, Cell], ...] = tuple({"what": what, "value": value} for what, value in rows)
    return Table(title="", columns=_FACTS, rows=written)


Rows = list[tuple[str, str | None]]


def _effect_rows(draft: ProposalDraft, candidate: Candidate | None, out_of_sample: Effect | None) -> Rows:
    claim = [
        ("Expected uplift (Sharpe ratio)", _signed(draft.expected_sharpe_improvement)),
        ("Probability that it is better", _plain(draft.confidence_score)),
        ("Predecessor's confidence, for comparison", _plain(draft.legacy_confidence)),
        ("Out of sample", _out_of_sample(out_of_sample)),
    ]
    if candidate is None:
        searched = evidence_rows(draft.supporting_metrics)
        return [*(searched or [("Evidence", "none of the engine's: the author gives the reasons")]), *claim]
    predictive = interval(candidate.uplift_lower, candidate.uplift_upper)
    claim[0] = (claim[0][0], _joined(claim[0][1], predictive and f"realised effect within {predictive}"))
    claim[1] = (claim[1][0], _joined(claim[1][1], _horizon(candidate.horizon_years)))
    unmoved = candidate.missing.get("probability_positive")
    if unmoved is not None:
        claim[0] = (claim[0][0], f"none: {unmoved}")
        claim[1] = (claim[1][0], f"does not apply: {unmoved}")
    effective = "n/a" if candidate.n_effective is None else f"{candidate.n_effective:.1f}"
    return [
        ("Effect", _effect_value(candidate.effect)),
        ("Adjusted p-values", _adjusted(candidate.effect)),
        ("Evidence grade", str(candidate.grade)),
        *((_contrast_name(one), estimate_text(one)) for one in candidate.other_effects),
        (_local_name(candidate), _local(candidate)),
        *claim,
        (
            "Days and runs",
            (
                f"{counted(candidate.n_days, 'day')}, {counted(candidate.n_runs, 'run')} "
                f"({candidate.n_distinct:,} distinct)"
            ),
        ),
        ("Independent return series", f"{effective} effective, of {counted(candidate.n_trials, 'trial')} counted"),
        ("Smallest effect this campaign could find", _detectable(candidate)),
        ("Stability", _stability(candidate)),
    ]


def _effect_value(effect: Effect) -> str | None:
    written = effect_text(effect)
    if written is None:
        return f"{MISSING}: {effect.reason}"
    name = "" if effect.metric != "sharpe_ratio" else f"{METRIC_NAMES[effect.metric]} "
    level = "" if effect.confidence_level is None else f" at {100 * effect.confidence_level:.0f} %"
    method = METHOD_NAMES.get(effect.method, effect.method)
    return f"{name}{written}{level}, by {method} ({counted(effect.n_pairs, 'pair')}, {counted(effect.n_days, 'day')})"


def _contrast_name(effect: Effect) -> str:
    name, method = METRIC_NAMES.get(effect.metric, effect.metric), METHOD_NAMES.get(effect.method, effect.method)
    return f"{name[:1].upper()}{name[1:]}, by {method}"


def _adjusted(effect: Effect) -> str | None:
    shown = {name: "< 0.001" if p < 0.001 else f"{p:.3f}" for name, p in effect.adjusted_p_values.items()}
    values = [f"{_CORRECTIONS.get(name, name.replace('_', ' '))} {p}" for name, p in sorted(shown.items())]
    return ", ".join(values) or None


_CORRECTIONS: Final = {"benjamini_hochberg": "Benjamini-Hochberg", "holm": "Holm", "romano_wolf": "Romano-Wolf"}


def _local_name(candidate: Candidate) -> str:
    here = "at the live configuration"
    return here.capitalize() if candidate.effect.metric == SHARPE else f"Sharpe ratio, {here}"


def _local(candidate: Candidate) -> str | None:
    if candidate.local_effect is None:
        return None
    return effect_text(candidate.local_effect) or f"{MISSING}: {candidate.local_effect.reason}"


def _out_of_sample(effect: Effect | None) -> str:
    if effect is None:
        return "none yet: no day after the evidence has been replayed"
    return _joined(effect_text(effect), counted(effect.n_days, "day")) or f"{MISSING}: {effect.reason}"


def _detectable(candidate: Candidate) -> str | None:
    smallest, metric = candidate.smallest_detectable_effect, candidate.effect.metric
    if smallest is None:
        why = candidate.missing.get("smallest_detectable_effect")
        return None if why is None else f"does not apply: {why}"
    if metric != SHARPE and candidate.stability is not None and candidate.stability.metric != metric:
        # Written before the figures of a risk proposal were those of its metric.
        return _of_sharpe(metric)
    needed = "" if candidate.days_needed is None else f"; its own size needs {counted(candidate.days_needed, 'day')}"
    name = "" if metric == SHARPE else f"{METRIC_NAMES.get(metric, metric)} "
    return f"{name}{size_text(metric, smallest)}{needed}"


def _of_sharpe(metric: str) -> str:
    return f"does not apply: it is known of the Sharpe ratio, and this is judged by {METRIC_NAMES.get(metric, metric)}"


def _stability(candidate: Candidate) -> str | None:
    stability = candidate.stability
    if stability is None or stability.sign_consistency is None:
        return None if stability is None else f"does not apply: {stability.reason}"
    if stability.metric != candidate.effect.metric:
        return _of_sharpe(candidate.effect.metric)
    drift = "" if stability.drift is None else f", drift {size_text(stability.metric, stability.drift)} between them"
    share = f"the same sign in {100 * stability.sign_consistency:.0f} %"
    return f"{share} of {len(stability.sub_periods)} sub-periods{drift}"


def _track_record(draft: ProposalDraft, record: TrackRecord | None) -> str:
    if record is None:
        return f"None yet: no proposal of the type {draft.proposal_type} has an outcome on record."
    kind = f"of the type {draft.proposal_type}"
    alone = (
        f"{counted(record.n_outcomes, 'proposal', 'proposals')} {kind}, ended: {_brought(record)}"
        if record.n_outcomes
        else f"No proposal {kind} has an outcome of its own on record."
    )
    if record.jointly is None:
        return alone
    several = counted(record.jointly.n_outcomes, "set of changes", "sets of changes")
    return (
        f"{alone} {counted(record.n_joint, 'change')} of it went live together with other types, and what each type "
        f"brought cannot be told apart; {several} of different types {_brought(record.jointly)}"
    )


def _brought(record: TrackRecord) -> str:
    within = interval(record.lower, record.upper)
    return (
        f"claimed {_signed(record.claimed) or MISSING} on average, realised {_signed(record.realised) or MISSING}"
        + (f" {within}." if within else ".")
    )


def _exit_plan(draft: ProposalDraft, candidate: Candidate | None) -> tuple[str, ...]:
    path = draft.target_component
    undone = f"removes {path}" if draft.current is ABSENT else f"sets {path} to {level_text(draft.current)}"
    horizon = None if candidate is None else _horizon(candidate.horizon_years)
    stated = f"The claim is about what happens {horizon}." if horizon else "The claim states no horizon."
    way_back = (
        f"Revert: one person, at once, with `meta-pipeline changes revert`; it {undone}, exactly as before. If the key "
        "was changed since, it refuses and shows what is there."
    )
    return (*exit_plan(draft).sentences(), stated, way_back)


def _who(record: ProposalRecord, approval_hours: float | None, standing: Standing | None) -> Rows:
    draft = record.draft
    editors = f", nor its {counted(len(record.editor_keys), 'editor')}" if record.editor_keys else ""
    if record.approved_by is not None:
        decided = f"{record.approved_by}, {day(record.approved_at)}"
    else:
        decided = f"nobody yet; one active approver, not {draft.author}{editors}"
    if record.approval_expires_at is not None:
        lapses = day(record.approval_expires_at)
    else:
        lapses = None if approval_hours is None else f"{counted(approval_hours, 'hour')} after it is given"
    return [
        ("Author", f"{draft.author} ({draft.author_kind})"),
        ("Approver", decided),
        *_may_decide(standing),
        ("May be decided until", day(record.expires_at)),
        ("An approval lapses", lapses),
        ("Base", f"version {draft.base_version} of {draft.strategy_id}"),
        ("Report, part of the digest", draft.report_sha256 or "none was written"),
        ("Digest", record.body_digest),
    ]


def _may_decide(standing: Standing | None) -> Rows:
    """Say who of the list of approvers may decide, as long as there is something to decide."""
    if standing is None or standing.status != "PENDING":
        return []
    rows: Rows = [("May decide now", standing.who_may())]
    return [*rows, ("May not", standing.who_may_not())] if standing.who_may_not() else rows


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+z.2f}"


def _plain(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _horizon(years: float | None) -> str | None:
    return None if years is None else f"over {years:g} years"


def _joined(first: str | None, second: str | None) -> str | None:
    if first is None:
        return None
    return f"{first}, {second}" if second else first
