"""Records -> tables: what the command line prints and Dagster's metadata shows, in the same words.

Belongs here: which columns a record gets. Does not belong here: how cells are written (table), the approval sheet
(approval), the report of a strategy (diagnostics).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from meta_pipeline.backtests.aggregates import Aggregate, Dimension
from meta_pipeline.canonical import ABSENT, Level, canonical_json, digest
from meta_pipeline.proposals.candidate import Candidate, Effect, Rule
from meta_pipeline.report.table import Cell, Column, Kind, Table

RULE_MEANINGS: Final[Mapping[str, str]] = {
    Rule.UNDECLARED: "the strategy does not declare the knob",
    Rule.DEAD_KNOB: "the knob changes no return",
    Rule.ALIASED_KNOB: "the knob always moves together with another",
    Rule.UNIDENTIFIED: "the runs cannot tell the effect; more runs are needed",
    Rule.METRICS_ONLY: "runs without a return series are no evidence",
    Rule.IDENTICAL_RETURNS: "both values give the same returns",
    Rule.NOT_CHANGEABLE: "the declaration forbids the change",
    Rule.NOT_BETTER: "not better than what is live",
    Rule.WEAK_EVIDENCE: "cannot be told from chance",
    Rule.SUGGESTIVE: "suggestive only",
    Rule.LOCAL_OPPOSITE_SIGN: "the opposite effect at the live configuration",
    Rule.RISK_LIMIT: "would break a risk limit",
    Rule.RISK_UNKNOWN: "the change of risk is not known",
    Rule.BELOW_SWITCHING_COST: "the expected uplift is below the cost of switching",
    Rule.DOMINATED: "another value of the knob is better",
    Rule.ONE_CHANGE_AT_A_TIME: "another change claims more, and one is made at a time",
}
"""Rule code -> what it means, in a few words."""

LONGEST_LEVEL: Final = 80
"""Characters of a value that a table shows; of a longer one the first half of that."""
PERCENT_METRICS: Final = frozenset({"mean_return", "volatility", "max_drawdown", "expected_shortfall"})
METRIC_NAMES: Final[Mapping[str, str]] = {
    "sharpe_ratio": "Sharpe ratio",
    "mean_return": "mean return",
    "volatility": "volatility",
    "max_drawdown": "maximum drawdown",
    "expected_shortfall": "expected shortfall",
}
METHOD_NAMES: Final[Mapping[str, str]] = {
    "matched_pairs": "matched pairs",
    "least_squares": "least squares",
    "local_pairs": "matched pairs at the live configuration",
    "metrics_only": "reported metrics only",
    "none": "none",
}


def level_text(level: Level) -> str:
    """Write a knob's value as canonical JSON, and a missing key as (absent): no two values look alike."""
    return "(absent)" if level is ABSENT else canonical_json(level)


def change_text(before: Level, after: Level) -> str:
    """Write a change of a value on one line; a long value is cut, and told apart by its digest."""
    return f"{_brief(before)} → {_brief(after)}"


def _brief(level: Level) -> str:
    text = level_text(level)
    if level is ABSENT or len(text) <= LONGEST_LEVEL:
        return text
    return f"{text[: LONGEST_LEVEL // 2]}… ({len(text):,} characters, sha256 {digest(level)[:8]})"


def effect_text(effect: Effect) -> str | None:
    """Write an effect with its interval, "+0.31 [+0.05, +0.57]"; metrics other than the Sharpe ratio are named.

    Returns
    -------
    str or None
        None if there is no estimate.
    """
    written = estimate_text(effect)
    if written is None or effect.metric == "sharpe_ratio":
        return written
    return f"{METRIC_NAMES.get(effect.metric, effect.metric)} {written}"


def estimate_text(effect: Effect) -> str | None:
    """Write an effect with its interval, without the name of its metric; None if there is no estimate."""
    if effect.estimate is None:
        return None
    figure = metric_text(effect.metric, effect.estimate)
    if effect.lower is None or effect.upper is None:
        return f"{figure} (no interval)"
    return f"{figure} [{metric_text(effect.metric, effect.lower)}, {metric_text(effect.metric, effect.upper)}]"


def metric_text(metric: str, value: float) -> str:
    """Write a difference of a metric, signed, in the metric's unit."""
    if metric not in PERCENT_METRICS:
        return f"{value:+z.2f}"
    # A day's expected shortfall is a small number.
    return f"{100 * value:+z.2f} %" if metric == "expected_shortfall" else f"{100 * value:+z.1f} %"


def size_text(metric: str, value: float) -> str:
    """Write the size of a difference, or of an error, in the metric's unit and without a sign.

    One of the Sharpe ratio that is too small for two decimals is written with two digits that count.
    """
    if metric not in PERCENT_METRICS and 0 < abs(value) < 0.01:
        return f"{abs(value):.2g}"
    return metric_text(metric, abs(value)).removeprefix("+")


