"""How good each strategy is: the documented score, and a lower confidence bound of its net edge.

Columns, not records: a thousand strategies are scored in one pass. Belongs here: trades -> statistics -> score. Does
not belong here: who is chosen (selection).

The default score is a lower bound of the Sharpe ratio per closed trade, after fees: its mean over its standard
deviation, shrunk towards zero by a normal prior, minus 1.645 posterior standard deviations (one-sided 95 %). The
prior's width is the spread between strategies that their own errors do not explain (empirical Bayes by moments, after
Efron and Morris, 1975), and at most `PRIOR`: ten lucky trades are worth little, and of a thousand strategies without
edge none stands out.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.policy.modes import Regime

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

PRIOR: Final = 0.2
"""Standard deviation of the prior: a Sharpe ratio of 0.2 per trade is a good strategy, 0.4 a rare one."""

CONFIDENCE: Final = 1.6448536269514722
FEWEST_FOR_SPREAD: Final = 10
"""Strategies from which on the spread between them is estimated; below, it is taken to be the prior's."""

TOLERANCE_OF_SCORE: Final = 1e-12
"""Scores this close are equal."""

NO_LOSS: Final = 2.0
"""The documented profit factor of a strategy that never lost; more than this earns nothing anyway."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyTable:
    """Statistics of closed trades, one row per strategy. All arrays have shape (n_strategies,).

    Parameters
    ----------
    total_trades, wins
        Counts.
    gross_profit, gross_loss
        Sum of what winning trades made and of what losing trades lost, both not negative, in money.
    mean_return, return_deviation
        Of the net returns per trade on its notional, as fractions; the deviation with n - 1.
    max_drawdown_pct
        Largest loss from a running peak of the trades' compounded returns, in per cent.
    worst_trade_pct
        The worst single return, in per cent; negative for a loss.
    average_r
        Mean multiple of the initial risk; NaN where it is not known.
    age_days
        Days since the first trade of the window.
    regime_tags
        Shape (n_strategies, n_regimes), whether a strategy is made for a regime, in the order of `Regime`.
    """

    strategy_ids: tuple[str, ...]
    total_trades: Integers
    wins: Integers
    gross_profit: Floats
    gross_loss: Floats
    mean_return: Floats
    return_deviation: Floats
    max_drawdown_pct: Floats
    worst_trade_pct: Floats
    average_r: Floats
    age_days: Floats
    regime_tags: Flags

    def __len__(self) -> int:
        return len(self.strategy_ids)

    @property
    def profit_factor(self) -> Floats:
        """Sum of wins over sum of losses; infinite without a loss, NaN without a trade."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.gross_profit / self.gross_loss

    @property
    def winrate(self) -> Floats:
        """Wins over trades, as a fraction; NaN without a trade."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.wins / self.total_trades

    def with_tags(self, tags: Flags) -> "StrategyTable":
        """Return the table with these regime tags."""
        if tags.shape != (len(self), len(Regime)):
            raise InputError(f"tags of shape {tags.shape} for {len(self)} strategies and {len(Regime)} regimes")
        return replace(self, regime_tags=tags)


@dataclass(frozen=True, kw_only=True, eq=False)
class TradeColumns:
    """Closed trades as columns of shape (n_trades,), in order of time.

    Parameters
    ----------
    strategies
        Index of the strategy.
    closed_at
        datetime64[s].
    pnl, notional
        Money: what the trade made after fees, and what its position cost.
    initial_risk
        Money at risk, NaN where not known.
    long
        Whether it was a long position.
    """

    strategies: Integers
    closed_at: NDArray[np.datetime64]
    pnl: Floats
    notional: Floats
    initial_risk: Floats
    long: Flags

    def __len__(self) -> int:
        return len(self.pnl)

    def since(self, moment: np.datetime64) -> "TradeColumns":
        """Return the trades that were closed at a moment or later."""
        first = int(np.searchsorted(self.closed_at, moment))
        return TradeColumns(
            strategies=self.strategies[first:],
            closed_at=self.closed_at[first:],
            pnl=self.pnl[first:],
            notional=self.notional[first:],
            initial_risk=self.initial_risk[first:],
            long=self.long[first:],
        )


def tabulate(trades: TradeColumns, strategy_ids: tuple[str, ...], *, now: np.datetime64) -> StrategyTable:
    """Compute the statistics of every strategy; one without trades has zeros and NaN."""
    n = len(strategy_ids)
    order = np.argsort(trades.strategies, kind="stable")
    own, pnl = trades.strategies[order], trades.pnl[order]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = pnl / trades.notional[order]
    counts = np.bincount(own, minlength=n)

    def total(values: Floats) -> Floats:
        return summed(own, values, n)

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total(returns) / counts
        deviation = np.sqrt(total((returns - mean[own]) ** 2) / (counts - 1))
        risk = trades.initial_risk[order]
        multiples = np.where(np.isnan(risk), 0.0, pnl / risk)
        average_r = total(multiples) / total((~np.isnan(risk)).astype(np.float64))
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    traded = counts > 0
    age = np.full(n, np.nan)
    age[traded] = (now - trades.closed_at[order][starts[traded]]) / np.timedelta64(1, "D")
    worst = np.full(n, np.nan)
    worst[traded] = 100.0 * np.minimum.reduceat(returns, starts[traded]) if traded.any() else []
    return StrategyTable(
        strategy_ids=strategy_ids,
        total_trades=counts.astype(np.int64),
        wins=total((pnl > 0).astype(np.float64)).astype(np.int64),
        gross_profit=total(np.maximum(pnl, 0.0)),
        gross_loss=total(np.maximum(-pnl, 0.0)),
        mean_return=mean,
        return_deviation=deviation,
        max_drawdown_pct=_drawdowns(returns, own, starts, traded),
        worst_trade_pct=worst,
        average_r=average_r,
        age_days=age,
        regime_tags=np.zeros((n, len(Regime)), dtype=bool),
    )


def summed(slots: Integers, values: Floats, n: int) -> Floats:
    """Sum values by their slot, 0..n - 1; a slot without values is zero."""
    return np.bincount(slots, weights=values, minlength=n).astype(np.float64, copy=False)


def _drawdowns(returns: Floats, own: Integers, starts: Integers, traded: Flags) -> Floats:
    """Return each strategy's largest loss from its running peak, in per cent; returns are grouped by strategy."""
    result = np.full(len(traded), np.nan)
    if not len(returns):
        return result
    # A loss of everything ends a curve: one unit cannot lose more than itself.
    steps = np.log(np.maximum(1.0 + returns, 1e-12))
    curve = np.cumsum(steps)
    curve -= (curve[starts[traded]] - steps[starts[traded]])[np.cumsum(traded)[own] - 1]
    # One pass over all strategies: each is lifted above the one before, so that its running peak starts anew. A curve
    # starts at zero, which is its first peak.
    lift = 2.0 * (float(np.max(np.abs(curve))) + 1.0) * (np.cumsum(traded)[own] - 1)
    peaks = np.maximum(np.maximum.accumulate(curve + lift) - lift, 0.0)
    result[traded] = 100.0 * -np.expm1(-np.maximum.reduceat(peaks - curve, starts[traded]))
    return result


