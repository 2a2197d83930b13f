"""The diagnostics report as tables, in the order in which a researcher reads it.

Data health first; then performance, configurations, knobs, regimes, stability, overfitting, and why nothing
else is proposed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.overfitting import Overfitting
from meta_pipeline.diagnostics.records import Configuration, Figures, Findings, KnobEffect
from meta_pipeline.proposals.candidate_json import level_from_json
from meta_pipeline.report.descriptive import descriptive_tables
from meta_pipeline.report.experiment_plan import missing_runs_table, more_evidence_table
from meta_pipeline.report.table import Cell, Column, Kind, Table
from meta_pipeline.report.tables import (
    AGGREGATE_FIGURES,
    METRIC_NAMES,
    change_text,
    level_text,
    metric_text,
    suppressed_counts_table,
)

if TYPE_CHECKING:
    from rich.console import Group

_ID_DIGITS: Final = 8


def diagnostics_tables(report: DiagnosticsReport) -> tuple[Table, ...]:
    """Return every table of a report, in order; the parts of which nothing is known say so."""
    return (
        data_health_table(report),
        performance_table(report),
        configurations_table(report.underperforming, title="Underperforming configurations"),
        configurations_table(report.high_risk, title="High-risk configurations"),
        configurations_table(report.pareto, title="Configurations that no other beats"),
        knobs_table(report),
        effects_table(report),
        regimes_table(report),
        periods_table(report),
        overfitting_table(report.overfitting),
        *descriptive_tables(report.descriptive),
        suppressed_counts_table(report.suppressed),
        missing_runs_table(report.missing_runs, n_runs=report.n_missing_runs),
        more_evidence_table(report.more_evidence, known=report.n_missing_runs is not None),
    )


def diagnostics_markdown(report: DiagnosticsReport, *, max_rows: int = 40) -> str:
    """Return the whole report in Markdown, each table cut to its first rows."""
    return "\n\n".join(table.first(max_rows).markdown(heading=3) for table in diagnostics_tables(report))


def diagnostics_rich(report: DiagnosticsReport, *, max_rows: int = 20) -> "Group":
    """Return the whole report for a terminal, each table cut to its first rows."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Group | Text] = []
    for table in diagnostics_tables(report):
        parts += [table.first(max_rows).rich(), Text()]
    return Group(*parts)


def data_health_table(report: DiagnosticsReport) -> Table:
    """Show runs used and dropped, by reason code, and what a reader must know about them."""
    health = report.data_health
    rows: list[dict[str, Cell]] = [
        {"what": "accepted", "count": health.accepted, "note": "with a return series"},
        {"what": "metrics only", "count": health.metrics_only, "note": "no return series: never evidence above D"},
        {"what": "quarantined", "count": health.quarantined, "note": "kept, and not used"},
    ]
    rows += [{"what": f"quarantined: {code}", "count": n, "note": ""} for code, n in health.reasons.items()]
    rows.append({"what": "distinct", "count": report.n_distinct, "note": "what this report rests on"})
    rows += [{"what": f"note: {note.code}", "count": note.count or "", "note": note.sentence} for note in report.notes]
    return Table(
        title="Data health",
        columns=(
            Column(key="what", header="Runs"),
            Column(key="count", header="Number", kind=Kind.COUNT),
            Column(key="note", header="What it means"),
        ),
        rows=tuple(rows),
        note=report.insufficient_data or "",
    )


def performance_table(report: DiagnosticsReport) -> Table:
    """Show performance overall and by market, regime and sector; a dimension without labels has no rows."""
    rows: list[dict[str, Cell]] = []
    if report.overall is not None:
        rows.append({"dimension": "all", "label": "", **figure_cells(report.overall)})
    for dimension, slices in (
        ("market", report.by_market),
        ("regime", report.by_regime),
        ("sector", report.by_sector),
    ):
        rows += [{"dimension": dimension, "label": one.label, **figure_cells(one.figures)} for one in slices]
    unlabelled = [
        name
        for name, slices in (("market", report.by_market), ("regime", report.by_regime), ("sector", report.by_sector))
        if not slices
    ]
    return Table(
        title="Performance",
        columns=(Column(key="dimension", header="By"), Column(key="label", header="Label"), *AGGREGATE_FIGURES),
        rows=tuple(rows),
        note=f"No labels of: {', '.join(unlabelled)}." if unlabelled else "",
        empty="No runs.",
    )


