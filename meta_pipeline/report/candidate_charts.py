"""One candidate -> charts, each with the words and the table that say the same.

Belongs here: estimates of a change, its return and risk, its effect in slices of the days. Does not belong here: charts
of a whole report (charts), or how anything is drawn (drawings).
"""

from collections.abc import Sequence

from meta_pipeline.counted import counted
from meta_pipeline.proposals.candidate import Candidate, SliceEffect
from meta_pipeline.report.drawings import Bar, intervals_drawing
from meta_pipeline.report.html import Chart, chart
from meta_pipeline.report.table import Column, Kind, Table, interval
from meta_pipeline.report.tables import (
    METHOD_NAMES,
    METRIC_NAMES,
    PERCENT_METRICS,
    estimate_text,
    metric_text,
    size_text,
)


def relative_chart(candidate: Candidate) -> Chart | None:
    """Draw what a change does to return and risk, as a share of what they are live; None where that is not known."""
    known = [one for one in candidate.risk_effects if one.estimate is not None and one.baseline]
    if not known:
        return None
    bars = [
        Bar(
            label=METRIC_NAMES.get(one.metric, one.metric).capitalize(),
            value=_share(one.estimate, one.baseline),
            lower=_share(one.lower, one.baseline),
            upper=_share(one.upper, one.baseline),
            marked=one.metric == candidate.effect.metric,
        )
        for one in known
    ]
    drawing = intervals_drawing(
        bars,
        title="Return and risk, as a share of what they are",
        axis="change in per cent of the live value's size",
        marked="what it is judged by",
        unmarked="beside it",
    )
    table = Table(
        title="Return and risk",
        columns=(
            Column(key="what", header="What"),
            Column(key="live", header="Live"),
            Column(key="change", header="Change"),
            Column(key="share", header="Per cent of live", kind=Kind.SIGNED),
        ),
        rows=tuple(
            {
                "what": bar.label,
                "live": metric_text(one.metric, one.baseline or 0.0),
                "change": estimate_text(one),
                "share": bar.value,
            }
            for bar, one in zip(bars, known, strict=True)
        ),
    )
    says = (
        "Interval plot: change of mean return, volatility, maximum drawdown and expected shortfall, each in per cent "
        "of the size of its live value. Drawdown and expected shortfall are losses: above zero is less of them."
    )
    return chart(drawing, name="return-and-risk", title="Return and risk", says=says, table=table)


def _share(value: float | None, baseline: float | None) -> float | None:
    return None if value is None or not baseline else 100 * value / abs(baseline)


def contrasts_chart(candidate: Candidate) -> Chart | None:
    """Draw every estimate of one change's effect on the Sharpe ratio, and what is claimed of it.

    None where the Sharpe ratio does not move: there is nothing to be seen.
    """
    if candidate.missing.get("probability_positive") is not None and candidate.expected_uplift == 0:
        return None
    found = (candidate.effect, *candidate.other_effects, *([candidate.local_effect] if candidate.local_effect else []))
    bars = [
        Bar(
            label=f"{METHOD_NAMES.get(one.method, one.method).capitalize()} (n {one.n_pairs})",
            value=one.estimate,
            lower=one.lower,
            upper=one.upper,
            marked=False,
        )
        for one in found
        if one.metric == "sharpe_ratio"
    ]
    bars.append(
        Bar(
            label="Expected uplift, with predictive interval",
            value=candidate.expected_uplift,
            lower=candidate.uplift_lower,
            upper=candidate.uplift_upper,
        )
    )
    drawing = intervals_drawing(
        bars,
        title="What was measured, and what is claimed",
        axis="change of the annualised Sharpe ratio",
        marked="claimed",
        unmarked="measured",
    )
    table = Table(
        title="Estimates",
        columns=(
            Column(key="what", header="Estimate"),
            Column(key="value", header="Sharpe ratio", kind=Kind.SIGNED),
            Column(key="interval", header="Interval"),
        ),
        rows=tuple({"what": bar.label, "value": bar.value, "interval": interval(bar.lower, bar.upper)} for bar in bars),
    )
    says = "Interval plot: the measured effect by each method (hollow), and the claim after all haircuts (filled)."
    return chart(drawing, name="contrasts", title="Effect", says=says, table=table)


def slices_chart(slices: Sequence[SliceEffect], *, name: str, title: str) -> Chart | None:
    """Draw the effect in each regime or sub-period; None if there are none."""
    if not slices:
        return None
    metric = slices[0].metric
    in_percent = metric in PERCENT_METRICS
    bars = [_slice_bar(one, 100.0 if in_percent else 1.0) for one in slices]
    what = f"change of the {METRIC_NAMES.get(metric, metric)}"
    known = any(one.standard_error is not None for one in slices)
    axis = f"{what}{', %' if in_percent else ''}{', ± 2 standard errors' if known else ''}"
    drawing = intervals_drawing(bars, title=title, axis=axis)
    table = Table(
        title=title,
        columns=(
            Column(key="label", header="Slice"),
            Column(key="estimate", header=f"Change of {METRIC_NAMES.get(metric, metric)}"),
            Column(key="error", header="Standard error"),
            Column(key="days", header="Days", kind=Kind.COUNT),
            Column(key="reason", header="Why none"),
        ),
        rows=tuple(
            {
                "label": one.label,
                "estimate": None if one.estimate is None else metric_text(metric, one.estimate),
                "error": None if one.standard_error is None else size_text(metric, one.standard_error),
                "days": one.n_days,
                "reason": one.reason or "",
            }
            for one in slices
        ),
    )
    return chart(drawing, name=name, title=title, says=_slices_said(slices, what, known=known), table=table)


def _slice_bar(one: SliceEffect, scale: float) -> Bar:
    value, error = one.estimate, one.standard_error
    label = f"{one.label} ({counted(one.n_days, 'day')})"
    if value is None or error is None:
        return Bar(label=label, value=None if value is None else scale * value)
    return Bar(label=label, value=scale * value, lower=scale * (value - 2 * error), upper=scale * (value + 2 * error))


def _slices_said(slices: Sequence[SliceEffect], what: str, *, known: bool) -> str:
    values = [one.estimate for one in slices if one.estimate is not None]
    kind = "Interval plot" if known else "Dot plot"
    above = f"above zero in {sum(value > 0 for value in values)} of {len(values)}"
    missing = len(slices) - len(values)
    return f"{kind}: {what}, {above}{f', not known in {missing}' if missing else ''}."
