"""Tables of a trained meta-model: the gate's checks, what it earned, regimes, confusion, reliability, features.

Belongs here: what is shown of a model's metadata and verdict. Does not belong here: figures (meta_model).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from meta_pipeline.counted import counted
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.report.table import Cell, Column, Kind, Table, day, interval

if TYPE_CHECKING:
    from meta_pipeline.meta_model.promotion import Verdict
    from meta_pipeline.store.meta_model import StoredVersion

MAX_FEATURES: Final = 12


def checks_table(verdict: "Verdict") -> Table:
    """List every check of the gate with its answer. Lifts are net, in per cent per decision, with their intervals."""
    return Table(
        title="Promotion gate",
        columns=(
            Column(key="check", header="Check"),
            Column(key="passed", header="Passed"),
            Column(key="measured", header="Measured"),
            Column(key="needed", header="Needed"),
        ),
        rows=tuple(
            {
                "check": check.name.replace("_", " "),
                "passed": "yes" if check.passed else "no",
                "measured": check.measured,
                "needed": check.needed,
            }
            for check in verdict.checks
        ),
    )


def verdict_sentence(verdict: "Verdict", *, has_champion: bool) -> str:
    """Say in one sentence what the gate decided and what follows from it."""
    if verdict.promoted:
        return "The gate is open: this model passed every check and decides from now on."
    stays = "the champion goes on deciding" if has_champion else "there is no champion, so every decision defers"
    failed = sum(not check.passed for check in verdict.checks)
    return f"The gate is shut: {failed} of {len(verdict.checks)} checks failed, the model stays a candidate, {stays}."


def lift_sentence(verdict: "Verdict") -> str:
    """Say plainly over which ways of deciding a lift was found."""
    asked = [check for check in verdict.checks if check.name.startswith("lift_over_")]
    names = {check.name.removeprefix("lift_over_").replace("_", " "): check.passed for check in asked}
    found = [name for name, passed in names.items() if passed and name != "champion"]
    missing = [name for name, passed in names.items() if not passed]
    if not missing:
        return f"A lift was found over {', '.join(found)}."
    if not found:
        return f"No lift was found: not over {', nor over '.join(missing)}."
    return f"A lift was found over {', '.join(found)}, but not over {', nor over '.join(missing)}."


def earnings_table(metadata: Mapping[str, Any]) -> Table:
    """Compare ways of deciding on the days held back: right answers, what each earned, what the model earned beyond."""
    test = metadata["test"]
    lifts, net = test["net_lift"], test["net_pct_per_decision"]
    rows: list[dict[str, Cell]] = [
        {"way": "meta-model", "accuracy": test["decision_accuracy"]["decisions"], "net": net, "interval": None}
    ]
    rows += [
        {
            "way": name.replace("_", " "),
            "accuracy": test["decision_accuracy"][name],
            "net": net - found["estimate"],
            "interval": interval(found["lower"], found["upper"]),
        }
        for name, found in lifts.items()
    ]
    return Table(
        title="Days held back",
        columns=(
            Column(key="way", header="Decided by"),
            Column(key="accuracy", header="Right", kind=Kind.PERCENT),
            Column(key="net", header="Net %", kind=Kind.SIGNED),
            Column(key="interval", header="Lift over it"),
        ),
        rows=tuple(rows),
        note=(
            f"{counted(test['n_samples'], 'decision')}, {test['n_overrides']:,} overridden. "
            "Net: after cost, per decision."
        ),
    )


def regimes_table(metadata: Mapping[str, Any]) -> Table:
    """List accuracy by regime, out of fold."""
    return Table(
        title="Accuracy by regime, out of fold",
        columns=(
            Column(key="regime", header="Regime"),
            Column(key="accuracy", header="Right", kind=Kind.PERCENT),
            Column(key="n_samples", header="Decisions", kind=Kind.COUNT),
        ),
        rows=tuple(
            {"regime": name.replace("_", " "), **found} for name, found in metadata["out_of_fold"]["regimes"].items()
        ),
    )


def confusion_table(metadata: Mapping[str, Any]) -> Table:
    """Count what would have paid (rows) against what the model found most probable (columns), on the days held back."""
    rows = metadata["test"]["confusion"]
    return Table(
        title="Confusion on the days held back",
        columns=(
            Column(key="label", header="Would have paid"),
            *(Column(key=action, header=action, kind=Kind.COUNT) for action in ACTIONS),
        ),
        rows=tuple(
            {"label": label, **dict(zip(ACTIONS, counts, strict=True))}
            for label, counts in zip(ACTIONS, rows, strict=True)
        ),
    )


_MEASURES: Final = {
    "n_samples": ("decisions", "{:,.0f}"),
    "accuracy": ("accuracy", "{:.3f}"),
    "majority_accuracy": ("share of the largest class", "{:.3f}"),
    "log_loss": ("log loss", "{:.4f}"),
    "brier_score": ("Brier score", "{:.4f}"),
    "expected_calibration_error": ("expected calibration error", "{:.4f}"),
    "calibration_noise": ("the same by chance alone", "{:.4f}"),
    "area_under_risk_coverage": ("area under risk-coverage", "{:.4f}"),
}


def calibration_table(metadata: Mapping[str, Any]) -> Table:
    """Compare the probabilities out of fold and on the days held back."""
    return Table(
        title="Probabilities",
        columns=(
            Column(key="measure", header="Measure"),
            Column(key="out_of_fold", header="Out of fold"),
            Column(key="test", header="Held back"),
        ),
        rows=tuple(
            {"measure": shown, **{days: form.format(metadata[days][name]) for days in ("out_of_fold", "test")}}
            for name, (shown, form) in _MEASURES.items()
        ),
    )


def reliability_table(metadata: Mapping[str, Any]) -> Table:
    """Compare confidence with how often it was right, in ten bins of equal count, on the days held back."""
    return Table(
        title="Reliability on the days held back",
        columns=(
            Column(key="confidence", header="Mean confidence", kind=Kind.PERCENT),
            Column(key="accuracy", header="Right", kind=Kind.PERCENT),
            Column(key="n", header="Decisions", kind=Kind.COUNT),
        ),
        rows=tuple(metadata["test"]["reliability"]),
    )


def coverage_table(metadata: Mapping[str, Any]) -> Table:
    """List the error rate of the most confident share of the answers, on the days held back."""
    return Table(
        title="Risk against coverage on the days held back",
        columns=(
            Column(key="coverage", header="Share of answers, most confident first", kind=Kind.PERCENT),
            Column(key="risk", header="Wrong", kind=Kind.PERCENT),
        ),
        rows=tuple(metadata["test"]["risk_coverage"][1::2]),
    )


def features_table(metadata: Mapping[str, Any]) -> Table:
    """List the features that move the answer most: calibrated log-odds per unit, mean over the members."""
    weights: Mapping[str, Sequence[float]] = metadata["feature_weights"]
    largest = sorted(weights.items(), key=lambda item: -max(abs(value) for value in item[1]))
    return Table(
        title="Feature weights",
        columns=(
            Column(key="feature", header="Feature"),
            *(Column(key=action, header=action, kind=Kind.SIGNED) for action in ACTIONS),
        ),
        rows=tuple({"feature": name, **dict(zip(ACTIONS, values, strict=True))} for name, values in largest),
    ).first(MAX_FEATURES)


def inputs_table(metadata: Mapping[str, Any]) -> Table:
    """List what was read, used and left out."""
    join, lines = metadata["join"], metadata["n_lines"]
    quarantined = metadata["quarantined"]
    facts = [
        ("prediction lines", lines["predictions"]),
        ("outcome lines", lines["outcomes"]),
        ("labelled decisions", metadata["n_samples"]),
        ("predictions without an outcome", join["n_predictions_without_outcome"]),
        ("outcomes without a prediction", join["n_outcomes_without_prediction"]),
        ("votes rejected", metadata["n_rejected_votes"]),
        *((f"predictions in quarantine: {reason}", count) for reason, count in quarantined["predictions"].items()),
        *((f"outcomes in quarantine: {reason}", count) for reason, count in quarantined["outcomes"].items()),
    ]
    return Table(
        title="Inputs",
        columns=(Column(key="what", header="What"), Column(key="count", header="Count", kind=Kind.COUNT)),
        rows=tuple({"what": what, "count": count} for what, count in facts),
        note=f"Data: {metadata['data_kind']}.",
    )


def versions_table(versions: "Iterable[StoredVersion]") -> Table:
    """List trained models, the newest first."""
    return Table(
        title="Trained models",
        columns=(
            Column(key="model", header="Model"),
            Column(key="horizon", header="Horizon"),
            Column(key="status", header="Status"),
            Column(key="data", header="Data"),
            Column(key="n", header="Decisions", kind=Kind.COUNT),
            Column(key="failed", header="Checks failed"),
            Column(key="trained", header="Trained"),
        ),
        rows=tuple(
            {
                "model": version.model_id[:12],
                "horizon": version.horizon or "-",
                "status": version.status,
                "data": version.data_kind,
                "n": version.n_samples,
                "failed": ", ".join(failed_checks(version.verdict)) or "none",
                "trained": day(version.created_at),
            }
            for version in versions
        ),
        empty="No meta-model was trained yet; run: meta-pipeline model train",
    )


def failed_checks(verdict: Mapping[str, Any]) -> list[str]:
    """Name the checks that a stored verdict says failed."""
    return [str(check["name"]) for check in verdict.get("checks", ()) if not check["passed"]]
