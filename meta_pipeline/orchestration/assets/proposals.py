"""The asset `proposals`: every level of every knob is judged against the live value; what stands goes to people."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.assets import GROUP, RESEARCH, THROUGH_BY_FOUR
from meta_pipeline.orchestration.evidence_state import evidence_state, location_of
from meta_pipeline.orchestration.isolation import Outcome, check_result, check_spec, each_strategy
from meta_pipeline.orchestration.judging import judge
from meta_pipeline.orchestration.metadata import on_the_pages, picture_value, table_value
from meta_pipeline.orchestration.refreshing import scope_of
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from meta_pipeline.canonical import JsonValue, Level
    from meta_pipeline.diagnostics.equity import EquityComparison
    from meta_pipeline.orchestration.judging import Judged
    from meta_pipeline.orchestration.open_proposals import OpenLine
    from meta_pipeline.outcomes.scorecard import Score
    from meta_pipeline.proposals.candidate import Proposed
    from meta_pipeline.report.experience import Past
    from meta_pipeline.report.files import ProposalReports
    from meta_pipeline.settings import Settings
    from meta_pipeline.store.online_testing import OnlineTest
    from meta_pipeline.store.proposals import SaveResult
    from meta_pipeline.store.replayed_outcomes import Night

    Compared = Callable[[str, Level], EquityComparison]

NAME: Final = "proposals"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of one strategy: the engine's answer, what was saved of it, and the night's outcomes."""

    proposed: "Proposed"
    saved: "SaveResult"
    night: "Night"
    tested: "OnlineTest | None"


