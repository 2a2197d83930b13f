"""Logs with a planted truth, for tests and benchmarks.

Every line says that it is synthetic: such logs can train a model, never promote one.

A hidden best action is drawn per decision; each base model knows it with a probability of its own. In `EDGE` the base
model of the smallest weight knows it best, which the ensemble ignores and a meta-model can learn. In `FLIP` that is so
until a turning point, after which it is wrong. In `NOISE` nobody knows anything.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.instants import MICROSECONDS_PER_MINUTE, iso
from meta_pipeline.meta_model.outcome_log import COLUMNS
from meta_pipeline.meta_model.prediction_log import SYNTHETIC

FIRST_INSTANT: Final = 1_770_249_600_000_000
"""2026-02-05, the predecessor's earliest prediction, in microseconds."""


class Truth(StrEnum):
    """What is planted."""

    EDGE = "edge"
    FLIP = "flip"
    NOISE = "noise"


@dataclass(frozen=True, kw_only=True)
class SyntheticSettings:
    """How the logs are drawn.

    Parameters
    ----------
    truth, seed, n
        What is planted, what it is drawn from, and how many decisions.
    models
        Names of the base models; the last one is the one that knows.
    symbols
        Names of the symbols, taken in turn; decisions of all symbols share their time stamps.
    minutes
        Between decisions, and until an outcome is known (so that labels do not overlap).
    skill, others
        Probabilities of knowing the best action, of the one and of the others. A third is chance.
    flip_at
        Share of the decisions after which the one is as often wrong as it was right, for `FLIP`.
    cost_pct
        Round-trip cost in per cent, paid by pnl_pct.
    """

    truth: Truth = Truth.EDGE
    seed: int = 42
    n: int = 2000
    models: tuple[str, ...] = ("xgb", "lgbm", "nhits", "patchtst")
    symbols: tuple[str, ...] = ("BTCUSDT",)
    minutes: int = 5
    skill: float = 0.75
    others: float = 0.36
    flip_at: float = 0.5
    cost_pct: float = 0.1

    def __post_init__(self) -> None:
        if self.n < 1 or not self.models or not self.symbols:
            raise InputError("draw at least one decision of one symbol by one base model")


Pair = tuple[dict[str, Any], dict[str, Any]]


def synthetic_logs(settings: SyntheticSettings) -> Iterator[Pair]:
    """Draw decisions: the line of the prediction log and the row of the outcomes, one after the other."""
    rng = np.random.default_rng(settings.seed)
    n, n_models = settings.n, len(settings.models)
    best = rng.choice(3, size=n, p=[0.35, 0.30, 0.35])
    actions = _votes(rng, best, settings)
    confidences = np.round(rng.uniform(0.4, 0.9, size=(n, n_models)), 4)
    volatility, trend = np.round(rng.uniform(0, 1, n), 4), np.round(rng.uniform(-1, 1, n), 4)
    moves = np.where(best == HOLD, 0.0, np.abs(rng.normal(1.0, 0.3, n)) + 3 * settings.cost_pct)
    moves = np.where(best == SELL, -moves, moves) + rng.normal(0, settings.cost_pct / 4, n)
    traded = rng.choice([SELL, BUY], size=n)
    pnl = np.round(np.where(traded == BUY, moves, -moves) - settings.cost_pct, 6)
    for index in range(n):
        step, turn = divmod(index, len(settings.symbols))
        stamp = iso(FIRST_INSTANT + step * settings.minutes * MICROSECONDS_PER_MINUTE)
        votes = {
            model: {"action": ACTIONS[actions[index, column]], "confidence": float(confidences[index, column])}
            for column, model in enumerate(settings.models)
        }
        common = {"timestamp": stamp, "symbol": settings.symbols[turn]}
        prediction = {
            **common,
            "base_predictions": votes,
            "regime": {"volatility": float(volatility[index]), "trend_strength": float(trend[index])},
            "data_kind": SYNTHETIC,
        }
        outcome = {
            **common,
            "action": ACTIONS[traded[index]],
            "outcome": "win" if pnl[index] > 0 else "loss",
            "pnl_pct": float(pnl[index]),
            "hold_duration_minutes": settings.minutes,
        }
        yield prediction, outcome


def write_synthetic_logs(folder: Path, settings: SyntheticSettings) -> tuple[Path, Path]:
    """Write the documented files, predictions.jsonl and outcomes.csv, into a folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions, outcomes = folder / "predictions.jsonl", folder / "outcomes.csv"
    with predictions.open("w", encoding="utf-8") as lines, outcomes.open("w", encoding="utf-8", newline="") as rows:
        writer = csv.DictWriter(rows, COLUMNS)
        writer.writeheader()
        for prediction, outcome in synthetic_logs(settings):
            lines.write(json.dumps(prediction) + "\n")
            writer.writerow(outcome)
    return predictions, outcomes


def _votes(rng: np.random.Generator, best: NDArray[np.int64], settings: SyntheticSettings) -> NDArray[np.int64]:
    n, n_models = settings.n, len(settings.models)
    skill = np.full((n, n_models), settings.others)
    skill[:, -1] = settings.skill
    if settings.truth is Truth.NOISE:
        skill[:] = 1.0 / 3.0
    if settings.truth is Truth.FLIP:
        skill[int(settings.flip_at * n) :, -1] = 1.0 - settings.skill
    knows = rng.uniform(size=(n, n_models)) < skill
    other = (best[:, None] + rng.integers(1, 3, size=(n, n_models))) % 3
    return np.where(knows, best[:, None], other)
