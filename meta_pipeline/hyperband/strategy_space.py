"""The twenty-two parameters of the four-model strategy.

Belongs here: names and choices. Does not belong here: what they do (forests: shape and number of trees; orders: the
five of trading).
"""

from collections.abc import Mapping
from typing import Final, Literal

from meta_pipeline.canonical import digest
from meta_pipeline.hyperband.forests import TreeShape
from meta_pipeline.hyperband.protocol import CategoricalParameter, ParameterValue, Space

Model = Literal["entry", "position", "exit", "profit"]
MODELS: Final[tuple[Model, ...]] = ("entry", "position", "exit", "profit")

CHOICES: Final[Mapping[str, tuple[ParameterValue, ...]]] = {
    "entry_n_estimators": (50, 100, 150, 200, 300, 500),
    "entry_max_depth": (6, 8, 10, 12, 15, 20),
    "entry_min_samples_split": (5, 10, 15, 20, 30),
    "entry_min_samples_leaf": (2, 5, 8, 10, 15),
    "entry_max_features": ("sqrt", "log2", 0.3, 0.5, 0.7, 1.0),
    "position_n_estimators": (50, 100, 150, 200, 250),
    "position_max_depth": (4, 6, 8, 10, 12),
    "position_min_samples_split": (5, 10, 15, 20),
    "position_min_samples_leaf": (2, 5, 8, 10),
    "exit_n_estimators": (50, 100, 150, 200, 300),
    "exit_max_depth": (6, 8, 10, 12, 15),
    "exit_min_samples_split": (5, 10, 15, 25),
    "exit_min_samples_leaf": (2, 5, 8, 12),
    "profit_n_estimators": (100, 150, 200, 250, 300),
    "profit_max_depth": (8, 10, 12, 15, 18),
    "profit_min_samples_split": (8, 12, 16, 20),
    "profit_min_samples_leaf": (3, 6, 9, 12),
    "momentum_threshold": (1.2, 1.5, 1.78, 2.0, 2.5),
    "position_range_min": (0.3, 0.4, 0.464, 0.5),
    "position_range_max": (0.7, 0.8, 0.85, 0.9),
    "confidence_threshold": (0.5, 0.6, 0.65, 0.7),
    "exit_threshold": (0.4, 0.5, 0.55, 0.6),
}

SPACE: Final = Space(
    parameters=tuple(CategoricalParameter(name=name, choices=choices) for name, choices in CHOICES.items())
)

TRADING: Final = tuple(
    name
    for name in CHOICES
    if name.partition("_")[2]
    not in {"n_estimators", "max_depth", "min_samples_split", "min_samples_leaf", "max_features"}
)
"""Parameters that no forest depends on: another value of them needs no new tree."""

_OWN_FEATURES: Final = "sqrt"  # of the models whose share of features is not searched


def tree_shape(config: Mapping[str, ParameterValue], model: Model, sample_share: float) -> TreeShape:
    """Return how the trees of one model grow."""
    features = config.get(f"{model}_max_features", _OWN_FEATURES)
    assert isinstance(features, str | float)
    return TreeShape(
        max_depth=_whole(config, f"{model}_max_depth"),
        min_samples_split=_whole(config, f"{model}_min_samples_split"),
        min_samples_leaf=_whole(config, f"{model}_min_samples_leaf"),
        max_features=features,
        sample_share=sample_share,
    )


def forests_digest(config: Mapping[str, ParameterValue]) -> str:
    """Return the digest of the parameters that forests depend on: equal ones have the same votes."""
    return digest({name: value for name, value in config.items() if name not in TRADING})


def n_estimators(config: Mapping[str, ParameterValue], model: Model) -> int:
    """Return how many trees one model has at the full resource."""
    return _whole(config, f"{model}_n_estimators")


def _whole(config: Mapping[str, ParameterValue], name: str) -> int:
    value = config[name]
    assert isinstance(value, int)
    return value
