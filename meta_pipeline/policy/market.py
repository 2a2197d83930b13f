"""Regime and volatility of the markets that the book trades, from their daily closes.

Filtered, never smoothed: what is said of a moment is a function of the closes up to it, and later closes do not
change it. Belongs here: prices -> regime and volatility level. Does not belong here: what they lead to (risk_mode).

Volatility is the exponentially weighted one of RiskMetrics (decay 0.94), judged against its own past. A trend is a
move over 40 days that is larger than one standard deviation of such moves; choppiness is Kaufman's efficiency ratio,
the distance covered over the path walked; illiquidity is a fall of the volume, or quotes that do not move (the share
of zero returns, after Lesmond, Ogden and Trzcinka, 1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.policy.modes import Reason, Regime, Volatility

DECAY: Final = 0.94
ENOUGH: Final = 120
"""Closes below which nothing is said: 60 to estimate on, and as many to compare with."""

LOOKBACK: Final = 1000
TREND_DAYS: Final = 40
CHOP_DAYS: Final = 20
LOW_BELOW, HIGH_ABOVE, EXTREME_ABOVE = 0.20, 0.80, 0.975
"""Shares of its own past that an estimate lies above."""

HIGH_RATIO, EXTREME_RATIO = 1.2, 1.5
"""And at least so many times its median: in a market that hardly moves, the highest is not high."""

CHOPPY_BELOW: Final = 0.10
QUIET_SHARE: Final = 0.40
THIN_VOLUME: Final = 0.35

WILD_MOVE: Final = 0.10
WILD_SIGMAS: Final = 8.0
REVERSED: Final = 0.80
"""A move of more than 10 % and 8 standard deviations is wild; where the next one takes 80 % of it back, it was an
error of the feed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PriceSeries:
    """Daily closes of one symbol.

    Parameters
    ----------
    days
        Shape (n,), datetime64[D], strictly increasing.
    closes
        Shape (n,), finite, positive where the symbol is to have a regime.
    volumes
        Shape (n,), NaN where not known; None: not known at all.
    """

    symbol: str
    days: NDArray[np.datetime64]
    closes: NDArray[np.float64]
    volumes: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check the series.

        Raises
        ------
        InputError
            If lengths differ, days do not increase, or a close is no number.
        """
        if self.days.shape != self.closes.shape or self.closes.ndim != 1:
            raise InputError(f"{self.symbol}: {self.days.shape} days for {self.closes.shape} closes; give one per day")
        if len(self.days) > 1 and not bool(np.all(self.days[1:] > self.days[:-1])):
            raise InputError(f"{self.symbol}: the days of the closes must be strictly increasing")
        if not bool(np.all(np.isfinite(self.closes))):
            raise InputError(f"{self.symbol}: a close is no number; leave the day out")


@dataclass(frozen=True, kw_only=True)
class MarketView:
    """What the markets do. None where it cannot be said."""

    regime: Regime | None
    volatility: Volatility | None
    remarks: tuple[Reason, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cleaned:
    days: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    illiquid: bool
    unconfirmed: bool


def assess(series: Sequence[PriceSeries]) -> MarketView:
    """Say what the markets do, as an equally weighted basket of them.

    Parameters
    ----------
    series
        Of every symbol, up to the moment that is judged. Symbols with too short a history are left out.

    Returns
    -------
    MarketView
        Regime and volatility are None if no symbol has a history of at least `ENOUGH` closes.
    """
    cleaned = [(one.symbol, _clean(one)) for one in series if len(one.closes) >= ENOUGH and one.closes.min() > 0]
    remarks = tuple(
        Reason(code="unconfirmed_price", text=f"the last price of {symbol} is a wild move that nothing confirms yet")
        for symbol, found in cleaned
        if found.unconfirmed
    )
    returns = _basket([found for _, found in cleaned])
    if len(returns) < ENOUGH - 1:
        return MarketView(regime=None, volatility=None, remarks=remarks)
    volatility = _level(returns)
    illiquid = 2 * sum(found.illiquid for _, found in cleaned) >= len(cleaned)
    return MarketView(regime=_regime(returns, volatility, illiquid=illiquid), volatility=volatility, remarks=remarks)


def _clean(series: PriceSeries) -> _Cleaned:
    """Turn closes into logarithmic returns, without ticks that the next one took back."""
    closes, days = series.closes[-LOOKBACK:], series.days[-LOOKBACK:]
    keep = np.ones(len(closes), dtype=bool)
    logs = np.log(closes)
    moves = np.diff(logs)
    unconfirmed = False
    for i in np.flatnonzero(np.abs(moves) > WILD_MOVE).tolist():
        before = moves[max(0, i - 60) : i]
        sigma = 1.4826 * float(np.median(np.abs(before))) if len(before) else 0.0
        if not keep[i] or abs(moves[i]) <= WILD_SIGMAS * sigma:
            continue
        if i + 1 == len(moves):
            unconfirmed = True
        elif -moves[i + 1] / moves[i] >= REVERSED:
            keep[i + 1] = False
    return _Cleaned(
        days=days[keep][1:],
        returns=np.diff(logs[keep]),
        illiquid=_illiquid(series, moves),
        unconfirmed=unconfirmed,
    )


def _illiquid(series: PriceSeries, moves: NDArray[np.float64]) -> bool:
    if float(np.mean(moves[-CHOP_DAYS:] == 0.0)) >= QUIET_SHARE:
        return True
    if series.volumes is None:
        return False
    known = series.volumes[-60:][np.isfinite(series.volumes[-60:])]
    return len(known) >= 20 and float(np.median(known[-5:])) < THIN_VOLUME * float(np.median(known))


def _basket(found: Sequence[_Cleaned]) -> NDArray[np.float64]:
    """Average the returns of each day over the symbols that have one."""
    if not found:
        return np.empty(0)
    if len(found) == 1:
        return found[0].returns
    days = np.concatenate([one.days for one in found])
    unique, position = np.unique(days, return_inverse=True)
    sums = np.bincount(position, weights=np.concatenate([one.returns for one in found]), minlength=len(unique))
    mean: NDArray[np.float64] = sums / np.bincount(position, minlength=len(unique))
    return mean[-LOOKBACK:]


def _level(returns: NDArray[np.float64]) -> Volatility:
    path = _ewma_volatility(returns)[TREND_DAYS // 2 :]
    now, past = path[-1], path[:-1]
    share, ratio = float(np.mean(past < now)), float(now / max(np.median(past), 1e-12))
    if share > EXTREME_ABOVE and ratio > EXTREME_RATIO:
        return Volatility.EXTREME
    if share > HIGH_ABOVE and ratio > HIGH_RATIO:
        return Volatility.HIGH
    return Volatility.LOW if share < LOW_BELOW else Volatility.NORMAL


def _ewma_volatility(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    # v[t] = (1 - decay) * sum of decay^(t-i) r[i]^2, over the sum of its weights; in one pass without a loop. The
    # factors stay far from overflow: 0.94^-1000 is 1e27.
    growth = DECAY ** -np.arange(len(returns), dtype=np.float64)
    weighted: NDArray[np.float64] = np.sqrt(np.cumsum(growth * returns**2) / np.cumsum(growth))
    return weighted


def _regime(returns: NDArray[np.float64], volatility: Volatility, *, illiquid: bool) -> Regime:
    if illiquid:
        return Regime.LOW_LIQUIDITY
    if volatility is Volatility.EXTREME:
        return Regime.VOLATILE
    sigma = float(np.std(returns[-ENOUGH:]))
    trend = float(np.sum(returns[-TREND_DAYS:])) / max(sigma * TREND_DAYS**0.5, 1e-12)
    if abs(trend) > 1.0:
        return Regime.BULL_TRENDING if trend > 0 else Regime.BEAR_TRENDING
    if volatility is Volatility.HIGH:
        return Regime.VOLATILE
    last = returns[-CHOP_DAYS:]
    walked = float(np.sum(np.abs(last)))
    return Regime.CHOPPY if abs(float(np.sum(last))) < CHOPPY_BELOW * walked or walked == 0.0 else Regime.RANGING
