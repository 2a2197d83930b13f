"""Predictions of decisions by models that had not seen them: walk-forward, purged, with an embargo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InsufficientData
from meta_pipeline.meta_model.evaluation import log_loss
from meta_pipeline.meta_model.pooling import STRENGTHS, PooledFit, fit_rows
from meta_pipeline.meta_model.training_settings import Pooling, TrainingSettings
from meta_pipeline.meta_model.training_table import TrainingTable
from meta_pipeline.meta_model.walk_forward import Fold, Rows, walk_forward


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions.

    Parameters
    ----------
    rows
        Rows of the table that were predicted, in order of time.
    probabilities
        Shape (len(rows), 3).
    folds
        The folds, in rows of the table.
    accuracies
        Share of right answers per fold.
    skipped
        Why a fold could not be used, one sentence each.
    strength
        Pooling strength that predicted best; infinity where pooling is complete.
    """

    rows: Rows
    probabilities: NDArray[np.float64]
    folds: list[Fold]
    accuracies: list[float]
    skipped: list[str]
    strength: float


def out_of_fold(
    table: TrainingTable,
    features: NDArray[np.float32],
    rows: Rows,
    *,
    embargo: int,
    settings: TrainingSettings,
) -> OutOfFold:
    """Predict some rows of the table out of fold, by the very procedure that makes the final model.

    Raises
    ------
    InsufficientData
        If fewer than two folds can be fitted.
    """
    begun, known = table.starts[rows], table.ends[rows]
    local = walk_forward(begun, known, n_splits=settings.n_splits, embargo=embargo)
    folds, fits, skipped = [], [], []
    for number, (train, test) in enumerate(local, start=1):
        try:
            fits.append(fit_rows(table, features, rows[train], embargo=embargo, settings=settings))
        except InsufficientData as error:
            skipped.append(f"fold {number}: {error}")
            continue
        folds.append(Fold(rows[train], rows[test]))
    if len(folds) < 2:
        raise InsufficientData(
            f"of {settings.n_splits} folds only {len(folds)} can be fitted ({'; '.join(skipped)}); "
            "collect more outcomes"
        )
    strength, predicted = _strongest(table, features, folds, fits, settings)
    tested = np.concatenate([test for _, test in folds])
    labels = table.labels
    return OutOfFold(
        rows=tested,
        probabilities=np.concatenate(predicted),
        folds=folds,
        accuracies=[
            float((p.argmax(axis=1) == labels[test]).mean()) for p, (_, test) in zip(predicted, folds, strict=True)
        ],
        skipped=skipped,
        strength=strength,
    )


def _strongest(
    table: TrainingTable,
    features: NDArray[np.float32],
    folds: list[Fold],
    fits: list[PooledFit],
    settings: TrainingSettings,
) -> tuple[float, list[NDArray[np.float64]]]:
    """Return the pooling strength of the smallest out-of-fold log loss, and its predictions."""
    best: tuple[float, float, list[NDArray[np.float64]]] | None = None
    strengths = STRENGTHS if settings.pooling is Pooling.PARTIAL else STRENGTHS[:1]
    labels = np.concatenate([table.labels[test] for _, test in folds])
    for strength in strengths:
        predicted = [
            fitted.probabilities(table, features, test, strength) for fitted, (_, test) in zip(fits, folds, strict=True)
        ]
        loss = log_loss(np.concatenate(predicted), labels)
        if best is None or loss < best[0]:
            best = (loss, strength, predicted)
    assert best is not None
    return best[1], best[2]
