"""Four real base models of daily prices, trained walk-forward: what the meta-model has to judge.

Three learners of different kinds (boosted trees, a forest, a regularised linear model) and one rule (time-series
momentum) vote SELL, HOLD or BUY for the next days, each day from what was known that day. Retrained once a year on the
years before; a label that was not yet known is not trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.prices import WARM_UP, Prices
from meta_pipeline.meta_model.actions import ABSENT_VOTE, BUY, HOLD, SELL
from meta_pipeline.meta_model.fitting import one_thread

Floats = NDArray[np.float64]

BASE_MODELS: Final = ("gradient_boosting", "random_forest", "ridge_logistic", "momentum")
"""Names of the base models, in the order of their votes."""

LAGS: Final = (1, 5, 10, 20, 60, 120, 250)
BAND: Final = 0.25
"""A move of less than this share of its standard deviation is HOLD to a base model."""

TRAINING_DAYS: Final = 1000
RETRAIN_DAYS: Final = 252


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseVotes:
    """Votes of the base models, one row per decision day.

    Parameters
    ----------
    days
        Shape (n,), index of the day into the prices.
    actions, confidences
        Shape (n, 4): action codes, and the probability the model gives its action, 0..1.
    volatility
        Shape (n,): rank of the 20-day volatility among the last 750 days, 0..1.
    trend_strength
        Shape (n,): 60-day return in standard deviations, squeezed into -1..1.
    """

    days: NDArray[np.int64]
    actions: NDArray[np.int8]
    confidences: Floats
    volatility: Floats
    trend_strength: Floats

    def __len__(self) -> int:
        return len(self.days)


def base_votes(prices: Prices, *, horizon: int, seed: int) -> BaseVotes:
    """Let the base models vote on every day they can.

    Parameters
    ----------
    prices
        Daily closes of one market.
    horizon
        Days a position is held. Decided on day t, entered at the close of t + 1, left at that of t + 1 + horizon.
    seed
        Of the learners.

    Raises
    ------
    InputError
        If there are too few days, or scikit-learn is not installed.
    """
    n, first = len(prices.closes), WARM_UP + TRAINING_DAYS
    if n <= first + 1 + horizon:
        raise InputError(
            f"{n} days of prices are too few: {first + 2 + horizon} are needed for a first vote and outcome"
        )
    indicators = Indicators(prices.closes)
    features = _features(indicators)
    target = _target(indicators, horizon)
    days = np.arange(first, n - 1 - horizon)
    actions = np.full((len(days), len(BASE_MODELS)), ABSENT_VOTE, dtype=np.int8)
    confidences = np.full(actions.shape, 0.5)
    learners = _learners(seed)
    for start in range(first, int(days[-1]) + 1, RETRAIN_DAYS):
        # On day `start` the newest known label is of the day whose exit is that day's close.
        newest = start - 1 - horizon
        train = np.arange(max(newest - TRAINING_DAYS, WARM_UP), newest + 1)
        ahead = np.arange(start, min(start + RETRAIN_DAYS, int(days[-1]) + 1))
        rows = ahead - first
        with one_thread():
            for column, make in enumerate(learners):
                fitted = make().fit(features[train], target[train])
                actions[rows, column], confidences[rows, column] = _vote(fitted, features[ahead])
    actions[:, -1], confidences[:, -1] = _momentum(indicators, days)
    trend: Floats = np.tanh(_scaled_return(indicators, 60)[days] / 2.0)
    return BaseVotes(
        days=days,
        actions=actions,
        confidences=np.round(confidences, 6),
        volatility=np.round(_volatility_rank(indicators, days), 6),
        trend_strength=np.round(trend, 6),
    )


def realised_return(prices: Prices, days: NDArray[np.int64], horizon: int) -> Floats:
    """Return what the market did from the close after each day to the close `horizon` days later, as fractions."""
    entry, leave = prices.closes[days + 1], prices.closes[days + 1 + horizon]
    moved: Floats = leave / entry - 1.0
    return moved


def _features(indicators: Indicators) -> Floats:
    columns = [_scaled_return(indicators, days) for days in LAGS]
    columns += [indicators.deviation(20), indicators.deviation(60)]
    columns.append(indicators.closes / indicators.highest(250) - 1.0)
    columns.append(indicators.closes / indicators.lowest(250) - 1.0)
    columns.append(_recent_volatility(indicators) / indicators.daily_volatility)
    return np.stack(columns, axis=1)


def _scaled_return(indicators: Indicators, days: int) -> Floats:
    """Return of the last days, in standard deviations of that many days."""
    scaled = np.full(len(indicators.closes), np.nan)
    moved = indicators.closes[days:] / indicators.closes[:-days] - 1.0
    scaled[days:] = moved / (indicators.daily_volatility[days:] * float(days) ** 0.5)
    return scaled


def _recent_volatility(indicators: Indicators) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(indicators.returns[1:], 20)
    recent = np.full(len(indicators.closes), np.nan)
    recent[20:] = windows.std(axis=1)
    return recent


def _volatility_rank(indicators: Indicators, days: NDArray[np.int64]) -> Floats:
    recent = _recent_volatility(indicators)
    return np.array([float((recent[max(day - 749, 20) : day + 1] <= recent[day]).mean()) for day in days])


def _target(indicators: Indicators, horizon: int) -> NDArray[np.int8]:
    """Return the class a base model learns: the direction of a move that is larger than the band."""
    closes, n = indicators.closes, len(indicators.closes)
    move = np.zeros(n)
    move[: n - 1 - horizon] = closes[1 + horizon :] / closes[1 : n - horizon] - 1.0
    band = BAND * indicators.daily_volatility * np.sqrt(horizon)
    return np.where(move > band, BUY, np.where(move < -band, SELL, HOLD)).astype(np.int8)


def _momentum(indicators: Indicators, days: NDArray[np.int64]) -> tuple[NDArray[np.int8], Floats]:
    """Follow the return of the last 250 days, as Moskowitz, Ooi and Pedersen (2012), if it is not faint."""
    strength = _scaled_return(indicators, 250)[days]
    actions = np.where(strength > BAND, BUY, np.where(strength < -BAND, SELL, HOLD)).astype(np.int8)
    return actions, 0.5 + 0.4 * np.tanh(np.abs(strength) / 2.0)


def _vote(fitted: Any, features: Floats) -> tuple[NDArray[np.int8], Floats]:
    probabilities = fitted.predict_proba(features)
    choice = probabilities.argmax(axis=1)
    actions: NDArray[np.int8] = fitted.classes_[choice].astype(np.int8)
    return actions, probabilities.max(axis=1)


def _learners(seed: int) -> tuple[Callable[[], Any], ...]:
    try:
        from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise InputError(
            "the base models need scikit-learn, which is not installed; "
            "install it with: pip install 'meta-pipeline[lab,model]'"
        ) from error
    return (
        lambda: GradientBoostingClassifier(
            n_estimators=15, max_depth=2, learning_rate=0.15, subsample=0.7, random_state=seed
        ),
        lambda: RandomForestClassifier(n_estimators=30, max_depth=4, min_samples_leaf=20, random_state=seed),
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, random_state=seed)),
    )
