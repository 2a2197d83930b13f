"""The days held back: what the model decides on them, and what that earned against simpler ways of deciding."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.errors import InsufficientData
from meta_pipeline.meta_model.actions import HOLD
from meta_pipeline.meta_model.batch import BatchDecisions, decide_many, majority_of
from meta_pipeline.meta_model.evaluation import brier_score, probability_report
from meta_pipeline.meta_model.lift import Lift, lift
from meta_pipeline.meta_model.model import N_CLASSES, MetaModel
from meta_pipeline.meta_model.promotion import Evidence
from meta_pipeline.meta_model.training_settings import TrainingSettings
from meta_pipeline.meta_model.training_table import JoinCounts, TrainingTable
from meta_pipeline.meta_model.walk_forward import Rows, cut_points, known_before


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Rows to develop on, the later rows held back, and the microseconds left between them."""

    development: Rows
    test: Rows
    embargo: int


def set_aside(table: TrainingTable, counts: JoinCounts, settings: TrainingSettings) -> Split:
    """Set the latest decisions aside, and leave out those whose label was not known an embargo before.

    Raises
    ------
    InsufficientData
        If nothing is left to train on.
    """
    n = len(table)
    if n == 0:
        raise InsufficientData(
            f"none of {counted(counts.n_predictions, 'prediction')} has an outcome "
            f"({counted(counts.n_outcomes, 'outcome')} read, "
            f"{counts.n_outcomes_without_prediction:,} without a prediction within "
            f"{settings.tolerance_seconds:g} s before); check time stamps and symbols"
        )
    (cut,) = cut_points(table.starts, [1.0 - settings.test_share])
    test = np.flatnonzero(table.starts >= cut)
    embargo = round(settings.embargo_share * (cut - int(table.starts[0])))
    development = np.flatnonzero(known_before(table.starts, table.ends, cut, embargo))
    if len(np.unique(table.starts[development])) <= settings.n_splits:
        raise InsufficientData(
            f"{counted(n, 'labelled decision leaves', 'labelled decisions leave')} {len(development):,} before the "
            "days held back: too few to train on; collect more outcomes"
        )
    return Split(development=development, test=test, embargo=embargo)


def decide_rows(model: MetaModel, table: TrainingTable, rows: Rows, settings: TrainingSettings) -> BatchDecisions:
    """Decide some rows of the table as the model would, switched on."""
    return decide_many(
        table.votes.take(rows),
        model=model,
        settings=replace(settings.decision, enabled=True),
        symbols=table.symbols_of(rows).tolist(),
    )


def evidence_of(
    model: MetaModel,
    table: TrainingTable,
    split: Split,
    decisions: BatchDecisions,
    champion: MetaModel | None,
    settings: TrainingSettings,
    kind: str,
    leaks: tuple[str, ...],
) -> Evidence:
    """Collect what the gate looks at."""
    rows = split.test
    labels, paid = table.labels[rows], table.payoffs[rows]
    earned = _paid(paid, decisions.actions)
    baselines = {
        "majority_vote": _paid(paid, majority_of(table.votes.take(rows))),
        "weighted_ensemble": _paid(paid, decisions.ensemble.actions),
        "always_hold": np.zeros(len(rows)),
    }
    champion_lift, problem = None, None
    if champion is not None:
        champion_lift, problem = _against(champion, table, rows, earned, settings)
    before = np.bincount(table.labels[split.development], minlength=N_CLASSES) / len(split.development)
    report = report_of(table, rows, decisions.probabilities)
    return Evidence(
        data_kind=kind,
        n_samples=len(table),
        leaks=leaks,
        threshold=model.threshold,
        lifts={name: _lift(earned - other, table, rows, settings) for name, other in baselines.items()},
        champion_lift=champion_lift,
        champion_problem=problem,
        brier_score=brier_score(decisions.probabilities, labels),
        reference_brier_score=brier_score(np.tile(before, (len(rows), 1)), labels),
        calibration_error=_figure(report, "expected_calibration_error"),
        calibration_noise=_figure(report, "calibration_noise"),
        largest_answer_share=_figure(report, "largest_answer_share"),
        override_rate=decisions.override_rate,
        max_override_rate=settings.decision.max_override_rate,
    )


def _against(
    champion: MetaModel,
    table: TrainingTable,
    rows: Rows,
    earned: NDArray[np.float64],
    settings: TrainingSettings,
) -> tuple[Lift | None, str | None]:
    if champion.models != settings.decision.models:
        return None, f"it decides on base models {', '.join(champion.models)}, which these logs do not hold as such"
    other = _paid(table.payoffs[rows], decide_rows(champion, table, rows, settings).actions)
    return _lift(earned - other, table, rows, settings), None


def _lift(difference: NDArray[np.float64], table: TrainingTable, rows: Rows, settings: TrainingSettings) -> Lift:
    return lift(
        difference,
        table.starts[rows],
        table.ends[rows],
        level=settings.gate.level,
        n_draws=settings.gate.n_draws,
        generator=np.random.default_rng(settings.seed),
    )


def _paid(payoffs: NDArray[np.float64], actions: NDArray[np.int8]) -> NDArray[np.float64]:
    paid: NDArray[np.float64] = payoffs[np.arange(len(actions)), actions]
    return paid


def report_of(table: TrainingTable, rows: Rows, probabilities: NDArray[np.float64]) -> dict[str, JsonValue]:
    """Measure the probabilities of some rows."""
    return probability_report(probabilities, table.labels[rows], table.votes.take(rows))


def _figure(report: Mapping[str, JsonValue], name: str) -> float:
    value = report[name]
    assert isinstance(value, float)
    return value


def held_back_report(
    table: TrainingTable, rows: Rows, decisions: BatchDecisions, evidence: Evidence, settings: TrainingSettings
) -> dict[str, JsonValue]:
    """Describe the days held back, ready for JSON."""
    labels, overridden = table.labels[rows], decisions.overridden
    accuracy = {
        "decisions": float((decisions.actions == labels).mean()),
        "majority_vote": float((majority_of(table.votes.take(rows)) == labels).mean()),
        "weighted_ensemble": float((decisions.ensemble.actions == labels).mean()),
        "always_hold": float((labels == HOLD).mean()),
    }
    right = (decisions.actions == labels).astype(np.float64)
    accuracy_lift = _lift(right - (decisions.ensemble.actions == labels), table, rows, settings)
    earned = _paid(table.payoffs[rows], decisions.actions)
    return {
        **report_of(table, rows, decisions.probabilities),
        "decision_accuracy": accuracy,
        "accuracy_lift_over_weighted_ensemble": accuracy_lift.as_dict(),
        "net_lift": {name: found.as_dict() for name, found in evidence.lifts.items()},
        "net_pct_per_decision": float(earned.mean()),
        "reference_brier_score": evidence.reference_brier_score,
        "override_rate": decisions.override_rate,
        "n_overrides": int(overridden.sum()),
        "override_accuracy": float(right[overridden].mean()) if overridden.any() else None,
    }
