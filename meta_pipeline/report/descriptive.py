"""The views that describe and decide nothing, as tables: each says so."""

from collections.abc import Sequence
from typing import Final

from meta_pipeline.counted import counted
from meta_pipeline.diagnostics.descriptive import Against, Descriptive
from meta_pipeline.evidence.dispersion import DESCRIPTIVE as DISPERSION
from meta_pipeline.evidence.dispersion import Dispersion
from meta_pipeline.evidence.robustness import RegimeShare, Robustness
from meta_pipeline.evidence.scenarios import DESCRIPTIVE as SCENARIOS
from meta_pipeline.evidence.scenarios import Scenarios
from meta_pipeline.evidence.tails import Tail
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
        dispersion_table(found),
        best_scenarios_table(found),
    )


def overfitting_panel(found: Descriptive) -> Table:
    """Show how often the choice of the best fails out of sample, and whether anything beats the benchmarks."""
    missing = found.missing
    rows: list[tuple[str, Cell, str]] = [
        ("Configurations compared", f"{found.n_series:,}", f"on {counted(found.n_days, 'common day')}"),
        (
            "Probability of backtest overfitting",
            _percent(found.probability_of_overfitting),
            missing.get(
                "probability_of_overfitting", f"{counted(found.n_splits, 'split')}; on pure noise it scatters by 18 %"
            ),
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
            Column(key="permutation", header="Shuffled", kind=Kind.NUMBER),
        ),
        rows=tuple(
            {
                "path": knob.path,
                "wald": knob.wald,
                "freedom": knob.degrees_of_freedom,
                "p": knob.p_value,
                "information": _number(knob.mutual_information, digits=3),
                "information_p": knob.information_p_value,
                "permutation": knob.permutation,
            }
            for knob in found.knobs
        ),
        note=f"{found.label} {_predicted(found)}",
        empty="No knob varies.",
    )


def _predicted(found: Descriptive) -> str:
    """Say what the column of shuffled knobs is worth."""
    if found.r_squared is None:
        return f"Shuffled: not known, {found.missing.get('r_squared', 'no run has returns')}."
    said = f"Shuffled: rise of the error of prediction, of the variance within blocks; R² {found.r_squared:z.2f}"
    if found.r_squared > 0:
        return f"{said} on runs that were not fitted."
    return f"{said} on runs that were not fitted, so that the knobs predict nothing and the column means nothing."


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
        note=f"{found.label} Intervals hold for all settings looked at together.",
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
    """Show what the live configuration's wealth rests on, and how heavy its losses are."""
    live = found.live
    if live is None:
        rows = [("Live configuration", None, found.missing.get("live", "not known"))]
        return _facts("What the live configuration rests on", rows, found.label)
    return _facts("What the live configuration rests on", [*_robustness_rows(live), *_tail_rows(live.tail)], live.label)


def _robustness_rows(live: Robustness) -> list[tuple[str, Cell, str]]:
    why = live.missing
    rows: list[tuple[str, Cell, str]] = [
        (f"In {one.label}", _number(one.sharpe), f"Sharpe ratio on {counted(one.n_days, 'day')}; {_won(one)}")
        for one in live.regimes
    ]
    worst = None if live.worst_regime_sharpe is None else f"{live.worst_regime_sharpe:z.2f} in {live.worst_regime}"
    drawn = "Sharpe ratio, each drawn towards the whole's by 252 of its days"
    return [
        *rows,
        ("Worst regime", worst, why.get("worst_regime_sharpe", drawn)),
        ("Mix of regimes", _number(live.regime_entropy), why.get("regime_entropy", "entropy; 1 is an even mix")),
        ("Concentration", _number(live.concentration), why.get("concentration", "1: one regime made everything")),
        ("Best ten days", _percent(live.best_days), why.get("best_days", "of all log wealth")),
    ]


def _won(one: RegimeShare) -> str:
    if one.log_wealth is None:
        return "all equity was lost"
    share = "" if one.share is None else f", {_percent(one.share)} of all that was won or lost"
    return f"log wealth {one.log_wealth:+z.2f}{share}"