@dg.asset(
    name=NAME,
    deps=["diagnostics_report"],
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"postgresql", "numpy"},
    freshness_policy=THROUGH_BY_FOUR,
    check_specs=[check_spec(NAME)],
    description=(
        "Changes of single knobs that the evidence supports, each with its effect, interval, grade and expected "
        "uplift; and how many candidates were suppressed, by which rule. Follow a link to decide."
    ),
)
def proposals(context: dg.AssetExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Propose for every strategy with evidence."""
    from meta_pipeline.store.governance import expire

    with database.begin() as connection:
        # What lapsed makes room: the same change may be proposed again.
        lapsed = expire(connection, database.now())
    with database.connect() as connection:
        state = evidence_state(connection)
    scope = scope_of(context.run)
    chosen = [strategy for strategy in state.strategies if scope is None or strategy in scope]
    outcome = each_strategy(
        [name for name in chosen if name in state.declared], lambda name: propose_for(name, database), context.log
    )
    return dg.MaterializeResult(
        metadata={
            **_metadata(outcome, [name for name in chosen if name not in state.declared], context, database),
            "lapsed proposals": len(lapsed),
        },
        data_version=dg.DataVersion(state.digest),
        check_results=[check_result(outcome)],
    )


def propose_for(strategy_id: str, database: DatabaseResource) -> Made:
    """Judge one strategy's evidence, and save what comes of it in one transaction.

    Before that, what became of earlier candidates is recorded, so that tonight's decision knows it.
    """
    from meta_pipeline.proposals.drafting import draft
    from meta_pipeline.store import candidates
    from meta_pipeline.store import proposals as store
    from meta_pipeline.store.online_testing import judge_campaigns
    from meta_pipeline.store.outcome_ledger import write_predictions
    from meta_pipeline.store.outcome_rules import outcome_rule
    from meta_pipeline.store.replayed_outcomes import replay_outcomes
    from meta_pipeline.store.scorecards import scorecard

    settings = database.settings
    night = replay_outcomes(database.opened, strategy_id, settings, now=database.now())
    judged = judge(strategy_id, database)
    proposed = judged.proposed
    with database.connect() as connection:
        rule = outcome_rule(connection, strategy_id, settings)
        scores = scorecard(connection)
    compared = _compared(judged)
    drafts = [
        draft(
            candidate,
            strategy_id=strategy_id,
            base_version=judged.record.live_version,
            evidence_digest=proposed.evidence_digest,
            outcome_rule=rule,
            scenarios=_scenarios(compared(candidate.knob, candidate.to_value)),
        )
        for candidate in proposed.proposals
    ]
    now = database.now()
    with database.begin() as connection:
        candidates.write_candidates(connection, proposed, strategy_id=strategy_id, now=now)
        if judged.judgement is not None:
            knobs = list(judged.record.knobs)
            write_predictions(connection, proposed, judged.judgement, strategy_id=strategy_id, knobs=knobs, now=now)
        tested = judge_campaigns(connection, strategy_id, proposed, alpha=settings.alpha, now=now)
        # A live configuration that moved while the engine computed makes the base stale; saving refuses it.
        saved = store.save(
            connection,
            drafts,
            now=now,
            lifetime=timedelta(days=settings.proposal_days),
            rejection_window=timedelta(days=settings.rejection_days),
            report=_reports(compared, scores, settings),
        )
    return Made(proposed=proposed, saved=saved, night=night, tested=tested)


def _compared(judged: "Judged") -> "Compared":
    """Return what compares the live configuration with a changed one, each change once."""
    from meta_pipeline.canonical import level_key
    from meta_pipeline.diagnostics.equity import EquityComparison, changed, compare_equity
    from meta_pipeline.report.tables import level_text

    knobs, live = judged.record.strategy.knobs, judged.record.strategy.live_config
    found: dict[tuple[str, str], EquityComparison] = {}

    def once(path: str, level: "Level") -> EquityComparison:
        key = path, level_key(level)
        if key not in found:
            found[key] = compare_equity(
                judged.panel,
                knobs=knobs,
                live=live,
                challenger=changed(live, knobs=knobs, path=path, level=level),
                name=f"{path} = {level_text(level)}",
                regimes=judged.regimes,
            )
        return found[key]

    return once


def _scenarios(compared: "EquityComparison") -> "dict[str, JsonValue] | None":
    from meta_pipeline.diagnostics.scenarios import scenarios_of_change, scenarios_to_json

    found = scenarios_of_change(compared)
    return None if found is None else scenarios_to_json(found)


def _reports(compared: "Compared", scores: "tuple[Score, ...]", settings: "Settings") -> "ProposalReports":
    """Return what writes the report of each new proposal, with the equity of the changed configuration."""
    from meta_pipeline.report.files import ProposalReports, report_files
    from meta_pipeline.report.outcomes import track_record

    return ProposalReports(
        report_files(settings.home),
        approval_hours=settings.approval_hours,
        track_record=lambda proposal_type: track_record(scores, proposal_type),
        equity=lambda draft: compared(draft.target_component, draft.proposed),
    )


def _metadata(
    outcome: Outcome[Made], undeclared: list[str], context: dg.AssetExecutionContext, database: DatabaseResource
) -> dict[str, Any]:
    from meta_pipeline.orchestration.open_proposals import decisions_due, open_picture, read_open, sheets
    from meta_pipeline.report.experience import experience_table, reliability_table
    from meta_pipeline.report.tables import suppressed_counts_table

    location, now = location_of(context.run), database.now()
    with database.connect() as connection:
        lines = read_open(connection, now=now)
        pages = sheets(connection, lines, location=location, now=now, settings=database.settings)
    suppressed: dict[str, int] = {}
    for made in outcome.done.values():
        for rule, count in made.proposed.suppressed_by_rule().items():
            suppressed[rule] = suppressed.get(rule, 0) + count
    said = remarks(outcome.done, undeclared)
    past = [_past(name, made) for name, made in outcome.done.items()]
    return {
        **{what: dg.MetadataValue.md(claim) for what, claim in decisions_due(lines, location=location).items()},
        "picture of the uplifts": picture_value(open_picture(lines), says="expected uplift of each open proposal"),
        **({"approval sheets": dg.MetadataValue.md(pages)} if pages else {}),
        **_documents(lines, database),
        **on_the_pages(database.settings, (("what waits", "inbox"), *_pages_of(lines))),
        "suppressed candidates": table_value(suppressed_counts_table(suppressed)),
        "what past claims were worth": table_value(experience_table(past)),
        "reliability of past probabilities": table_value(reliability_table(past)),
        **({"remarks": dg.MetadataValue.md("\n".join(f"- {line}" for line in said))} if said else {}),
        "open proposals": len(lines),
        "new proposals": sum(len(made.saved.new) for made in outcome.done.values()),
        "candidates": sum(len(made.proposed.candidates) for made in outcome.done.values()),
        "candidates suppressed": sum(suppressed.values()),
        "outcomes recorded": sum(made.night.n_recorded for made in outcome.done.values()),
        "strategies": len(outcome.done),
        "strategies failed": len(outcome.failed),
    }


def _pages_of(lines: "Sequence[OpenLine]") -> "Iterator[tuple[str, str]]":
    return ((line.asked.summary, f"proposals/{line.record.proposal_id}") for line in lines)


def _documents(lines: "Sequence[OpenLine]", database: DatabaseResource) -> dict[str, Any]:
    """Return where the report of each open proposal is: what its digest covers, and its approver reads."""
    from meta_pipeline.orchestration.open_proposals import MAX_LISTED
    from meta_pipeline.report.files import report_files
    from meta_pipeline.report.text import visible

    files = report_files(database.settings.home)
    return {
        f"report of {visible(line.asked.summary)}": dg.MetadataValue.path(files.path(sha256).resolve())
        for line in lines[:MAX_LISTED]
        if (sha256 := line.record.draft.report_sha256) is not None
    }


def _past(strategy_id: str, made: Made) -> "Past":
    from meta_pipeline.report.experience import Past

    tested = made.tested
    return Past(
        strategy_id=strategy_id,
        experience=made.proposed.experience,
        p_value=None if tested is None else tested.p_value,
        level=None if tested is None else tested.level,
        wealth=None if tested is None else tested.wealth,
    )


def remarks(done: dict[str, Made], undeclared: list[str]) -> list[str]:
    """Write, as Markdown, what a person should know although nothing failed."""
    from meta_pipeline.report.text import markdown

    said = [
        f"{markdown(name)} has runs but declares no knobs, so nothing can be proposed for it: "
        "`meta-pipeline strategies declare FILE`"
        for name in undeclared
    ]
    for name, made in done.items():
        if made.proposed.insufficient_data is not None:
            said.append(f"{markdown(name)}: {markdown(made.proposed.insufficient_data)}")
        alarm = made.proposed.experience.get("alarm")
        if isinstance(alarm, str):
            said.append(f"{markdown(name)}: {markdown(alarm)}")
        said += [
            f"{markdown(name)}: {counted(count, 'outcome is', 'outcomes are')} not known: {markdown(reason)}"
            for reason, count in made.night.missing.items()
        ]
        said += [
            f"{markdown(name)}: {markdown(turned_down.text())}" for turned_down in made.saved.suppressed_by_rejection
        ]
        said += [f"{markdown(name)}: not saved: {markdown(str(refusal.error))}" for refusal in made.saved.refused]
    return said
