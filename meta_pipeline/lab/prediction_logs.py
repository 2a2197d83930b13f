"""The lab's prediction logs and trade outcomes, in the documented files: real prices, real models, real results.

The ensemble's position is paper-traded on every decision; where it holds, a paper position is taken anyway, on
alternating sides, so that every decision has an outcome and none is missing because nobody dared.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.lab.base_models import BASE_MODELS, BaseVotes, base_votes, realised_return
from meta_pipeline.lab.prices import Market, Prices, load_prices, market_named
from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.batch import EnsembleColumns, ensemble_of
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.labels import TradingCost
from meta_pipeline.meta_model.outcome_log import COLUMNS
from meta_pipeline.meta_model.prediction_log import REAL
from meta_pipeline.meta_model.training_settings import TrainingSettings
from meta_pipeline.meta_model.vote_table import VoteTable

MARKETS: Final = ("SP500", "WTI")
HORIZONS: Final = (5, 20)
"""Days a position is held; the base models vote for the first of them."""

CLOSE_OF_DAY: Final = np.timedelta64(21, "h")
"""Decisions are stamped 21:00 UTC, when both markets have settled (in winter)."""

ROUND_TRIPS: Final = 2.0
"""In and out: twice the market's one-way cost."""

LAB_DECISIONS: Final = DecisionSettings(models=BASE_MODELS)
"""Decision settings for the lab's base models, of equal weight."""


@dataclass(frozen=True, kw_only=True)
class PredictionLogFiles:
    """What was written: the log, the outcomes of the first horizon, those of all horizons, and the decisions in it."""

    predictions: Path
    outcomes: Path
    outcomes_by_horizon: Path
    n_decisions: int


def lab_training(markets: Sequence[str] = MARKETS) -> TrainingSettings:
    """Return the settings to train on these logs: the lab's base models, and the cost of each market."""
    costs = {market: ROUND_TRIPS * 100.0 * market_named(market).cost for market in markets}
    return TrainingSettings(decision=LAB_DECISIONS, cost=TradingCost(by_symbol=costs))


def write_prediction_logs(
    folder: Path, *, markets: Sequence[str] = MARKETS, horizons: Sequence[int] = HORIZONS, seed: int
) -> PredictionLogFiles:
    """Let the base models vote on the lab's prices, and write what they said and what came of it.

    Parameters
    ----------
    folder
        Made if it is not there; files of an earlier run are replaced.
    markets, horizons
        Ids of markets, and days to hold; the base models vote for the first horizon.
    seed
        Of the learners.

    Raises
    ------
    InputError
        If there is no horizon, a market is unknown, or a library is missing.
    """
    if not horizons or min(horizons) < 1:
        raise InputError(f"horizons are {list(horizons)}; give at least one, of a day or more")
    folder.mkdir(parents=True, exist_ok=True)
    files = PredictionLogFiles(
        predictions=folder / "predictions.jsonl",
        outcomes=folder / "outcomes.csv",
        outcomes_by_horizon=folder / "outcomes_by_horizon.csv",
        n_decisions=0,
    )
    n = 0
    with (
        files.predictions.open("w", encoding="utf-8") as lines,
        files.outcomes.open("w", encoding="utf-8", newline="") as rows,
        files.outcomes_by_horizon.open("w", encoding="utf-8", newline="") as all_rows,
    ):
        one, each = _writer(rows), _writer(all_rows, "horizon")
        for market_id in markets:
            market, prices = market_named(market_id), load_prices(market_id)
            votes = base_votes(prices, horizon=horizons[0], seed=seed)
            ensemble = _ensemble(votes)
            n += len(votes)
            lines.writelines(json.dumps(line) + "\n" for line in _predictions(market, prices, votes, ensemble))
            for horizon in horizons:
                for row in _outcomes(market, prices, votes, ensemble, horizon):
                    each.writerow({**row, "horizon": f"{horizon}d"})
                    if horizon == horizons[0]:
                        one.writerow(row)
    return PredictionLogFiles(
        predictions=files.predictions,
        outcomes=files.outcomes,
        outcomes_by_horizon=files.outcomes_by_horizon,
        n_decisions=n,
    )


def _writer(file: TextIO, *more: str) -> "csv.DictWriter[str]":
    writer = csv.DictWriter(file, [*COLUMNS, *more])
    writer.writeheader()
    return writer


def _ensemble(votes: BaseVotes) -> EnsembleColumns:
    table = VoteTable(
        models=BASE_MODELS,
        actions=votes.actions,
        confidences=votes.confidences,
        volatility=votes.volatility,
        trend_strength=votes.trend_strength,
    )
    return ensemble_of(table, LAB_DECISIONS.model_weights)


def _stamps(prices: Prices, days: NDArray[np.int64]) -> list[str]:
    stamps = prices.dates[days].astype("datetime64[s]") + CLOSE_OF_DAY
    return [f"{stamp}Z" for stamp in stamps]


def _predictions(
    market: Market, prices: Prices, votes: BaseVotes, ensemble: EnsembleColumns
) -> Iterator[dict[str, Any]]:
    for row, stamp in enumerate(_stamps(prices, votes.days)):
        yield {
            "timestamp": stamp,
            "symbol": market.market_id,
            "base_predictions": {
                model: {
                    "action": ACTIONS[votes.actions[row, column]],
                    "confidence": float(votes.confidences[row, column]),
                }
                for column, model in enumerate(BASE_MODELS)
            },
            "ensemble_action": ACTIONS[ensemble.actions[row]],
            "ensemble_confidence": round(float(ensemble.confidences[row]), 6),
            "regime": {
                "volatility": float(votes.volatility[row]),
                "trend_strength": float(votes.trend_strength[row]),
            },
            "data_kind": REAL,
        }


def _outcomes(
    market: Market, prices: Prices, votes: BaseVotes, ensemble: EnsembleColumns, horizon: int
) -> Iterator[dict[str, Any]]:
    known = votes.days + 1 + horizon < len(prices.closes)
    days = votes.days[known]
    held = ensemble.actions[known] == HOLD
    traded = np.where(held, np.where(days % 2 == 0, BUY, SELL), ensemble.actions[known])
    moved = realised_return(prices, days, horizon)
    net = np.where(traded == BUY, moved, -moved) - ROUND_TRIPS * market.cost
    minutes = (prices.dates[days + 1 + horizon] - prices.dates[days]) / np.timedelta64(1, "m")
    for row, stamp in enumerate(_stamps(prices, days)):
        yield {
            "timestamp": stamp,
            "symbol": market.market_id,
            "action": ACTIONS[traded[row]],
            "outcome": "win" if net[row] > 0 else "loss",
            "pnl_pct": round(100.0 * float(net[row]), 6),
            "hold_duration_minutes": round(float(minutes[row])),
        }