def _tail_rows(tail: Tail) -> list[tuple[str, Cell, str]]:
    why = tail.missing
    beyond = (
        "" if tail.threshold is None else f"{counted(tail.n_excesses, 'day')} of {_finely(tail.threshold)} and worse"
    )
    hill = None if tail.hill_index is None else f"{tail.hill_index:.1f} ± {tail.hill_error or 0.0:.1f}"
    shape = None if tail.pareto_shape is None else f"{tail.pareto_shape:z.2f} ± {tail.pareto_shape_error or 0.0:.2f}"
    extreme = f"the worst {100 * tail.extreme:g} %, by the generalised Pareto distribution"
    return [
        ("Expected shortfall", _finely(tail.expected_shortfall), why.get("expected_shortfall", beyond)),
        ("Further out", _finely(tail.extreme_shortfall), why.get("extreme_shortfall", extreme)),
        ("Tail index", hill, why.get("hill_index", "Hill; lower is heavier, below 2 the variance is infinite")),
        ("Tail shape", shape, why.get("pareto_shape", "generalised Pareto; higher is heavier, 0 is that of a normal")),
    ]


def dispersion_table(found: Descriptive) -> Table:
    """Show how far configurations, and the live one's markets, lie apart on a day: whether the choice matters."""
    missing = found.missing.get
    rows = [
        *_dispersion_rows("Configurations", "", found.across_configurations, missing("across_configurations", "")),
        *_dispersion_rows(
            "Markets", "of the live configuration, ", found.across_markets, missing("across_markets", "")
        ),
    ]
    return _facts("Dispersion across", rows, DISPERSION)


def _dispersion_rows(name: str, of: str, one: Dispersion | None, why: str) -> list[tuple[str, Cell, str]]:
    if one is None or one.daily is None:
        return [(name, None, why or "not known" if one is None else one.missing.get("daily", "not known"))]
    said = f"{of}standard deviation across {one.n_series:,} series, median of {counted(one.n_days, 'day')}"
    apart = one.missing.get("relative", "0: they move as one; 1: each on its own")
    rows: list[tuple[str, Cell, str]] = [
        (name, _finely(one.daily), said),
        (f"{name}, relative", _number(one.relative), apart),
    ]
    few = "; too few for a median"
    rows += [
        (
            f"{name}, in {part.label}",
            _finely(part.daily),
            f"{counted(part.n_days, 'day')}{few if part.daily is None else ''}",
        )
        for part in one.by_regime
    ]
    return rows


def best_scenarios_table(found: Descriptive) -> Table:
    """Show the scenarios of the live configuration and of the best one."""
    return scenarios_table(found.scenarios, why=found.missing.get("scenarios", ""), against="the best configuration")


def scenarios_table(found: Scenarios | None, *, why: str, against: str) -> Table:
    """Show the worst months of the live configuration and of another, family by family, and whether these are worse.

    Parameters
    ----------
    found
        The scenarios; None: `why` says why.
    against
        What the other one is, in a few words.
    """
    title = f"Scenarios: the live configuration against {against}"
    columns = (
        Column(key="family", header="Paths"),
        Column(key="count", header="Number", kind=Kind.COUNT),
        Column(key="live", header="Live, worst 5 %"),
        Column(key="other", header="Other, worst 5 %"),
        Column(key="passed", header="Within tolerance"),
        Column(key="note", header="Note"),
    )
    if found is None:
        return Table(title=title, columns=columns, rows=(), empty=f"None: {why or 'not known'}.", note=SCENARIOS)
    rows: tuple[dict[str, Cell], ...] = tuple(
        {
            "family": one.name,
            "count": one.n_paths,
            "live": _percent(one.baseline),
            "other": _percent(one.challenger),
            "passed": passed_text(one.passed),
            "note": one.missing or "",
        }
        for one in found.families
    )
    said = (
        f"Mean of the worst 5 % of paths of {counted(found.horizon, 'period')}; the other may be worse by "
        f"{100 * found.tolerance:g} % of equity. All families: {passed_text(found.passed)}. {found.label}"
    )
    return Table(title=title, columns=columns, rows=rows, note=said)


def passed_text(passed: bool | None) -> str:
    """Write whether a family is within the tolerance; what is not known is no pass."""
    return "not known" if passed is None else "yes" if passed else "no"


def _facts(title: str, rows: Sequence[tuple[str, Cell, str]], note: str) -> Table:
    cells = tuple({"what": what, "value": value, "note": said} for what, value, said in rows)
    return Table(title=title, columns=_FACTS, rows=cells, note=note)


def _number(value: float | None, *, digits: int = 2) -> str | None:
    return None if value is None else f"{value:z.{digits}f}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:z.1f} %"


def _finely(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:z.2f} %"
