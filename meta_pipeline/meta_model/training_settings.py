"""What training depends on besides the data."""

import math
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.decision_settings import DEFAULT_SETTINGS, DecisionSettings
from meta_pipeline.meta_model.labels import LabelRule, TradingCost


class Pooling(StrEnum):
    """What the symbols have in common."""

    COMPLETE = "complete"
    """One model for all symbols."""
    PARTIAL = "partial"
    """A model per symbol, drawn towards the common one by a strength that out-of-fold predictions choose."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What a model must show before it may decide.

    Parameters
    ----------
    min_samples
        Fewest labelled decisions.
    max_answer_share
        Largest share of one action among its most probable ones on the test days.
    max_calibration_error
        Largest expected calibration error on the test days, beyond what chance alone would show.
    level, n_draws
        Confidence of the lift intervals, and resamples they are made of.
    """

    min_samples: int = 1000
    max_answer_share: float = 0.90
    max_calibration_error: float = 0.05
    level: float = 0.95
    n_draws: int = 999


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of `train`; all of them are written into the artifact.

    Parameters
    ----------
    decision
        The settings it will decide with: base models, weights, thresholds.
    label_rule, cost
        How outcomes become labels.
    tolerance_seconds
        Longest time between a prediction and its fill.
    since
        Earliest prediction used, with a time zone; None: all.
    n_splits
        Folds of the walk-forward cross-validation.
    embargo_share
        Gap before each test block, as a share of the time before the held-back days.
    test_share
        Share of the decisions, the latest, that nothing is fitted or chosen on.
    inverse_penalty
        C of the regression.
    max_error, error_level
        Largest share of acted trades that may not pay, and the confidence with which the threshold holds it.
    pooling
        Whether symbols have models of their own.
    seed
        Of the bootstrap and the solver.
    gate
        What promotion asks for.
    """

    decision: DecisionSettings = DEFAULT_SETTINGS
    label_rule: LabelRule = LabelRule.META
    cost: TradingCost = field(default_factory=TradingCost)
    tolerance_seconds: float = 60.0
    since: datetime | None = None
    n_splits: int = 5
    embargo_share: float = 0.01
    test_share: float = 0.20
    inverse_penalty: float = 0.1
    max_error: float = 0.45
    error_level: float = 0.95
    pooling: Pooling = Pooling.COMPLETE
    seed: int = 42
    gate: GateSettings = field(default_factory=GateSettings)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance_seconds) and self.tolerance_seconds >= 0):
            raise InputError(f"tolerance_seconds is {self.tolerance_seconds!r}; it must be 0 or more")
        if self.since is not None and self.since.tzinfo is None:
            raise InputError(f"since is {self.since.isoformat()}, without a time zone; add one, for example +00:00")
        if self.n_splits < 2:
            raise InputError(f"n_splits is {self.n_splits}; walk-forward needs at least 2 folds")
        for name, low, high in (("embargo_share", 0.0, 0.2), ("test_share", 0.05, 0.5)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be from {low} to {high}")
        if not (math.isfinite(self.inverse_penalty) and self.inverse_penalty > 0):
            raise InputError(f"inverse_penalty is {self.inverse_penalty!r}; it must be above 0")

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the settings, ready for JSON."""
        return {
            "decision": self.decision.as_dict(),
            "label_rule": self.label_rule.value,
            "cost": self.cost.as_dict(),
            "tolerance_seconds": self.tolerance_seconds,
            "since": None if self.since is None else self.since.isoformat(),
            "n_splits": self.n_splits,
            "embargo_share": self.embargo_share,
            "test_share": self.test_share,
            "inverse_penalty": self.inverse_penalty,
            "max_error": self.max_error,
            "error_level": self.error_level,
            "pooling": self.pooling.value,
            "seed": self.seed,
            "gate": asdict(self.gate),
        }


DEFAULT_TRAINING: Final = TrainingSettings()
"""The documented settings: C 0.1, five folds, the latest fifth held back, seed 42, 1,000 decisions."""
