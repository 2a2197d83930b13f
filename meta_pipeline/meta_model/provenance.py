"""Where a model comes from: counts, sources, settings, versions, and the windows it was fitted and tested on."""

import platform
from importlib.metadata import version
from typing import Final

import numpy as np

from meta_pipeline import __version__
from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.features import feature_names
from meta_pipeline.meta_model.held_back import Split
from meta_pipeline.meta_model.instants import iso
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.out_of_fold import OutOfFold
from meta_pipeline.meta_model.outcome_log import OutcomeLog
from meta_pipeline.meta_model.pooling import PooledFit
from meta_pipeline.meta_model.prediction_log import PredictionLog
from meta_pipeline.meta_model.quarantine import reasons_of
from meta_pipeline.meta_model.training_settings import TrainingSettings
from meta_pipeline.meta_model.training_table import JoinCounts, TrainingTable
from meta_pipeline.meta_model.walk_forward import Fold

_QUARANTINE_SHOWN: Final = 100


def origin(
    predictions: PredictionLog,
    outcomes: OutcomeLog,
    counts: JoinCounts,
    settings: TrainingSettings,
    code_version: str,
) -> dict[str, JsonValue]:
    """Describe the logs, the settings and the versions, ready for JSON."""
    quarantined = (*predictions.quarantined, *outcomes.quarantined)
    return {
        "n_samples": counts.n_matched,
        "join": counts.as_dict(),
        "n_lines": {"predictions": predictions.n_lines, "outcomes": outcomes.n_lines},
        "n_without_zone": predictions.n_without_zone,
        "n_rejected_votes": predictions.n_rejected_votes,
        "quarantined": {
            "predictions": reasons_of(predictions.quarantined),
            "outcomes": reasons_of(outcomes.quarantined),
            "first": [f"{item.source}:{item.line} {item.reason}" for item in quarantined[:_QUARANTINE_SHOWN]],
        },
        "sources": {"predictions": dict(predictions.digests), "outcomes": dict(outcomes.digests)},
        "selection": {
            "share_with_outcome": counts.n_matched / counts.n_predictions,
            "propensities_given": bool((~np.isnan(outcomes.propensities)).any()),
        },
        "settings": settings.as_dict(),
        "versions": {
            "meta_pipeline": __version__,
            "code": code_version,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit_learn": version("scikit-learn"),
        },
    }


def windows(table: TrainingTable, split: Split, unseen: OutOfFold, fitted: PooledFit) -> dict[str, JsonValue]:
    """Describe every window, ready for JSON: when its decisions began, and when the last label was known."""

    def window(fold: Fold, later: str) -> dict[str, JsonValue]:
        return {
            "n_train": len(fold.train),
            "train_from": iso(table.starts[fold.train].min()),
            "train_labels_known": iso(table.ends[fold.train].max()),
            f"n_{later}": len(fold.test),
            f"{later}_from": iso(table.starts[fold.test].min()),
            f"{later}_until": iso(table.starts[fold.test].max()),
        }

    return {
        "embargo_seconds": split.embargo / 1e6,
        "held_back": window(Fold(split.development, split.test), "test"),
        "folds": [window(fold, "test") for fold in unseen.folds],
        "members": [window(fold, "calibrate") for fold in fitted.common.windows],
    }


def feature_weights(model: MetaModel) -> dict[str, JsonValue]:
    """Return, per feature, the mean calibrated log-odds of SELL, HOLD, BUY per unit, over the members."""
    mean = model.weights.coefficients.mean(axis=0).T
    return dict(zip(feature_names(model.models), mean.tolist(), strict=True))
