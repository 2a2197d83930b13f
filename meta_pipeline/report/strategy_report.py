"""The report of one strategy and night: one self-contained document, in the order in which a researcher reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from meta_pipeline.counted import counted
from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.outcomes.scorecard import Score
from meta_pipeline.proposals.candidate_json import level_from_json
from meta_pipeline.report.charts import (
    effects_chart,
    equity_chart,
    overfitting_chart,
    periods_chart,
    regimes_chart,
    reliability_chart,
    scorecard_chart,
)
from meta_pipeline.report.descriptive import (
    best_scenarios_table,
    dispersion_table,
    importance_table,
    interactions_table,
    overfitting_panel,
    pairs_table,
    robustness_table,
)
from meta_pipeline.report.diagnostics import (
    configurations_table,
    data_health_table,
    knobs_table,
    performance_table,
)
from meta_pipeline.report.experience import Past, experience_table, reliability_bins, reliability_table
from meta_pipeline.report.experiment_plan import missing_runs_table, more_evidence_table
from meta_pipeline.report.html import Chart, Part, document
from meta_pipeline.report.outcomes import scorecard_table
from meta_pipeline.report.table import Column, Kind, Table
from meta_pipeline.report.tables import RULE_MEANINGS, change_text, suppressed_counts_table

_SCENARIOS: Final = (
    "The table puts the live configuration and the best one through the same months, and compares the worst of each."
)
_NEXT: Final = (
    "As a file that a backtester can take: meta-pipeline proposals experiments STRATEGY --output FILE. Runs that are "
    "handed in under the same market, window and campaign join the block that they are missing from."
)
MAX_CONFIGURATIONS: Final = 20
MAX_SUPPRESSED: Final = 200
"""Rows of a table in the report; the whole is in the database, and each table says how many it leaves out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyReport:
    """All that the report of one strategy and night says.

    Parameters
    ----------
    night
        The day on which it was computed.
    equity
        Incumbent against challenger; None: their series were not at hand.
    past
        What past claims were worth, and the reliability of past probabilities; None: not known.
    scores
        What proposals of each type claimed and realised.
    """

    strategy_id: str
    night: date
    report: DiagnosticsReport
    equity: EquityComparison | None = None
    past: Past | None = None
    scores: Sequence[Score] = field(default=())


def strategy_html(found: StrategyReport) -> bytes:
    """Return the report as one HTML document without scripts; the same input gives the same bytes."""
    report = found.report
    return document(
        title=f"{found.strategy_id}: diagnostics of {found.night.isoformat()}",
        subtitle=_subtitle(report),
        parts=strategy_parts(found),
        footer=(
            f"Evidence {report.evidence_digest}.",
            "Effects are changes of the annualised Sharpe ratio unless named. Nothing on this page approves anything.",
        ),
    )


def strategy_parts(found: StrategyReport) -> tuple[Part, ...]:
    """Return the parts of the report, in order; what is not known says so, and why."""
    report = found.report
    looked = report.n_missing_runs is not None
    return (
        Part(heading="Data health", anchor="data-health", tables=(data_health_table(report),)),
        Part(heading="Performance", anchor="performance", tables=(performance_table(report),)),
        Part(heading="Effect of each knob", anchor="effects", charts=(effects_chart(report),)),
        Part(heading="Knob by regime", anchor="regimes", **_regimes(report)),
        Part(
            heading="Incumbent against challenger",
            anchor="equity",
            tables=(best_scenarios_table(report.descriptive),),
            **_equity(found.equity),
        ),
        Part(
            heading="Overfitting",
            anchor="overfitting",
            charts=(overfitting_chart(report),),
            tables=(
                overfitting_panel(report.descriptive),
                robustness_table(report.descriptive),
                dispersion_table(report.descriptive),
            ),
        ),
        Part(heading="Stability over time", anchor="stability", charts=(periods_chart(report),)),
        Part(heading="Reliability of past proposals", anchor="reliability", **_past(found)),
        Part(
            heading="Redundant and aliased knobs",
            anchor="knobs",
            sentences=(_knobs_said(report),),
            tables=(
                knobs_table(report),
                importance_table(report.descriptive),
                pairs_table(report.descriptive),
                interactions_table(report.descriptive),
            ),
        ),
        Part(
            heading="Underperformers",
            anchor="underperformers",
            tables=tuple(
                configurations_table(findings, title=title).first(MAX_CONFIGURATIONS)
                for findings, title in (
                    (report.underperforming, "Underperforming configurations"),
                    (report.high_risk, "High-risk configurations"),
                    (report.pareto, "Configurations that no other beats"),
                )
            ),
        ),
        Part(
            heading="Why no proposal",
            anchor="why-no-proposal",
            sentences=(_proposed_said(report),),
            tables=(suppressed_counts_table(report.suppressed), suppressed_table(report).first(MAX_SUPPRESSED)),
        ),
        Part(
            heading="What to run next",
            anchor="what-to-run-next",
            sentences=(_NEXT,),
            tables=(
                missing_runs_table(report.missing_runs, n_runs=report.n_missing_runs).first(MAX_CONFIGURATIONS),
                more_evidence_table(report.more_evidence, known=looked).first(MAX_CONFIGURATIONS),
            ),
        ),
    )


