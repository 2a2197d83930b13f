"""The training table: every prediction whose outcome is known, with its label, start and end.

Outcomes are joined to the latest prediction of their symbol at or before the fill, within a tolerance. A prediction
without outcome is dropped and counted, never given a label made of the prediction itself.
"""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import ABSENT_VOTE
from meta_pipeline.meta_model.labels import LabelRule, TradingCost, labels, payoffs
from meta_pipeline.meta_model.outcome_log import OutcomeLog
from meta_pipeline.meta_model.prediction_log import PredictionLog
from meta_pipeline.meta_model.vote_table import VoteTable

NO_COST: Final = TradingCost()

SMALLEST_PROPENSITY: Final = 0.05
"""Propensities below are taken as this, so that no decision weighs more than twenty."""


@dataclass(frozen=True, kw_only=True)
class JoinCounts:
    """What the join did. `n_contradicting` are wins that lost money, or losses that made some."""

    n_predictions: int
    n_outcomes: int
    n_matched: int
    n_predictions_without_outcome: int
    n_outcomes_without_prediction: int
    n_further_fills: int
    n_conflicting_fills: int
    n_contradicting: int
    n_before: int

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the counts, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTable:
    """Labelled decisions, sorted by time, then symbol.

    Parameters
    ----------
    starts, ends
        Shape (n,), microseconds since 1970: when the decision was made, and when its label was known.
    symbols, symbol_names
        Shape (n,), index into the names.
    votes
        What was known at the start, n rows.
    labels
        Shape (n,), codes of actions.
    payoffs
        Shape (n, 3): net per cent of SELL, HOLD, BUY.
    weights
        Shape (n,), positive, mean 1: inverse propensities, or all 1.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    symbols: NDArray[np.int64]
    symbol_names: tuple[str, ...]
    votes: VoteTable
    labels: NDArray[np.int8]
    payoffs: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.starts)
        for name in ("ends", "symbols", "votes", "labels", "payoffs", "weights"):
            if len(getattr(self, name)) != n:
                raise InputError(f"{name} has {len(getattr(self, name))} rows for {n} starts; give one of each")
        if n and not (bool((self.ends >= self.starts).all()) and bool((np.diff(self.starts) >= 0).all())):
            raise InputError("rows must be sorted by start, and no label may end before its decision")

    def __len__(self) -> int:
        return len(self.starts)

    def symbols_of(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """Return the names of the symbols of some rows."""
        return np.array(self.symbol_names, dtype=np.str_)[self.symbols[rows]]


def join(
    predictions: PredictionLog,
    outcomes: OutcomeLog,
    *,
    rule: LabelRule = LabelRule.META,
    cost: TradingCost = NO_COST,
    tolerance: int = 60_000_000,
    since: int | None = None,
) -> tuple[TrainingTable, JoinCounts]:
    """Join outcomes to predictions and label them.

    Parameters
    ----------
    predictions, outcomes
        The logs.
    rule, cost
        How labels are made.
    tolerance
        Microseconds: the longest time between a prediction and its fill.
    since
        Microseconds since 1970: predictions before are left out; None: none are.

    Notes
    -----
    Several fills of one prediction are one event: their mean pnl, the latest end, a win if all won. Fills that went
    both ways leave the prediction without a label.
    """
    if tolerance < 0:
        raise InputError(f"the tolerance is {tolerance} microseconds; it must not be negative")
    event = _prediction_of(predictions, outcomes, tolerance)
    matched = event >= 0
    n = len(predictions)
    fills = np.bincount(event[matched], minlength=n)
    low, high = np.full(n, 2, dtype=np.int8), np.full(n, ABSENT_VOTE, dtype=np.int8)
    np.minimum.at(low, event[matched], outcomes.actions[matched])
    np.maximum.at(high, event[matched], outcomes.actions[matched])
    conflicting = (fills > 0) & (low != high)
    recent = np.ones(n, dtype=np.bool_) if since is None else predictions.times >= since
    rows = np.flatnonzero((fills > 0) & ~conflicting & recent)
    ends = predictions.times.copy()
    np.maximum.at(ends, event[matched], outcomes.ends[matched])
    losses = np.bincount(event[matched], weights=~outcomes.wins[matched], minlength=n)
    pnl = np.bincount(event[matched], weights=outcomes.pnl_pct[matched], minlength=n)[rows] / fills[rows]
    wins = losses[rows] == 0
    cost_pct = cost.of(predictions.symbol_names)[predictions.symbols[rows]]
    paid = payoffs(low[rows], pnl, cost_pct, pnl_is_net=cost.pnl_is_net)
    table = TrainingTable(
        starts=predictions.times[rows],
        ends=ends[rows],
        symbols=predictions.symbols[rows],
        symbol_names=predictions.symbol_names,
        votes=predictions.votes.take(rows),
        labels=labels(rule, low[rows], wins, paid),
        payoffs=paid,
        weights=_weights(outcomes.propensities, event, rows, n),
    )
    counts = JoinCounts(
        n_predictions=n,
        n_outcomes=len(outcomes),
        n_matched=len(rows),
        n_predictions_without_outcome=int(((fills == 0) & recent).sum()),
        n_outcomes_without_prediction=int((~matched).sum()),
        n_further_fills=int(matched.sum() - (fills > 0).sum()),
        n_conflicting_fills=int(conflicting.sum()),
        n_contradicting=int((wins != (pnl > 0)).sum()),
        n_before=int((~recent).sum()),
    )
    return table, counts


def _prediction_of(predictions: PredictionLog, outcomes: OutcomeLog, tolerance: int) -> NDArray[np.int64]:
    """Return, per outcome, the row of its prediction, -1 where there is none."""
    event = np.full(len(outcomes), -1, dtype=np.int64)
    known = {name: code for code, name in enumerate(predictions.symbol_names)}
    for code, name in enumerate(outcomes.symbol_names):
        if name not in known:
            continue
        mine = np.flatnonzero(outcomes.symbols == code)
        theirs = np.flatnonzero(predictions.symbols == known[name])
        if not len(theirs):
            continue
        last = np.searchsorted(predictions.times[theirs], outcomes.starts[mine], side="right") - 1
        row = theirs[np.maximum(last, 0)]
        near = (last >= 0) & (outcomes.starts[mine] - predictions.times[row] <= tolerance)
        event[mine[near]] = row[near]
    return event


def _weights(
    propensities: NDArray[np.float64], event: NDArray[np.int64], rows: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Weigh each event by the inverse of its propensity, so that rarely traded decisions count for those untraded."""
    stated = np.full(n, np.nan)
    matched = event >= 0
    np.fmin.at(stated, event[matched], propensities[matched])
    inverse = 1.0 / np.clip(np.where(np.isnan(stated[rows]), 1.0, stated[rows]), SMALLEST_PROPENSITY, 1.0)
    return inverse / inverse.mean() if len(rows) else inverse
