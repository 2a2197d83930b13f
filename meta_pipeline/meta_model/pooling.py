"""Per-symbol models drawn towards the common one: partial pooling.

A symbol's own coefficients count by its credibility n / (n + strength), as Bühlmann (1967) weighs a policy's own
history against the portfolio's; strength 0 trusts the symbol alone, infinity the common model alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InsufficientData
from meta_pipeline.meta_model.fitting import Fitted, calibration_windows, fit
from meta_pipeline.meta_model.model import MetaModel, Weights
from meta_pipeline.meta_model.training_settings import Pooling, TrainingSettings
from meta_pipeline.meta_model.training_table import TrainingTable
from meta_pipeline.meta_model.walk_forward import Rows

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

STRENGTHS: Final = (math.inf, 10_000.0, 3_000.0, 1_000.0, 300.0)
"""Strengths tried, the strongest pooling first: of equal ones the stronger is taken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledFit:
    """The common fit, and the own fit of each symbol that has enough decisions, with how many those are."""

    common: Fitted
    own: Mapping[str, tuple[Weights, int]]

    def symbols(self, strength: float) -> dict[str, Weights]:
        """Return the weights of each symbol at a strength; none where pooling is complete."""
        if math.isinf(strength):
            return {}
        return {
            name: blend(self.common.weights, weights, credibility=n / (n + strength))
            for name, (weights, n) in self.own.items()
        }

    def probabilities(self, table: TrainingTable, features: Features, rows: Rows, strength: float) -> Floats:
        """Return calibrated probabilities of some rows at a strength."""
        model = MetaModel(models=table.votes.models, weights=self.common.weights, symbols=self.symbols(strength))
        return model.probabilities_of(features[rows], table.symbols_of(rows).tolist())


def blend(common: Weights, own: Weights, *, credibility: float) -> Weights:
    """Mix two sets of weights, member by member: all of `own` at credibility 1, all of `common` at 0."""
    return Weights(
        coefficients=credibility * own.coefficients + (1.0 - credibility) * common.coefficients,
        intercepts=credibility * own.intercepts + (1.0 - credibility) * common.intercepts,
    )


def fit_rows(
    table: TrainingTable, features: Features, rows: Rows, *, embargo: int, settings: TrainingSettings
) -> PooledFit:
    """Fit the common model on some rows, and with partial pooling each symbol's own.

    Raises
    ------
    InsufficientData
        If the common model cannot be fitted. A symbol that cannot stays with the common model.
    """

    def fitted(chosen: Rows) -> Fitted:
        windows = calibration_windows(table.starts, table.ends, chosen, embargo=embargo)
        return fit(
            features,
            table.labels,
            table.weights,
            windows,
            inverse_penalty=settings.inverse_penalty,
            seed=settings.seed,
        )

    common = fitted(rows)
    own: dict[str, tuple[Weights, int]] = {}
    if settings.pooling is Pooling.PARTIAL:
        for code in np.unique(table.symbols[rows]):
            mine = rows[table.symbols[rows] == code]
            try:
                own[table.symbol_names[code]] = (fitted(mine).weights, len(mine))
            except InsufficientData:
                continue
    return PooledFit(common=common, own=own)