def suppressed_table(report: DiagnosticsReport) -> Table:
    """List every candidate that was stopped: the change, the rule, and its sentence."""
    return Table(
        title="Every suppressed candidate",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="estimate", header="Effect", kind=Kind.SIGNED),
            Column(key="n", header="Pairs", kind=Kind.COUNT),
            Column(key="rule", header="Rule"),
            Column(key="reason", header="Reason"),
        ),
        rows=tuple(
            {
                "knob": one.knob,
                "change": change_text(level_from_json(one.from_value), level_from_json(one.to_value)),
                "estimate": one.estimate if one.metric == "sharpe_ratio" else None,
                "n": one.n_pairs,
                "rule": RULE_MEANINGS.get(one.suppressed_by or "", str(one.suppressed_by)),
                "reason": one.reason or "",
            }
            for one in report.effects
            if one.suppressed_by is not None
        ),
        empty="No candidate was suppressed.",
    )


def _subtitle(report: DiagnosticsReport) -> str:
    return (
        f"{counted(report.n_runs, 'run')} ({report.n_distinct:,} distinct) over {counted(report.n_days, 'day')}; "
        f"{counted(report.n_configurations, 'configuration')}; {counted(len(report.effects), 'change')} looked at, "
        f"{report.n_proposals:,} proposed."
    )


def _regimes(report: DiagnosticsReport) -> dict[str, Any]:
    if not any(one.regimes for one in report.effects):
        return {"sentences": ("Not known: no day carries a regime label.",)}
    return {"charts": (regimes_chart(report),)}


def _equity(found: EquityComparison | None) -> dict[str, Any]:
    drawn = None if found is None else equity_chart(found)
    if drawn is None:
        why = "the return series were not at hand" if found is None else found.missing
        return {"sentences": (f"Not known: {why}.", _SCENARIOS)}
    said = (f"Not known of one of them: {found.missing}.",) if found is not None and found.missing else ()
    return {"charts": (drawn,), "sentences": (*said, _SCENARIOS)}


def _past(found: StrategyReport) -> dict[str, Any]:
    scores = scorecard_table(found.scores)
    charts: list[Chart] = [one] if (one := scorecard_chart(found.scores, scores)) is not None else []
    tables = [] if charts else [scores]
    if found.past is not None:
        bins = reliability_table([found.past])
        drawn = reliability_chart(reliability_bins([found.past]), bins)
        charts += [] if drawn is None else [drawn]
        tables += [experience_table([found.past]), *([] if drawn is not None else [bins])]
    said = () if charts else ("Not known yet: no proposal has been applied and judged.",)
    return {"charts": tuple(charts), "tables": tuple(tables), "sentences": said}


def _knobs_said(report: DiagnosticsReport) -> str:
    by_status: Mapping[str, list[str]] = {
        status: [knob.path for knob in report.knobs if knob.status == status]
        for status in ("dead", "aliased", "constant")
    }
    said = [f"{status}: {', '.join(paths)}" for status, paths in by_status.items() if paths]
    return f"{'; '.join(said).capitalize()}." if said else "Every declared knob varied, on its own, and moved returns."


def _proposed_said(report: DiagnosticsReport) -> str:
    stopped = sum(report.suppressed.values())
    if report.insufficient_data is not None:
        return f"Nothing could be judged: {report.insufficient_data}."
    said = counted(stopped, "candidate was", "candidates were")
    return f"{report.n_proposals:,} proposed; {said} stopped, each by the rule named here."