def figure_cells(figures: Figures) -> dict[str, Cell]:
    """Return figures as cells."""
    return {column.key: getattr(figures, column.key) for column in AGGREGATE_FIGURES}


def configurations_table(findings: Findings, *, title: str) -> Table:
    """Show the configurations that are pointed out, with their pooled figures and the reasons."""
    with_reasons = any(one.reasons for one in findings.configurations)
    listed = len(findings.configurations)
    return Table(
        title=f"{title} ({findings.count:,})",
        columns=(
            Column(key="configuration", header="Configuration"),
            Column(key="knobs", header="Knobs"),
            *AGGREGATE_FIGURES[:-1],
            *((Column(key="reasons", header="Why"),) if with_reasons else ()),
        ),
        rows=tuple(
            {
                "configuration": one.configuration_id[:_ID_DIGITS],
                "knobs": knobs_text(one.knobs),
                **figure_cells(one.figures),
                "reasons": "; ".join(one.reasons),
            }
            for one in findings.configurations
        ),
        note=f"The report keeps the first {listed:,} of {findings.count:,}." if listed < findings.count else "",
        empty="None.",
    )


def knobs_text(knobs: Mapping[str, Any]) -> str:
    """Write the knobs of a configuration as "path = value" in the order of their paths."""
    return ", ".join(f"{path} = {level_text(level_from_json(level))}" for path, level in sorted(knobs.items()))


def knobs_table(report: DiagnosticsReport) -> Table:
    """Show each declared knob: its live value, whether the campaign varied it, and what moves with it."""
    return Table(
        title="Knobs",
        columns=(
            Column(key="path", header="Knob"),
            Column(key="live", header="Live"),
            Column(key="status", header="Status"),
            Column(key="n_levels", header="Values", kind=Kind.COUNT),
            Column(key="aliased_with", header="Always moves with"),
        ),
        rows=tuple(
            {
                "path": knob.path,
                "live": level_text(level_from_json(knob.live)),
                "status": knob.status,
                "n_levels": knob.n_levels,
                "aliased_with": ", ".join(knob.aliased_with),
            }
            for knob in report.knobs
        ),
        empty="No knobs are declared.",
    )


def effects_table(report: DiagnosticsReport) -> Table:
    """Show the effect of each change with interval, sample and stability, and what became of it."""
    return Table(
        title="Effect of each change",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="effect", header="Effect"),
            Column(key="interval", header="Interval"),
            Column(key="n_pairs", header="Pairs", kind=Kind.COUNT),
            Column(key="n_runs", header="Runs", kind=Kind.COUNT),
            Column(key="n_days", header="Days", kind=Kind.COUNT),
            Column(key="grade", header="Grade"),
            Column(key="same_sign", header="Same sign", kind=Kind.PERCENT),
            Column(key="drift", header="Drift", kind=Kind.NUMBER),
            Column(key="fate", header="Outcome"),
        ),
        rows=tuple(_effect_row(effect) for effect in report.effects),
        empty="No change could be looked at.",
    )


def _effect_row(effect: KnobEffect) -> dict[str, Cell]:
    estimate: Cell = None
    if effect.estimate is not None:
        estimate = f"{METRIC_NAMES.get(effect.metric, effect.metric)} {metric_text(effect.metric, effect.estimate)}"
    within: Cell = None
    if effect.lower is not None and effect.upper is not None:
        within = f"[{metric_text(effect.metric, effect.lower)}, {metric_text(effect.metric, effect.upper)}]"
    fate = "proposed" if effect.suppressed_by is None else f"{effect.suppressed_by}: {effect.reason or ''}"
    return {
        "knob": effect.knob,
        "change": _change(effect),
        "effect": estimate,
        "interval": within,
        "n_pairs": effect.n_pairs,
        "n_runs": effect.n_runs,
        "n_days": effect.n_days,
        "grade": effect.grade,
        "same_sign": effect.sign_consistency,
        "drift": effect.drift,
        "fate": fate,
    }


def _change(effect: KnobEffect) -> str:
    return change_text(level_from_json(effect.from_value), level_from_json(effect.to_value))


