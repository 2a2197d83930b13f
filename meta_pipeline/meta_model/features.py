"""The features of the meta-model, in the documented order: 26 for four base models, four more for each further one.

Per base model the one-hot action [SELL, HOLD, BUY] and the confidence; then mean, largest, smallest and standard
deviation of the confidences; then the shares of votes [BUY, SELL, HOLD] (this order, unlike the one-hot) and the
disagreement; then volatility and trend strength. Values are float32, as documented; what is computed from them is
float64.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import digest
from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.ballot import DEFAULT_CONFIDENCE, Ballot

NEUTRAL_VOLATILITY: Final = 0.5
NEUTRAL_TREND: Final = 0.0

REGIME_GIVEN: Final = 0
REGIME_NEUTRAL: Final = 1
REGIME_INVALID: Final = 2

_SUMMARIES: Final = (
    "mean_confidence",
    "max_confidence",
    "min_confidence",
    "confidence_std",
    "vote_buy_pct",
    "vote_sell_pct",
    "vote_hold_pct",
    "disagreement",
    "volatility",
    "trend_strength",
)
_ONE_HOT: Final = {SELL: (1.0, 0.0, 0.0), HOLD: (0.0, 1.0, 0.0), BUY: (0.0, 0.0, 1.0), -1: (0.0, 1.0, 0.0)}
_NOBODY: Final = (0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


class Regime(NamedTuple):
    """The regime as the features see it: volatility 0..1, trend strength -1..1, and where they come from."""

    volatility: float
    trend_strength: float
    origin: int


_NEUTRAL: Final = Regime(NEUTRAL_VOLATILITY, NEUTRAL_TREND, REGIME_NEUTRAL)
_INVALID: Final = Regime(NEUTRAL_VOLATILITY, NEUTRAL_TREND, REGIME_INVALID)


def feature_names(models: Sequence[str]) -> tuple[str, ...]:
    """Name the features of these base models, in order."""
    votes = (f"{model}_{part}" for model in models for part in ("sell", "hold", "buy", "conf"))
    return (*votes, *_SUMMARIES)


def schema_digest(models: Sequence[str]) -> str:
    """Return the sha256 of what a model must agree on with its caller: models, features and classes, by name."""
    return digest({"models": list(models), "features": list(feature_names(models)), "classes": list(ACTIONS)})


def read_regime(regime: object, *, enabled: bool = True) -> Regime:
    """Read the regime; what is missing is neutral, what cannot be used makes all of it neutral and is flagged.

    Parameters
    ----------
    regime
        {"volatility": 0..1, "trend_strength": -1..1}, each optional; None or empty means unknown.
    enabled
        Whether the regime is to be read at all.
    """
    if not enabled or regime is None:
        return _NEUTRAL
    if not isinstance(regime, Mapping):
        return _INVALID
    if not regime:
        return _NEUTRAL
    volatility = regime.get("volatility", NEUTRAL_VOLATILITY)
    trend = regime.get("trend_strength", NEUTRAL_TREND)
    if not (_is_number(volatility) and _is_number(trend)):
        return _INVALID
    # A comparison with NaN is False, so NaN is out of range too.
    if not (0.0 <= volatility <= 1.0 and -1.0 <= trend <= 1.0):
        return _INVALID
    return Regime(float(volatility), float(trend), REGIME_GIVEN)


def _is_number(value: object) -> bool:
    return type(value) is float or (
        isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    )


def feature_values(ballot: Ballot, regime: Regime) -> list[float]:
    """Compute the features of one ballot as Python floats, not yet rounded to float32."""
    values: list[float] = []
    for action, confidence in zip(ballot.actions, ballot.confidences, strict=True):
        values += _ONE_HOT[action]
        values.append(confidence)
    if ballot.n_votes:
        values += _summaries(ballot)
    else:
        values += _NOBODY
    values.append(regime.volatility)
    values.append(regime.trend_strength)
    return values


def _summaries(ballot: Ballot) -> tuple[float, ...]:
    actions, n = ballot.actions, ballot.n_votes
    present = ballot.confidences
    if n != len(actions):
        present = [c for a, c in zip(actions, ballot.confidences, strict=True) if a >= 0]
    # Plain loops: the built-in sum() rounds differently from Python 3.12 on, and the hash would follow.
    total = spread = 0.0
    for confidence in present:
        total += confidence
    mean = total / n
    for confidence in present:
        spread += (confidence - mean) * (confidence - mean)
    buy, sell, hold = actions.count(BUY), actions.count(SELL), actions.count(HOLD)
    leading = max(buy, sell, hold)
    return (
        mean,
        max(present),
        min(present),
        math.sqrt(spread / n),
        buy / n,
        sell / n,
        hold / n,
        1.0 - leading / n,
    )


@cache
def packer(n_features: int) -> struct.Struct:
    """Return what packs features as little-endian float32: the bytes that are hashed, on every machine the same."""
    return struct.Struct(f"<{n_features}f")


def named_features(values: Sequence[float], models: Sequence[str]) -> dict[str, float]:
    """Pair features with their names, for people to read."""
    return dict(zip(feature_names(models), (float(value) for value in values), strict=True))


def feature_matrix(
    actions: NDArray[np.int8],
    confidences: NDArray[np.float64],
    volatility: NDArray[np.float64],
    trend_strength: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Compute the features of many ballots at once, equal to `feature_values` rounded to float32.

    Parameters
    ----------
    actions
        Shape (n, n_models), action codes, -1 where a base model has no valid vote.
    confidences
        Shape (n, n_models), 0..1; ignored where absent.
    volatility, trend_strength
        Shape (n,); NaN is read as neutral.

    Returns
    -------
    Shape (n, 4 * n_models + 10), float32.
    """
    n, n_models = actions.shape
    matrix = np.empty((n, 4 * n_models + len(_SUMMARIES)), dtype=np.float32)
    present = actions >= 0
    buy, sell = actions == BUY, actions == SELL
    matrix[:, 0 : 4 * n_models : 4] = sell
    matrix[:, 1 : 4 * n_models : 4] = ~(buy | sell)
    matrix[:, 2 : 4 * n_models : 4] = buy
    matrix[:, 3 : 4 * n_models : 4] = np.where(present, confidences, DEFAULT_CONFIDENCE)
    summaries = matrix[:, 4 * n_models :]
    n_votes = present.sum(axis=1)
    someone = n_votes > 0
    n_safe = np.maximum(n_votes, 1)
    mean = _running_sum(np.where(present, confidences, 0.0)) / n_safe
    summaries[:, 0] = np.where(someone, mean, DEFAULT_CONFIDENCE)
    summaries[:, 1] = np.where(someone, np.where(present, confidences, -1.0).max(axis=1), DEFAULT_CONFIDENCE)
    summaries[:, 2] = np.where(someone, np.where(present, confidences, 2.0).min(axis=1), DEFAULT_CONFIDENCE)
    away = np.where(present, confidences - mean[:, None], 0.0)
    summaries[:, 3] = np.sqrt(_running_sum(away * away) / n_safe)
    n_buy, n_sell = buy.sum(axis=1), sell.sum(axis=1)
    n_hold = n_votes - n_buy - n_sell
    summaries[:, 4] = n_buy / n_safe
    summaries[:, 5] = n_sell / n_safe
    summaries[:, 6] = n_hold / n_safe
    leading = np.maximum(np.maximum(n_buy, n_sell), n_hold)
    summaries[:, 7] = np.where(someone, 1.0 - leading / n_safe, 0.0)
    summaries[:, 8] = np.where(np.isnan(volatility), NEUTRAL_VOLATILITY, volatility)
    summaries[:, 9] = np.where(np.isnan(trend_strength), NEUTRAL_TREND, trend_strength)
    return matrix


def _running_sum(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    # Left to right, as the single row does it: numpy's own sum pairs terms and may differ in the last bit.
    total = columns[:, 0].copy()
    for index in range(1, columns.shape[1]):
        total += columns[:, index]
    return total