_CANDIDATE_COLUMNS: Final = (
    Column(key="knob", header="Knob"),
    Column(key="change", header="From → to"),
    Column(key="effect", header="Effect (Sharpe ratio, unless named)"),
    Column(key="grade", header="Grade"),
    Column(key="expected_uplift", header="Expected uplift", kind=Kind.SIGNED),
    Column(key="probability", header="P(better)", kind=Kind.PROBABILITY),
)


def _candidate_row(candidate: Candidate) -> dict[str, Cell]:
    return {
        "knob": candidate.knob,
        "change": change_text(candidate.from_value, candidate.to_value),
        "proposal_type": str(candidate.proposal_type),
        "effect": effect_text(candidate.effect),
        "grade": str(candidate.grade),
        "expected_uplift": candidate.expected_uplift,
        "probability": candidate.probability_positive,
        "n_runs": candidate.n_runs,
        "n_days": candidate.n_days,
        "legacy_confidence": candidate.legacy_confidence,
        "risk": candidate.risk_change,
        "why": candidate.rationale,
        "rule": None if candidate.suppressed_by is None else str(candidate.suppressed_by),
        "reason": candidate.suppression_reason,
    }


def proposals_table(candidates: Sequence[Candidate], *, title: str = "Proposals") -> Table:
    """Show what is proposed: knob, change, effect with interval, grade, expected uplift, probability, why."""
    return Table(
        title=title,
        columns=(*_CANDIDATE_COLUMNS, Column(key="why", header="Why", under="effect")),
        rows=tuple(_candidate_row(candidate) for candidate in candidates if candidate.is_proposal),
        empty="No proposals.",
    )


def suppressed_table(candidates: Sequence[Candidate], *, title: str = "Why no proposal") -> Table:
    """Show each candidate that was stopped, with the rule and its sentence."""
    stopped = [candidate for candidate in candidates if not candidate.is_proposal]
    return Table(
        title=title,
        columns=(
            *_CANDIDATE_COLUMNS,
            Column(key="rule", header="Stopped by"),
            Column(key="reason", header="Reason"),
        ),
        rows=tuple(_candidate_row(candidate) for candidate in stopped),
        empty="Every candidate was proposed.",
    )


def suppressed_counts_table(counts: Mapping[str, int], *, title: str = "Suppressed candidates, by reason") -> Table:
    """Show how many candidates each rule stopped, most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Table(
        title=title,
        columns=(
            Column(key="rule", header="Reason"),
            Column(key="meaning", header="What it means"),
            Column(key="count", header="Candidates", kind=Kind.COUNT),
        ),
        rows=tuple(
            {"rule": str(rule), "meaning": RULE_MEANINGS.get(rule, ""), "count": count} for rule, count in ordered
        ),
        empty="No candidate was suppressed.",
    )


def changes_table(changes: Sequence[tuple[str, Level, Level]], *, title: str = "Changes") -> Table:
    """Show touched keys only: path, before, after.

    Parameters
    ----------
    changes
        (path, value before, value after); ABSENT for a key that is not there.
    title
        Of the table.
    """
    return Table(
        title=title,
        columns=(
            Column(key="path", header="Key"),
            Column(key="before", header="Before"),
            Column(key="after", header="After"),
        ),
        rows=tuple(
            {"path": path, "before": level_text(before), "after": level_text(after)} for path, before, after in changes
        ),
        empty="Nothing changes.",
    )


AGGREGATE_FIGURES: Final = (
    Column(key="n_runs", header="Runs", kind=Kind.COUNT),
    Column(key="n_distinct", header="Distinct", kind=Kind.COUNT),
    Column(key="n_days", header="Days", kind=Kind.COUNT),
    Column(key="sharpe", header="Sharpe ratio", kind=Kind.NUMBER),
    Column(key="mean_return", header="Mean return", kind=Kind.PERCENT),
    Column(key="volatility", header="Volatility", kind=Kind.PERCENT),
    Column(key="max_drawdown", header="Max drawdown", kind=Kind.PERCENT),
    Column(key="win_rate", header="Win rate", kind=Kind.PERCENT),
)
"""The figures that aggregates, slices and configurations are shown with."""


def aggregates_table(aggregates: Sequence[Aggregate], *, title: str = "Aggregates") -> Table:
    """Show aggregates of any dimension; configurations by the first digits of their digest."""
    return Table(
        title=title,
        columns=(Column(key="dimension", header="By"), Column(key="label", header="Label"), *AGGREGATE_FIGURES),
        rows=tuple(
            {
                "dimension": str(one.dimension),
                "label": one.label[:8] if one.dimension is Dimension.CONFIG else one.label,
                **{column.key: getattr(one, column.key) for column in AGGREGATE_FIGURES},
            }
            for one in aggregates
        ),
        empty="No runs.",
    )