def regimes_table(report: DiagnosticsReport) -> Table:
    """Show the effect of each change on the Sharpe ratio in each regime: knob by regime."""
    labels = sorted({regime.label for effect in report.effects for regime in effect.regimes})
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for effect in report.effects:
        if effect.regimes:
            change = _change(effect)
            # The same change may be looked at for its risk too; its effect on the Sharpe ratio is the same one.
            cells: dict[str, Cell] = dict.fromkeys((f"regime {label}" for label in labels), None)
            cells |= {f"regime {one.label}": one.estimate for one in effect.regimes}
            rows[effect.knob, change] = {**cells, "knob": effect.knob, "change": change}
    return Table(
        title="Effect by regime, on the Sharpe ratio",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            *(Column(key=f"regime {label}", header=label, kind=Kind.SIGNED) for label in labels),
        ),
        rows=tuple(rows.values()),
        empty="No regime labels.",
    )


def periods_table(report: DiagnosticsReport) -> Table:
    """Show how all configurations together, and the live one, fared over time."""
    return Table(
        title="Over time, Sharpe ratio",
        columns=(
            Column(key="start", header="From"),
            Column(key="end", header="To"),
            Column(key="n_days", header="Days", kind=Kind.COUNT),
            Column(key="sharpe", header="All configurations", kind=Kind.NUMBER),
            Column(key="sharpe_live", header="Live configuration", kind=Kind.NUMBER),
        ),
        rows=tuple(
            {
                "start": period.start,
                "end": period.end,
                "n_days": period.n_days,
                "sharpe": period.sharpe,
                "sharpe_live": period.sharpe_live,
            }
            for period in report.periods
        ),
        empty="No return series of one frequency.",
    )


def overfitting_table(found: Overfitting) -> Table:
    """Show how much of the best configuration may be luck."""
    half = found.split_half
    rank = None if half.rank is None else f"{half.rank} of {half.n_configurations}"
    rows: Sequence[tuple[str, Cell, str]] = (
        ("Trials counted", f"{found.n_trials:,}", "every distinct run ever scored"),
        ("Effective number", _number(found.n_effective, digits=1), "independent return series; for show"),
        ("Best configuration", _best(found.best), ""),
        ("Its Sharpe ratio", _number(found.sharpe), found.missing.get("sharpe", "all days, its runs averaged by day")),
        (
            "What luck alone gives",
            _number(found.luck),
            found.missing.get("luck", "the best of that many without skill"),
        ),
        (
            "Deflated Sharpe ratio",
            _number(found.deflated_sharpe),
            found.missing.get("deflated_sharpe", f"probability of skill; variance at the {found.variance_convention}"),
        ),
        *_absolute_rows(found),
        ("Best of the first half", _number(half.in_sample), half.missing.get("in_sample", f"before {half.split_at}")),
        ("The same in the second", _number(half.out_of_sample), half.missing.get("out_of_sample", "out of sample")),
        ("Its rank there", rank, half.missing.get("rank", "")),
        (
            "A blind choice there",
            _number(half.median_out_of_sample),
            half.missing.get("median_out_of_sample", "median"),
        ),
        (
            "Does the order last?",
            _number(half.rank_correlation),
            half.missing.get("rank_correlation", "rank correlation between the halves; 1 is yes"),
        ),
    )
    return Table(
        title="Overfitting",
        columns=(
            Column(key="what", header="What"),
            Column(key="value", header="Value"),
            Column(key="note", header="Note"),
        ),
        rows=tuple({"what": what, "value": value, "note": note} for what, value, note in rows),
    )


def _absolute_rows(found: Overfitting) -> list[tuple[str, Cell, str]]:
    tests = found.absolute
    if tests is None:
        return []
    why = tests.missing
    above, years = tests.probabilistic, _number(tests.years, digits=1)
    at_null = f"that it is above zero; {_number(above.get('null'))} with the variance at the null"
    return [
        (
            "Deflated, by the other convention",
            _number(tests.deflated.get("null")),
            why.get("deflated", "variance at the null (2025)"),
        ),
        (
            "Probabilistic Sharpe ratio",
            _number(above.get("estimate")),
            why.get("probabilistic", at_null),
        ),
        (
            "Track record needed, years",
            _number(tests.track_record_years, digits=1),
            why.get("track_record_years", f"to be above zero at 95 %; there are {years}"),
        ),
        (
            "Backtest needed, years",
            _number(tests.backtest_years, digits=1),
            why.get("backtest_years", f"below that, the best of so many trials shows it by luck; there are {years}"),
        ),
    ]


def _best(configuration: Configuration | None) -> str | None:
    return None if configuration is None else knobs_text(configuration.knobs)


def _number(value: float | None, *, digits: int = 2) -> str | None:
    return None if value is None else f"{value:z.{digits}f}"
