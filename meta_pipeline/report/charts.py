"""Records -> charts, each with the words and the table that say the same.

Belongs here: which figures a chart shows. Does not belong here: how it is drawn (drawings).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from meta_pipeline.counted import counted
from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.diagnostics.records import KnobEffect
from meta_pipeline.outcomes.scorecard import Score
from meta_pipeline.proposals.candidate_json import level_from_json
from meta_pipeline.report.diagnostics import effects_table, overfitting_table, periods_table, regimes_table
from meta_pipeline.report.drawings import (
    Bar,
    equity,
    equity_drawing,
    heat_drawing,
    intervals_drawing,
    lines_drawing,
)
from meta_pipeline.report.html import Chart, chart
from meta_pipeline.report.table import Cell, Column, Kind, Table
from meta_pipeline.report.tables import change_text

_N_EQUITY_ROWS = 12


def effects_chart(report: DiagnosticsReport) -> Chart:
    """Draw the effect of every change on the Sharpe ratio with its interval and n; what is proposed is filled."""
    effects = [one for one in report.effects if one.metric == "sharpe_ratio"]
    # A change may be proposed for its risk: then that is another entry than the one with its Sharpe ratio.
    proposed = {_change_of(one) for one in report.effects if one.suppressed_by is None}
    bars = [
        Bar(
            label=f"{_change_of(one)}  (n {one.n_pairs})",
            value=one.estimate,
            lower=one.lower,
            upper=one.upper,
            marked=_change_of(one) in proposed,
        )
        for one in effects
    ]
    known = sum(bar.value is not None for bar in bars)
    drawing = intervals_drawing(
        bars,
        title="Effect of each change against what is live",
        axis="change of the annualised Sharpe ratio",
        marked="proposed",
        unmarked="not proposed",
    )
    says = (
        f"Interval plot: {known} of {counted(len(bars), 'change')} with an estimate; n is the number of matched pairs. "
        "Filled marks are proposed, hollow ones are not."
    )
    return chart(drawing, name="effects", title="Effect of each change", says=says, table=effects_table(report))


def _change_of(effect: KnobEffect) -> str:
    return f"{effect.knob} {change_text(level_from_json(effect.from_value), level_from_json(effect.to_value))}"


def regimes_chart(report: DiagnosticsReport) -> Chart:
    """Draw knob by regime as a heat map of the effect on the Sharpe ratio."""
    table = regimes_table(report)
    labels = [column for column in table.columns if column.key.startswith("regime ")]
    rows = [(f"{row['knob']} {row['change']}", [_number(row[column.key]) for column in labels]) for row in table.rows]
    drawing = heat_drawing(rows, [column.header for column in labels], title="Effect by regime, on the Sharpe ratio")
    says = (
        f"Heat map of {counted(len(rows), 'change')} by {counted(len(labels), 'regime')}: blue where the change raised "
        "the Sharpe ratio, orange where it lowered it, stronger the larger the effect."
    )
    return chart(drawing, name="regimes", title="Knob by regime", says=says, table=table)


def overfitting_chart(report: DiagnosticsReport) -> Chart:
    """Draw the best configuration beside what luck gives, and its fall from the first half to the second."""
    found, half = report.overfitting, report.overfitting.split_half
    rows = (
        ("Best configuration, all days", found.sharpe, True),
        (f"Best of {found.n_trials:,} without skill", found.luck, False),
        ("Best of the first half, in sample", half.in_sample, True),
        ("The same, out of sample", half.out_of_sample, True),
        ("A blind choice, out of sample", half.median_out_of_sample, False),
    )
    drawing = intervals_drawing(
        [Bar(label=label, value=value, marked=marked) for label, value, marked in rows],
        title="In sample against out of sample",
        axis="annualised Sharpe ratio",
        marked="a chosen configuration",
        unmarked="luck, or a blind choice",
    )
    says = "Dot plot: Sharpe ratio of the best configuration, beside what luck alone and a blind choice give."
    return chart(
        drawing, name="overfitting", title="Overfitting", says=says, table=overfitting_table(report.overfitting)
    )


def periods_chart(report: DiagnosticsReport) -> Chart:
    """Draw how all configurations together, and the live one, fared over time."""
    drawing = lines_drawing(
        [period.start[:7] for period in report.periods],
        {
            "all configurations": [period.sharpe for period in report.periods],
            "live configuration": [period.sharpe_live for period in report.periods],
        },
        title="Sharpe ratio over time",
        axis="annualised Sharpe ratio",
    )
    over = counted(len(report.periods), "period")
    says = f"Lines over {over}: Sharpe ratio of all configurations, and of the live one (dashed)."
    return chart(drawing, name="periods", title="Over time", says=says, table=periods_table(report))


def equity_chart(found: EquityComparison) -> Chart | None:
    """Draw the equity of incumbent and challenger with the drawdown under it; None if there is neither."""
    series = {
        "incumbent (live)": found.incumbent,
        f"challenger: {found.challenger_name}": found.challenger,
    }
    known = {name: values for name, values in series.items() if values is not None}
    if not known or len(found.dates) < 2:
        return None
    drawing = equity_drawing(found.dates, known, title="Incumbent against challenger")
    table = _equity_table(found)
    last = table.rows[-1]
    says = (
        f"Equity and drawdown over {counted(len(found.dates), 'day')}: the incumbent ended at "
        f"{_figure(last['incumbent'])} (deepest drawdown {_percent(found.incumbent)}), the challenger, dashed, at "
        f"{_figure(last['challenger'])} (deepest drawdown {_percent(found.challenger)})."
        + (f" {found.missing}." if found.missing else "")
    )
    return chart(drawing, name="equity", title="Equity and drawdown", says=says, table=table)


def _equity_table(found: EquityComparison) -> Table:
    at = np.unique(np.linspace(0, len(found.dates) - 1, _N_EQUITY_ROWS).astype(np.intp))
    columns = {name: getattr(found, name) for name in ("incumbent", "challenger")}
    grown = {name: None if values is None else equity(values) for name, values in columns.items()}
    fallen = {
        name: None if values is None else values / np.maximum.accumulate(np.maximum(values, 1.0)) - 1
        for name, values in grown.items()
    }
    rows: list[dict[str, Cell]] = []
    for i in at:
        row: dict[str, Cell] = {"day": str(found.dates[i].astype("datetime64[D]"))}
        for name in columns:
            up, down = grown[name], fallen[name]
            row[name] = None if up is None else float(up[i])
            row[f"{name}_drawdown"] = None if down is None else float(down[i])
        rows.append(row)
    return Table(
        title="Equity and drawdown on some days",
        columns=(
            Column(key="day", header="Day"),
            Column(key="incumbent", header="Incumbent", kind=Kind.NUMBER),
            Column(key="incumbent_drawdown", header="its drawdown", kind=Kind.PERCENT),
            Column(key="challenger", header="Challenger", kind=Kind.NUMBER),
            Column(key="challenger_drawdown", header="its drawdown", kind=Kind.PERCENT),
        ),
        rows=tuple(rows),
        note=f"Means over {found.n_incumbent:,} and {counted(found.n_challenger, 'run')}; the equity starts at 1.",
    )


def scorecard_chart(scores: Sequence[Score], table: Table) -> Chart | None:
    """Draw what proposals of each type realised, with the interval; None before anything was judged."""
    bars: list[Bar] = []
    for score in scores:
        if not score.n_realised:
            continue
        label = f"{score.proposal_type} (n {score.n_realised})"
        bars.append(Bar(label=f"{label}, claimed", value=score.claimed, marked=False))
        bars.append(Bar(label=f"{label}, realised", value=score.realised, lower=score.lower, upper=score.upper))
    if not bars:
        return None
    drawing = intervals_drawing(
        bars,
        title="Past proposals: claimed and realised",
        axis="change of the annualised Sharpe ratio",
        marked="realised, with interval",
        unmarked="claimed",
    )
    says = "Interval plot: per type of proposal what was claimed on average (hollow) and what was realised (filled)."
    return chart(drawing, name="scorecard", title="Track record", says=says, table=table)


def reliability_chart(bins: Iterable[Mapping[str, Any]], table: Table) -> Chart | None:
    """Draw how probably past changes were said to be positive against how often they were; None without outcomes."""
    rows = [one for one in bins if one["n"]]
    if not rows:
        return None
    drawing = intervals_drawing(
        [
            bar
            for one in rows
            for bar in (
                Bar(label=f"{one['family']} {one['range']} (n {one['n']}), said", value=one["said"], marked=False),
                Bar(label=f"{one['family']} {one['range']} (n {one['n']}), came", value=one["came"]),
            )
        ],
        title="Reliability of past probabilities",
        axis="probability that the effect is positive",
        marked="came",
        unmarked="said",
        reference=0.5,
    )
    says = (
        "Dot plot: per range of stated probability its mean (hollow) and the share that turned out positive (filled)."
    )
    return chart(drawing, name="reliability", title="Reliability", says=says, table=table)


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, int | float) else None


def _figure(cell: Cell) -> str:
    return "n/a" if not isinstance(cell, int | float) else f"{cell:.2f}"


def _percent(returns: "np.typing.NDArray[np.float64] | None") -> str:
    if returns is None:
        return "n/a"
    grown = equity(returns)
    return f"{100 * float((grown / np.maximum.accumulate(np.maximum(grown, 1.0)) - 1).min()):.1f} %"
