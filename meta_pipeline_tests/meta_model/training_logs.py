"""Logs for the tests of training: drawn with a planted truth, written by hand, or pure noise."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.instants import iso
from meta_pipeline.meta_model.labels import TradingCost
from meta_pipeline.meta_model.outcome_log import OutcomeLog, outcome_log
from meta_pipeline.meta_model.prediction_log import PredictionLog, prediction_log
from meta_pipeline.meta_model.synthetic import SyntheticSettings, Truth, synthetic_logs
from meta_pipeline.meta_model.training_settings import TrainingSettings
from meta_pipeline_tests.meta_model.builders import MODELS, votes

START = 1_770_249_600_000_000
MINUTE = 60_000_000

Record = dict[str, Any]

SETTINGS = TrainingSettings(
    cost=TradingCost(round_trip_pct=0.1), decision=DecisionSettings(meta_threshold=0.5, max_override_rate=0.95)
)
"""Settings under which the planted edge passes every check of the gate but the kind of its data."""


def at(minutes: float) -> str:
    return iso(round(START + minutes * MINUTE))


def line(minutes: float, actions: str = "BUY SELL HOLD BUY", symbol: str = "BTCUSDT", **more: Any) -> Record:
    regime = {"volatility": 0.5, "trend_strength": 0.0}
    return {
        "timestamp": at(minutes),
        "symbol": symbol,
        "base_predictions": votes(actions),
        "regime": regime,
        **more,
    }


def fill(minutes: float, pnl_pct: float = 1.0, *, symbol: str = "BTCUSDT", hold: float = 5.0, **more: Any) -> Record:
    return {
        "timestamp": at(minutes),
        "symbol": symbol,
        "action": "BUY",
        "outcome": "win" if pnl_pct > 0 else "loss",
        "pnl_pct": pnl_pct,
        "hold_duration_minutes": hold,
        **more,
    }


def predictions_of(lines: Iterable[Record], models: tuple[str, ...] = MODELS) -> PredictionLog:
    return prediction_log((("lines", number, record) for number, record in enumerate(lines, start=1)), models)


def outcomes_of(fills: Iterable[Record], horizon: str | None = None) -> OutcomeLog:
    return outcome_log((("fills", number, record) for number, record in enumerate(fills, start=1)), horizon=horizon)


def planted(
    truth: Truth, n: int = 1500, seed: int = 1, *, symbols: tuple[str, ...] = ("BTCUSDT",), real: bool = False
) -> tuple[PredictionLog, OutcomeLog]:
    """Draw logs; `real` makes them claim to be, so that a test can see the gate open."""
    pairs = list(synthetic_logs(SyntheticSettings(truth=truth, n=n, seed=seed, symbols=symbols)))
    kind = {"data_kind": "real"} if real else {}
    return predictions_of({**prediction, **kind} for prediction, _ in pairs), outcomes_of(row for _, row in pairs)


def overlapping_noise(seed: int, n: int = 6000, bars: int = 50) -> tuple[PredictionLog, OutcomeLog]:
    """Draw what fools naive validation: labels that overlap for 50 bars, features that persist, no relation."""
    rng = np.random.default_rng(seed)
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=n + bars))])
    ahead = (walk[bars : bars + n] - walk[:n]) / bars**0.5
    slow = rng.normal(size=(n, 6))
    for row in range(1, n):
        slow[row] = 0.98 * slow[row - 1] + (1 - 0.98**2) ** 0.5 * slow[row]
    actions = np.where(slow[:, :4] > 0.4, "BUY", np.where(slow[:, :4] < -0.4, "SELL", "HOLD"))
    confidences = 0.5 + 0.4 * np.tanh(np.abs(slow[:, :4]))
    lines = [
        {
            "timestamp": at(row),
            "symbol": "BTCUSDT",
            "base_predictions": votes(" ".join(actions[row]), [float(value) for value in confidences[row]]),
            "regime": {
                "volatility": float(1 / (1 + np.exp(-slow[row, 4]))),
                "trend_strength": float(np.tanh(slow[row, 5])),
            },
            "data_kind": "real",
        }
        for row in range(n)
    ]
    return predictions_of(lines), outcomes_of(fill(row, float(ahead[row]), hold=bars) for row in range(n))
