"""Many ballots as columns: what training and evaluation read instead of one ballot at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.ballot import Ballot
from meta_pipeline.meta_model.features import REGIME_INVALID, Regime, feature_matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteTable:
    """Ballots and regimes, one row per decision.

    Parameters
    ----------
    models
        Names of the base models, one per column.
    actions
        Shape (n, n_models), int8: action codes, -1 where a base model has no valid vote.
    confidences
        Shape (n, n_models), 0..1, 0.5 where absent.
    volatility, trend_strength
        Shape (n,): 0..1 and -1..1; NaN where the regime was not given, which is read as neutral.
    n_explicit
        Shape (n,): votes that stated their action.
    regime_invalid
        Shape (n,), bool: a regime was given and could not be used.
    """

    models: tuple[str, ...]
    actions: NDArray[np.int8]
    confidences: NDArray[np.float64]
    volatility: NDArray[np.float64]
    trend_strength: NDArray[np.float64]
    n_explicit: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    regime_invalid: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        n = len(self.actions)
        if self.actions.shape != (n, len(self.models)) or self.confidences.shape != self.actions.shape:
            raise InputError(
                f"actions {self.actions.shape} and confidences {self.confidences.shape} must both have one row per "
                f"decision and one column for each of {', '.join(self.models)}"
            )
        if not len(self.n_explicit):
            object.__setattr__(self, "n_explicit", (self.actions >= 0).sum(axis=1))
        if not len(self.regime_invalid):
            object.__setattr__(self, "regime_invalid", np.zeros(n, dtype=np.bool_))
        for name in ("volatility", "trend_strength", "n_explicit", "regime_invalid"):
            if getattr(self, name).shape != (n,):
                raise InputError(f"{name} has shape {getattr(self, name).shape} for {n} decisions; give one for each")

    def __len__(self) -> int:
        return len(self.actions)

    @classmethod
    def from_rows(cls, models: tuple[str, ...], rows: Sequence[tuple[Ballot, Regime]]) -> "VoteTable":
        """Collect ballots, read one at a time, into columns."""
        return cls(
            models=models,
            actions=np.array([ballot.actions for ballot, _ in rows], dtype=np.int8).reshape(-1, len(models)),
            confidences=np.array([ballot.confidences for ballot, _ in rows]).reshape(-1, len(models)),
            volatility=np.array([regime.volatility for _, regime in rows], dtype=np.float64),
            trend_strength=np.array([regime.trend_strength for _, regime in rows], dtype=np.float64),
            n_explicit=np.array([ballot.n_explicit for ballot, _ in rows], dtype=np.int64),
            regime_invalid=np.array([regime.origin == REGIME_INVALID for _, regime in rows], dtype=np.bool_),
        )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "VoteTable":
        """Select rows."""
        return VoteTable(
            models=self.models,
            actions=self.actions[rows],
            confidences=self.confidences[rows],
            volatility=self.volatility[rows],
            trend_strength=self.trend_strength[rows],
            n_explicit=self.n_explicit[rows],
            regime_invalid=self.regime_invalid[rows],
        )

    def features(self, *, regime: bool = True) -> NDArray[np.float32]:
        """Compute the features, shape (n, 4 * n_models + 10); `regime` says whether the regime is read."""
        unknown = np.full(len(self), np.nan)
        return feature_matrix(
            self.actions,
            self.confidences,
            self.volatility if regime else unknown,
            self.trend_strength if regime else unknown,
        )
