"""The champion in use: whether it is still the model that was tested, and how sure it must be now."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.conformal import AdaptiveThreshold, first_threshold
from meta_pipeline.meta_model.exchangeability import LIMIT, AlarmReport, disjoint_rows, watch
from meta_pipeline.meta_model.instants import iso, read_instant
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.training_table import TrainingTable
from meta_pipeline.meta_model.walk_forward import Rows


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a model did on outcomes after those it was tested on.

    Parameters
    ----------
    alarm
        What the exchangeability alarm found.
    threshold
        The adaptive threshold after the latest outcome.
    n_new
        Labelled decisions since the model was tested; the alarm watches those of them that do not overlap.
    raised_at
        Time of the decision that raised the alarm, ISO 8601; None if none did.
    """

    alarm: AlarmReport
    threshold: AdaptiveThreshold
    n_new: int
    raised_at: str | None

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the report, ready for JSON."""
        return {
            "alarm": self.alarm.as_dict(),
            "adaptive_threshold": self.threshold.as_dict(),
            "n_new": self.n_new,
            "raised_at": self.raised_at,
        }


def reference_scores(model: MetaModel, table: TrainingTable, rows: Rows, *, regime: bool) -> list[float]:
    """Score the days held back, for what comes after to be compared with: one minus the probability of the truth.

    `regime` says whether the model reads it.
    """
    chosen = rows[disjoint_rows(table.starts[rows], table.ends[rows])]
    return [round(float(score), 9) for score in _scores(model, table, chosen, regime=regime)]


def health(model: MetaModel, table: TrainingTable, *, limit: float = LIMIT) -> Health:
    """Watch a model on the labelled decisions after those it was tested on.

    Parameters
    ----------
    model
        A trained model, read from its artifact.
    table
        Labelled decisions, also older ones: they are passed over.
    limit
        Of the alarm.

    Raises
    ------
    InputError
        If the model's artifact does not say on which days it was tested, or it decides on other base models.
    """
    if model.models != table.votes.models:
        raise InputError(f"the model decides on {model.models}, the logs are of {table.votes.models}")
    try:
        reference = [float(score) for score in _part(model.metadata, "reference_scores")]
        tested_until = read_instant(_part(model.metadata, "windows", "held_back", "test_until")).microseconds
        seed = int(_part(model.metadata, "settings", "seed"))
        regime = bool(_part(model.metadata, "settings", "decision", "enable_regime_features"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the model {model.sha256} does not say how it was tested; train it again") from error
    new = np.flatnonzero(table.starts > tested_until)
    watched = new[disjoint_rows(table.starts[new], table.ends[new])]
    scores = _scores(model, table, watched, regime=regime)
    found = watch(reference, scores, seed=seed, limit=limit)
    threshold = first_threshold(reference)
    for score in scores:
        threshold = threshold.updated(1.0 - float(score))
    raised_at = None if found.raised_at is None else iso(table.starts[watched[found.raised_at]])
    return Health(alarm=found, threshold=threshold, n_new=len(new), raised_at=raised_at)


def _scores(model: MetaModel, table: TrainingTable, rows: Rows, *, regime: bool) -> NDArray[np.float64]:
    if not len(rows):
        return np.empty(0)
    features = table.votes.take(rows).features(regime=regime)
    probabilities = model.probabilities_of(features, table.symbols_of(rows).tolist())
    truth: NDArray[np.float64] = probabilities[np.arange(len(rows)), table.labels[rows]]
    return 1.0 - truth


def _part(value: Any, *names: str) -> Any:
    for name in names:
        value = value[name]
    return value
