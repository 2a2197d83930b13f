"""What a decision depends on besides the votes and the model: names, weights, thresholds, ways to fail."""

import math
from dataclasses import dataclass, field, fields
from typing import Final

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.features import feature_names, schema_digest

DOCUMENTED_WEIGHTS: Final = {
    ("xgb", "lgbm", "nhits", "patchtst"): (0.25, 0.25, 0.30, 0.20),
    ("xgb", "lgbm", "nhits", "patchtst", "tft"): (0.20, 0.20, 0.25, 0.20, 0.15),
}
"""Weights of the base ensemble as the predecessor documents them, for its two sets of models."""

_SHARES: Final = ("meta_threshold", "max_override_rate", "high_disagreement", "low_ensemble_confidence")


@dataclass(frozen=True, kw_only=True)
class DecisionSettings:
    """Settings of `decide`. Every field takes part in `digest`, which is logged with each decision.

    Parameters
    ----------
    models
        Names of the base models, in the order of the features. Only these vote.
    weights
        Weight of each base model in the weighted ensemble, positive. None: the documented weights for the
        documented names, else equal ones.
    enabled
        Whether the meta-model may act at all; off, every decision is the ensemble's.
    meta_threshold
        Smallest calibrated confidence at which the meta-model overrides, 0..1. The stricter of this, the
        model's own risk-controlled threshold and the adaptive one holds.
    consensus_threshold
        Share of the votes, and of their confidence, from which the base models agree strongly, in (0.5, 1].
    quorum
        Fewest base models that must vote. None: three in four of them, rounded up.
    max_override_rate
        Bound on the share of overrides among the last `breaker_window` decisions, 0..1.
    breaker_window, breaker_minimum, breaker_cooldown
        Decisions the rate is taken over; decisions it is divided by at least (so that the first override
        is not a rate of 100 %); decisions for which a tripped breaker stays open.
    enable_regime_features
        Whether the regime is read; off, it is the neutral (0.5, 0.0).
    fail_open
        What happens on any error: True defers to the base ensemble, False holds.
    escalate
        Whether a decision that the model is unsure of may be handed to somebody else instead of deferred.
    high_disagreement, low_ensemble_confidence, undecided_entropy
        When it is: this share of votes against the leading action, an ensemble less confident than this, or
        normalised entropy of the model's probabilities above this.

    Raises
    ------
    InputError
        If a value is out of its range; the message names it.
    """

    models: tuple[str, ...] = ("xgb", "lgbm", "nhits", "patchtst")
    weights: tuple[float, ...] | None = None
    enabled: bool = True
    meta_threshold: float = 0.65
    consensus_threshold: float = 0.75
    quorum: int | None = None
    max_override_rate: float = 0.40
    breaker_window: int = 200
    breaker_minimum: int = 50
    breaker_cooldown: int = 200
    enable_regime_features: bool = True
    fail_open: bool = True
    escalate: bool = False
    high_disagreement: float = 0.50
    low_ensemble_confidence: float = 0.55
    undecided_entropy: float = 0.80

    # Derived once, as `decide` has no time for it.
    model_weights: tuple[float, ...] = field(init=False, repr=False, compare=False)
    votes_needed: int = field(init=False, repr=False, compare=False)
    names_of_features: tuple[str, ...] = field(init=False, repr=False, compare=False)
    schema_sha256: str = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_models()
        self._check_numbers()
        equal = (1.0 / len(self.models),) * len(self.models)
        derived = {
            "model_weights": DOCUMENTED_WEIGHTS.get(self.models, equal) if self.weights is None else self.weights,
            "votes_needed": math.ceil(0.75 * len(self.models)) if self.quorum is None else self.quorum,
            "names_of_features": feature_names(self.models),
            "schema_sha256": schema_digest(self.models),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "digest", digest(self.as_dict()))

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the settings as given, ready for JSON."""
        given = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    def _check_models(self) -> None:
        if len(self.models) == 0 or "" in self.models:
            raise InputError(f"models is {self.models!r}; name at least one base model")
        if len(set(self.models)) != len(self.models):
            raise InputError(f"models {self.models!r} repeats a name; each base model votes once")
        if self.weights is not None:
            if len(self.weights) != len(self.models):
                raise InputError(f"{len(self.weights)} weights for {len(self.models)} base models; give one for each")
            if not all(math.isfinite(weight) and weight > 0 for weight in self.weights):
                raise InputError(f"weights are {self.weights!r}; each must be a positive number")
        if self.quorum is not None and not 1 <= self.quorum <= len(self.models):
            raise InputError(f"quorum is {self.quorum}; it must be from 1 to the {len(self.models)} base models")

    def _check_numbers(self) -> None:
        for name in (*_SHARES, "undecided_entropy"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name} is {value!r}; it must be from 0 to 1")
        if not 0.5 < self.consensus_threshold <= 1.0:
            raise InputError(
                f"consensus_threshold is {self.consensus_threshold!r}; it must be above 0.5 (a majority) and at most 1"
            )
        for name in ("breaker_window", "breaker_minimum", "breaker_cooldown"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be at least 1 decision")
        if self.breaker_minimum > self.breaker_window:
            raise InputError(
                f"breaker_minimum {self.breaker_minimum} is above breaker_window {self.breaker_window}; "
                "the rate would never reach its bound"
            )


DEFAULT_SETTINGS: Final = DecisionSettings()
"""The documented settings of the predecessor, with the breaker and the quorum it lacked."""
