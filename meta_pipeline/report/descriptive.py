"""The views that describe and decide nothing, as tables: each says so."""

from collections.abc import Sequence
from typing import Final

from meta_pipeline.diagnostics.descriptive import Against, Descriptive
from meta_pipeline.evidence.robustness import Robustness
from meta_pipeline.report.table import Cell, Column, Kind, Table

_FACTS: Final = (
    Column(key="what", header="What"),
    Column(key="value", header="Value"),
    Column(key="note", header="Note"),
)


def descriptive_tables(found: Descriptive) -> tuple[Table, ...]:
    """Return all of them, in the order in which they are read."""
    return (
        overfitting_panel(found),
        importance_table(found),
        interactions_table(found),
        pairs_table(found),
        robustness_table(found),
    )


def overfitting_panel(found: Descriptive) -> Table:
    """Show how often the choice of the best fails out of sample, and whether anything beats the benchmarks."""
    missing = found.missing
    rows: list[tuple[str, Cell, str]] = [
        ("Configurations compared", f"{found.n_series:,}", f"on {found.n_days:,} common days"),
        (
            "Probability of backtest overfitting",
            _percent(found.probability_of_overfitting),
            missing.get("probability_of_overfitting", f"{found.n_splits:,} splits; on pure noise it scatters by 18 %"),
        ),
        ("The best loses out of sample", _percent(found.probability_of_loss), "share of the splits"),
        ("Best in sample against out", _number(found.degradation_slope), "slope; 1 is what lasts, 0 is luck"),
        (
            "Effective number of trials",
            _number(found.n_effective, digits=1),
            missing.get("n_effective", "uncorrelated series; for show"),
        ),
        (
            "Not told from the best",
            None if found.n_indistinguishable is None else f"{found.n_indistinguishable:,}",
            missing.get("n_indistinguishable", "model confidence set, 90 %"),
        ),
    ]
    rows += [(f"Better than {one.benchmark}", _better(one), _why(one)) for one in found.against]
    return _facts("Overfitting panel", rows, found.label)


def _better(one: Against) -> str | None:
    return None if one.p_value is None else f"{len(one.better):,} of {one.n_compared:,}"


def _why(one: Against) -> str:
    return one.missing or f"superior predictive ability, p {one.p_value:.3f}; stepwise test at 10 %"


def importance_table(found: Descriptive) -> Table:
    """Show the knobs by how much they matter."""
    return Table(
        title="Importance of knobs",
        columns=(
            Column(key="path", header="Knob"),
            Column(key="wald", header="Wald", kind=Kind.NUMBER),
            Column(key="freedom", header="Directions", kind=Kind.COUNT),
            Column(key="p", header="p, over days", kind=Kind.NUMBER),
            Column(key="information", header="Information (nats)"),
            Column(key="information_p", header="p, over runs", kind=Kind.NUMBER),
        ),
        rows=tuple(
            {
                "path": knob.path,
                "wald": knob.wald,
                "freedom": knob.degrees_of_freedom,
                "p": knob.p_value,
                "information": _number(knob.mutual_information, digits=3),
                "information_p": knob.information_p_value,
            }
            for knob in found.knobs
        ),
        note=found.label,
        empty="No knob varies.",
    )


def interactions_table(found: Descriptive) -> Table:
    """Show the settings in which a change does the opposite of what it does on average."""
    return Table(
        title="Interactions that overturn an effect",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="main", header="Everywhere", kind=Kind.SIGNED),
            Column(key="where", header="But with"),
            Column(key="there", header="There", kind=Kind.SIGNED),
            Column(key="interval", header="Interval"),
            Column(key="pairs", header="Pairs", kind=Kind.COUNT),
        ),
        rows=tuple(
            {
                "knob": one.knob,
                "change": one.change,
                "main": one.main,
                "where": one.where,
                "there": one.estimate,
                "interval": f"[{one.lower:+.2f}, {one.upper:+.2f}]",
                "pairs": one.n_pairs,
            }
            for one in found.interactions
        ),
        note="Intervals hold for all settings looked at together.",
        empty="None is shown.",
    )


def pairs_table(found: Descriptive) -> Table:
    """Show what pairs of knobs tell together."""
    return Table(
        title="Pairs of knobs",
        columns=(
            Column(key="first", header="Knob"),
            Column(key="second", header="And"),
            Column(key="redundancy", header="Redundancy", kind=Kind.NUMBER),
            Column(key="synergy", header="Synergy (nats)"),
            Column(key="p", header="p, adjusted", kind=Kind.NUMBER),
        ),
        rows=tuple(
            {
                "first": pair.first,
                "second": pair.second,
                "redundancy": pair.redundancy,
                "synergy": _number(pair.synergy, digits=3),
                "p": pair.adjusted_p_value,
            }
            for pair in found.pairs
        ),
        note=found.label,
        empty="Fewer than two knobs vary.",
    )


def robustness_table(found: Descriptive) -> Table:
    """Show what the live configuration's wealth rests on."""
    live = found.live
    if live is None:
        rows = [("Live configuration", None, found.missing.get("live", "not known"))]
        return _facts("What the live configuration rests on", rows, found.label)
    return _facts("What the live configuration rests on", _robustness_rows(live), live.label)


def _robustness_rows(live: Robustness) -> list[tuple[str, Cell, str]]:
    why = live.missing
    rows: list[tuple[str, Cell, str]] = [
        (
            f"In {one.label}",
            _number(one.sharpe),
            f"Sharpe ratio on {one.n_days:,} days; log wealth {_number(one.log_wealth) or 'gone'}",
        )
        for one in live.regimes
    ]
    return [
        *rows,
        ("Worst regime", live.worst_regime, why.get("worst_regime", "Sharpe ratios drawn towards the whole's")),
        ("Mix of regimes", _number(live.regime_entropy), why.get("regime_entropy", "entropy; 1 is an even mix")),
        ("Concentration", _number(live.concentration), why.get("concentration", "1: one regime made everything")),
        ("Best ten days", _percent(live.best_days), why.get("best_days", "of all log wealth")),
        ("Expected shortfall", _percent(live.expected_shortfall), why.get("expected_shortfall", "worst 5 % of days")),
        ("Tail index", _number(live.tail_index), why.get("tail_index", "Hill; lower is heavier")),
    ]


def _facts(title: str, rows: Sequence[tuple[str, Cell, str]], note: str) -> Table:
    cells = tuple({"what": what, "value": value, "note": said} for what, value, said in rows)
    return Table(title=title, columns=_FACTS, rows=cells, note=note)


def _number(value: float | None, *, digits: int = 2) -> str | None:
    return None if value is None else f"{value:z.{digits}f}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:z.1f} %"
