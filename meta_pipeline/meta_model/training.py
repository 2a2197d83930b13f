"""Training: logs in, model and the gate's verdict out. A function of its arguments.

The latest fifth of the decisions is set aside first. On the rest: out-of-fold predictions choose the threshold and
fill the regime table, and the final model is fitted. Only then is the model asked about the days set aside.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import HOLD
from meta_pipeline.meta_model.artifact import address, argmax_shares, write_artifact
from meta_pipeline.meta_model.batch import BatchDecisions, argmax_of, decide_from
from meta_pipeline.meta_model.fitting import one_thread
from meta_pipeline.meta_model.held_back import Split, decide_rows, evidence_of, held_back_report, report_of, set_aside
from meta_pipeline.meta_model.instants import microseconds_of
from meta_pipeline.meta_model.labels import LabelRule
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.monitoring import reference_scores
from meta_pipeline.meta_model.out_of_fold import OutOfFold, out_of_fold
from meta_pipeline.meta_model.outcome_log import OutcomeLog
from meta_pipeline.meta_model.pooling import PooledFit, fit_rows
from meta_pipeline.meta_model.prediction_log import SYNTHETIC, PredictionLog
from meta_pipeline.meta_model.promotion import Verdict, judge
from meta_pipeline.meta_model.provenance import feature_weights, origin, windows
from meta_pipeline.meta_model.quarantine import Quarantined
from meta_pipeline.meta_model.risk_control import GRID, RiskControl, choose_threshold
from meta_pipeline.meta_model.training_settings import DEFAULT_TRAINING, TrainingSettings
from meta_pipeline.meta_model.training_table import TrainingTable, join
from meta_pipeline.meta_model.walk_forward import Fold, Rows, audit, average_uniqueness

BREAKER_MARGIN: Final = 0.9
"""Share of the breaker's bound that a model may use up out of fold: a breaker is for what was not foreseen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What came out.

    Parameters
    ----------
    model
        The model, with the address of its artifact and its metadata.
    artifact
        The bytes to keep it as.
    verdict
        The gate's answer.
    quarantined
        Lines of the logs that were not used.
    table, test_rows, decisions
        The labelled decisions, the rows held back, and what the model decides on them.
    """

    model: MetaModel
    artifact: bytes
    verdict: Verdict
    quarantined: tuple[Quarantined, ...]
    table: TrainingTable
    test_rows: Rows
    decisions: BatchDecisions


def train(
    predictions: PredictionLog,
    outcomes: OutcomeLog,
    *,
    settings: TrainingSettings = DEFAULT_TRAINING,
    declared_kind: str | None = None,
    champion: MetaModel | None = None,
    code_version: str = "",
) -> Training:
    """Train a meta-model and put it to the gate.

    Parameters
    ----------
    predictions, outcomes
        The logs.
    settings
        Everything that was chosen.
    declared_kind
        "real" or "synthetic", where the logs do not say themselves. A log that says synthetic stays synthetic.
    champion
        The model that decides now; it is compared on the same days.
    code_version
        Written into the artifact.

    Raises
    ------
    InsufficientData
        If there are too few labelled decisions to fit anything.
    InputError
        If the logs name other base models than the settings, or scikit-learn is missing.
    """
    if predictions.votes.models != settings.decision.models:
        raise InputError(
            f"the logs were read for base models {predictions.votes.models}, "
            f"but the settings name {settings.decision.models}"
        )
    table, counts = join(
        predictions,
        outcomes,
        rule=settings.label_rule,
        cost=settings.cost,
        tolerance=round(settings.tolerance_seconds * 1e6),
        since=None if settings.since is None else microseconds_of(settings.since),
    )
    _check_cost(table, settings)
    kind = _data_kind(predictions, declared_kind)
    split = set_aside(table, counts, settings)
    features = table.votes.features(regime=settings.decision.enable_regime_features)
    with one_thread():
        unseen = out_of_fold(table, features, split.development, embargo=split.embargo, settings=settings)
        fitted = fit_rows(table, features, split.development, embargo=split.embargo, settings=settings)
    control = _risk_control(table, unseen, settings)
    threshold = _within_breaker(control.threshold, table, unseen, settings)
    model = MetaModel(
        models=settings.decision.models,
        weights=fitted.common.weights,
        symbols=fitted.symbols(unseen.strength),
        threshold=threshold,
    )
    decisions = decide_rows(model, table, split.test, settings)
    leaks = _leaks(table, split, unseen, fitted)
    evidence = evidence_of(model, table, split, decisions, champion, settings, kind, leaks)
    metadata: dict[str, JsonValue] = {
        "data_kind": kind,
        **origin(predictions, outcomes, counts, settings, code_version),
        "windows": windows(table, split, unseen, fitted),
        "risk_control": control.as_dict(),
        "acting_threshold": threshold,
        "out_of_fold": report_of(table, unseen.rows, unseen.probabilities)
        | {"fold_accuracies": list(unseen.accuracies), "skipped": list(unseen.skipped)},
        "test": held_back_report(table, split.test, decisions, evidence, settings),
        "reference_scores": list(
            reference_scores(model, table, split.test, regime=settings.decision.enable_regime_features)
        ),
        "answers_on_grid": argmax_shares(model),
        "pooling_strength": None if np.isinf(unseen.strength) else unseen.strength,
        "feature_weights": feature_weights(model),
    }
    model = replace(model, metadata=metadata)
    artifact = write_artifact(model)
    return Training(
        model=replace(model, sha256=address(artifact)),
        artifact=artifact,
        verdict=judge(evidence, settings.gate),
        quarantined=(*predictions.quarantined, *outcomes.quarantined),
        table=table,
        test_rows=split.test,
        decisions=decisions,
    )


def _check_cost(table: TrainingTable, settings: TrainingSettings) -> None:
    free = settings.label_rule is LabelRule.META and settings.cost.is_free
    if free and len(table) and not (table.labels == HOLD).any():
        raise InputError(
            "no decision is labelled HOLD, as without a trading cost one side always pays; state the cost of a round "
            "trip (round_trip_pct), in per cent"
        )


def _data_kind(predictions: PredictionLog, declared: str | None) -> str:
    if declared not in {None, "real", "synthetic"}:
        raise InputError(f"data kind {declared!r} is not known; declare real or synthetic")
    if SYNTHETIC in {predictions.data_kind, declared}:
        return SYNTHETIC
    return declared or predictions.data_kind


def _risk_control(table: TrainingTable, unseen: OutOfFold, settings: TrainingSettings) -> RiskControl:
    rows, choice = unseen.rows, argmax_of(unseen.probabilities)
    # Everything the model would be asked about out of fold and would trade on, were there no threshold.
    asked = decide_from(table.votes.take(rows), unseen.probabilities, 0.0, settings.decision).asked
    trades = asked & (choice >= 0) & (choice != HOLD)
    paid = table.payoffs[rows, np.maximum(choice, 0)]
    uniqueness = average_uniqueness(table.starts[rows], table.ends[rows])
    return choose_threshold(
        unseen.probabilities.max(axis=1)[trades],
        (paid <= 0.0)[trades],
        uniqueness[trades],
        max_error=settings.max_error,
        level=settings.error_level,
    )


def _within_breaker(
    threshold: float | None, table: TrainingTable, unseen: OutOfFold, settings: TrainingSettings
) -> float | None:
    """Raise the threshold until the model, out of fold, overrides well within what its breaker allows."""
    if threshold is None:
        return None
    asked = decide_from(table.votes.take(unseen.rows), unseen.probabilities, 0.0, settings.decision).asked
    confidence = unseen.probabilities.max(axis=1)[asked]
    allowed = BREAKER_MARGIN * settings.decision.max_override_rate * len(unseen.rows)
    stricter = [candidate for candidate in reversed(GRID) if candidate >= threshold]
    for candidate in stricter:
        if (confidence >= max(candidate, settings.decision.meta_threshold)).sum() <= allowed:
            return candidate
    return stricter[-1]


def _leaks(table: TrainingTable, split: Split, unseen: OutOfFold, fitted: PooledFit) -> tuple[str, ...]:
    starts, ends = table.starts, table.ends
    found = audit(unseen.folds, starts, ends, split.embargo)
    held_back = Fold(split.development, split.test)
    found += [f"days held back: {leak}" for leak in audit([held_back], starts, ends, split.embargo)]
    for window in fitted.common.windows:
        found += [f"calibration: {leak}" for leak in audit([window], starts, ends, split.embargo)]
    return tuple(found)
