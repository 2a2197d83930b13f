"""The trained meta-model, folded: scaler, regression and calibration of every member as one matrix.

Only numpy is needed to ask it. How it is trained is in `training`, how it is kept in `artifact`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.meta_model.features import feature_names, schema_digest

Probabilities = tuple[float, float, float]
Floats = NDArray[np.float64]

N_CLASSES: Final = len(ACTIONS)

PROBABILITY_DIGITS: Final = 12
"""Probabilities are rounded to this many decimals: linear algebra libraries differ in the last bit between
machines, and a decision must replay on another one."""

_LARGEST_LOGIT: Final = 700.0
"""exp(-x) of anything beyond does not fit a float; the sigmoid is 0 or 1 there anyhow."""


class Predictor(Protocol):
    """What `decide` asks of a model."""

    @property
    def schema_sha256(self) -> str:
        """Digest of the base models, features and classes, by name."""
        ...

    @property
    def sha256(self) -> str:
        """Address of the model's artifact."""
        ...

    @property
    def threshold(self) -> float | None:
        """Smallest confidence whose acted errors were bounded in training; None if there was none."""
        ...

    def probabilities(self, features: bytes, symbol: str | None = None) -> Sequence[float]:
        """Return calibrated probabilities of SELL, HOLD, BUY for features packed as little-endian float32."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """The folded coefficients of an ensemble of calibrated regressions.

    Parameters
    ----------
    coefficients
        Shape (n_members, 3, n_features): calibrated log-odds of SELL, HOLD, BUY against the rest, per unit of each
        feature.
    intercepts
        Shape (n_members, 3).
    """

    coefficients: Floats
    intercepts: Floats

    def __post_init__(self) -> None:
        shape = self.coefficients.shape
        if len(shape) != 3 or shape[1] != N_CLASSES or shape[0] < 1 or self.intercepts.shape != shape[:2]:
            raise InputError(
                f"coefficients have shape {shape} and intercepts {self.intercepts.shape}; "
                f"expected (members, {N_CLASSES}, features) and (members, {N_CLASSES})"
            )
        if not (np.isfinite(self.coefficients).all() and np.isfinite(self.intercepts).all()):
            raise InputError("coefficients and intercepts must be finite numbers; the model cannot be used")
        matrix = np.ascontiguousarray(self.coefficients.reshape(-1, shape[2]))
        for array in (self.coefficients, self.intercepts, matrix):
            array.setflags(write=False)
        object.__setattr__(self, "_matrix", matrix)
        object.__setattr__(self, "_intercepts", np.ascontiguousarray(self.intercepts.reshape(-1)))

    _matrix: Floats = field(init=False, repr=False)
    _intercepts: Floats = field(init=False, repr=False)

    def one(self, features: NDArray[np.float32]) -> Probabilities:
        """Return calibrated probabilities of SELL, HOLD, BUY for one row, shape (n_features,)."""
        logits = (self._matrix.dot(features.astype(np.float64)) + self._intercepts).tolist()
        sell = hold = buy = 0.0
        for index in range(0, len(logits), N_CLASSES):
            a, b, c = _sigmoid(logits[index]), _sigmoid(logits[index + 1]), _sigmoid(logits[index + 2])
            total = a + b + c
            if total > 0.0:
                sell += a / total
                hold += b / total
                buy += c / total
            else:  # each class is denied with certainty: nothing is known
                sell += 1.0 / 3.0
                hold += 1.0 / 3.0
                buy += 1.0 / 3.0
        share = N_CLASSES / len(logits)
        digits = PROBABILITY_DIGITS
        return round(sell * share, digits), round(hold * share, digits), round(buy * share, digits)

    def many(self, features: NDArray[np.float32]) -> Floats:
        """Return calibrated probabilities for many rows: shape (n, n_features) to (n, 3)."""
        # One column per row of features, so that every later step runs over long contiguous lines.
        logits = self._matrix @ features.T.astype(np.float64)
        logits += self._intercepts[:, None]
        np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT, out=logits)
        np.negative(logits, out=logits)
        np.exp(logits, out=logits)
        logits += 1.0
        sigmoids = np.reciprocal(logits, out=logits).reshape(-1, N_CLASSES, len(features))
        # A sigmoid of a clipped logit is never quite 0, so the total is never 0 either.
        sigmoids /= sigmoids.sum(axis=1, keepdims=True)
        mean: Floats = sigmoids.mean(axis=0) if len(sigmoids) > 1 else sigmoids[0]
        return np.round(mean, PROBABILITY_DIGITS).T


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(logit, -_LARGEST_LOGIT)))


@dataclass(frozen=True, kw_only=True, eq=False)
class MetaModel:
    """A trained meta-model, ready to be asked.

    Parameters
    ----------
    models
        Names of the base models it was trained on, in the order of its features.
    weights
        What holds for every symbol.
    symbols
        What holds for single symbols, where they were pooled partially; others use `weights`.
    threshold
        Smallest confidence at which the share of wrong acted trades was bounded in training; None if no confidence
        was good enough, and then it never overrides.
    sha256
        Address of its artifact; of an unsaved model, of the artifact it would be.
    metadata
        What is known about its training, as JSON.
    """

    models: tuple[str, ...]
    weights: Weights
    symbols: Mapping[str, Weights] = field(default_factory=dict)
    threshold: float | None = 0.0
    sha256: str = ""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    schema_sha256: str = field(init=False)

    def __post_init__(self) -> None:
        n_features = len(feature_names(self.models))
        for name, weights in (("*", self.weights), *self.symbols.items()):
            if weights.coefficients.shape[2] != n_features:
                raise InputError(
                    f"the weights of {name!r} take {weights.coefficients.shape[2]} features, but base models "
                    f"{', '.join(self.models)} have {n_features}"
                )
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise InputError(f"threshold is {self.threshold!r}; it must be from 0 to 1, or None for never")
        object.__setattr__(self, "schema_sha256", schema_digest(self.models))

    def probabilities(self, features: bytes, symbol: str | None = None) -> Probabilities:
        """Return calibrated probabilities of SELL, HOLD, BUY for one row of packed features."""
        weights = self.symbols.get(symbol, self.weights) if symbol is not None else self.weights
        return weights.one(np.frombuffer(features, dtype="<f4"))

    def probabilities_of(self, features: NDArray[np.float32], symbols: Sequence[str] | None = None) -> Floats:
        """Return calibrated probabilities for many rows.

        Parameters
        ----------
        features
            Shape (n, n_features), float32.
        symbols
            One per row; None: all use the common weights.

        Returns
        -------
        Shape (n, 3), rows sum to 1.
        """
        if symbols is None or not self.symbols:
            return self.weights.many(features)
        names = np.asarray(symbols)
        out = self.weights.many(features)
        for symbol, weights in self.symbols.items():
            rows = np.flatnonzero(names == symbol)
            if len(rows):
                out[rows] = weights.many(features[rows])
        return out