def objections(table: StrategyTable, *, fewest: int) -> NDArray[np.str_]:
    """Say, by a code per strategy, why its statistics cannot be used; "" where they can.

    Parameters
    ----------
    fewest
        Closed trades below which a strategy is not judged.
    """
    found = np.full(len(table), "", dtype="<U24")
    drawdown, factor = table.max_drawdown_pct, table.profit_factor
    # A loss cannot be larger than the drawdown it makes: 0.95 where 95 was meant is seen by that.
    # (A short can lose more than its notional, but a drawdown ends at 100 %.)
    unit = drawdown < np.clip(-table.worst_trade_pct, 0.0, 100.0) * (1.0 - 1e-6) - 1e-9
    found[unit] = "inconsistent_drawdown"
    found[~((drawdown >= 0.0) & (drawdown <= 100.0))] = "invalid_drawdown"
    found[~(factor >= 0.0)] = "invalid_profit_factor"
    found[~((table.wins >= 0) & (table.wins <= table.total_trades))] = "invalid_winrate"
    found[table.total_trades < fewest] = "too_few_trades"
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreParts:
    """The documented score and what it is made of, each of shape (n_strategies,)."""

    score: Floats
    profit_factor: Floats
    winrate: Floats
    drawdown: Floats
    volume: Floats
    regime_bonus: Floats


def classic_scores(table: StrategyTable, regime: Regime | None) -> ScoreParts:
    """Score by the documented formula: 40 % profit factor, 30 % win rate, 20 % drawdown, 10 % volume, bonus 0.15.

    The score is 0..1.15, and NaN where a statistic is no number.
    """
    factor = np.where(table.gross_loss > 0, table.profit_factor, NO_LOSS)
    parts = (
        0.40 * np.minimum(factor / 2.0, 1.0),
        0.30 * np.clip((table.winrate - 0.40) / 0.30, 0.0, 1.0),
        0.20 * (1.0 - np.minimum(table.max_drawdown_pct / 10.0, 1.0)),
        0.10 * np.minimum(table.total_trades / 50.0, 1.0),
        0.15 * suits(table, regime).astype(np.float64),
    )
    return ScoreParts(
        score=parts[0] + parts[1] + parts[2] + parts[3] + parts[4],
        profit_factor=parts[0],
        winrate=parts[1],
        drawdown=parts[2],
        volume=parts[3],
        regime_bonus=parts[4],
    )


def suits(table: StrategyTable, regime: Regime | None) -> Flags:
    """Say which strategies are tagged for a regime."""
    if regime is None:
        return np.zeros(len(table), dtype=bool)
    return table.regime_tags[:, list(Regime).index(regime)]


def edge_bounds(table: StrategyTable, usable: Flags) -> Floats:
    """Return the lower confidence bound of each strategy's net edge per trade, in standard deviations of a trade.

    NaN where a strategy is not usable, or its returns do not vary.
    """
    n = np.maximum(table.total_trades, 1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = table.mean_return / table.return_deviation
    sharpe = np.where(usable & np.isfinite(sharpe), sharpe, np.nan)
    # Variance of an estimated Sharpe ratio (Lo, 2002), with the n - 1 of a small sample.
    error = (1.0 + 0.5 * sharpe**2) / np.maximum(n - 1.0, 1.0)
    width = _spread(sharpe, error)
    if width <= 0.0:
        return np.where(np.isnan(sharpe), np.nan, -CONFIDENCE * np.sqrt(error))
    shrink = width / (width + error)
    bound: Floats = shrink * sharpe - CONFIDENCE * np.sqrt(shrink * error)
    return bound


def _spread(sharpe: Floats, error: Floats) -> float:
    """Return the variance of the prior: what differs between strategies beyond their own errors, at most `PRIOR`."""
    known = ~np.isnan(sharpe)
    n = int(np.count_nonzero(known))
    if n < FEWEST_FOR_SPREAD:
        return PRIOR**2
    values, errors = sharpe[known], error[known]
    weights = 1.0 / (errors + PRIOR**2)
    excess = float(weights @ (values**2 - errors)) / float(weights.sum())
    return min(max(excess, 0.0), PRIOR**2)
