"""What a strategy's returns and round trips are worth, each figure with its standard error or why it has none.

Belongs here: figures of one strategy on one stretch of bars. Does not belong here: how they are weighed (objective),
or what luck explains of them (verdict).

Returns are simple and per bar; what is annualised takes the bars a year from the series, never 252 by habit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY

Floats = NDArray[np.float64]

PERSISTENCE_DAYS: Final = 28.0
TRIPS_A_YEAR: Final = 50.0
TAIL: Final = 0.05
FEWEST_IN_TAIL: Final = 5
DRAWS: Final = 64
"""Of the bootstrap of figures that depend on the path; their standard errors are known to a tenth then."""
NO_LOSS: Final = 1e-15
"""Losses of so small a share of the gains are none: below the last digit of their sum."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number.

    Parameters
    ----------
    value
        NaN if it does not exist; infinite where nothing bounds it (gains without a loss).
    standard_error
        NaN if unknown.
    reason
        Why the value or its error does not exist; empty if both do.
    """

    value: float
    standard_error: float = math.nan
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.reason and not (math.isfinite(self.value) and math.isfinite(self.standard_error)):
            raise InputError(f"a figure of {self.value!r} +- {self.standard_error!r} needs a reason")


Performance = Mapping[str, Figure]

NAMES: Final = (
    "sharpe_ratio",
    "profit_factor",
    "max_drawdown",
    "alpha_persistence",
    "trade_efficiency",
    "volatility",
    "sortino_ratio",
    "calmar_ratio",
    "recovery_factor",
    "expected_shortfall",
    "kelly_fraction",
    "annual_return",
    "win_rate",
    "round_trips",
    "turnover",
)
"""What `performance` answers. `expected_shortfall` is the conditional value at risk at 5 %, per bar, negative for a
loss; `kelly_fraction` the leverage of greatest growth, mean over variance; `turnover` the value traded per year over
equity."""


def performance(
    returns: ArrayLike,
    profits: ArrayLike,
    sizes: ArrayLike,
    *,
    periods_per_year: float,
    benchmark: ArrayLike | None = None,
    errors: bool = True,
    seed: int = 0,
) -> dict[str, Figure]:
    """Measure a strategy.

    Parameters
    ----------
    returns
        Shape (n_bars,), per bar, finite.
    profits
        Shape (n_trips,): net profit of each round trip, as a fraction of equity.
    sizes
        Shape (n_trips,): value of each at its entry over equity, positive.
    periods_per_year
        Bars a year.
    benchmark
        Shape (n_bars,): returns of buy-and-hold on the same bars, which persistence is measured against; None: zero.
    errors
        Whether the figures that depend on the path get a bootstrapped standard error, the slow part.
    seed
        Of that bootstrap.

    Raises
    ------
    InputError
        If shapes differ, a return is not finite, or there is none.
    """
    bars, trips, traded = (np.asarray(series, dtype=np.float64) for series in (returns, profits, sizes))
    reference = np.zeros(len(bars)) if benchmark is None else np.asarray(benchmark, dtype=np.float64)
    if bars.ndim != 1 or not len(bars) or not np.isfinite(bars).all() or reference.shape != bars.shape:
        raise InputError(f"give at least one finite return, and a benchmark's on the same bars, not {bars.shape}")
    if not periods_per_year > 0 or trips.shape != traded.shape:
        raise InputError(
            f"periods_per_year is {periods_per_year!r}, with {trips.shape} profits of {traded.shape} sizes"
        )
    years = len(bars) / periods_per_year
    found = _of_moments(bars, periods_per_year) | _of_trips(trips, traded, years)
    found["alpha_persistence"] = _persistence(bars, reference, periods_per_year, invested=bool(len(trips)))
    found |= _of_path(bars, years, errors=errors, seed=seed)
    return {name: found[name] for name in NAMES}


def buy_and_hold(closes: ArrayLike) -> Floats:
    """Return the simple return of each close on the one before; 0 for the first, before which nothing was held."""
    series = np.asarray(closes, dtype=np.float64)
    return np.concatenate([[0.0], series[1:] / series[:-1] - 1.0])


def values(found: Performance) -> dict[str, float | None]:
    """Return the figures by name; None where one is missing or unbounded."""
    return {name: figure.value if math.isfinite(figure.value) else None for name, figure in found.items()}


def _of_moments(bars: Floats, periods: float) -> dict[str, Figure]:
    n, mean = len(bars), float(bars.mean())
    spread = float(bars.std(ddof=1)) if n > 1 else math.nan
    root = math.sqrt(periods)
    found = {"expected_shortfall": _expected_shortfall(bars)}
    if n < 2 or not spread > ZERO_VOLATILITY * max(1.0, abs(mean)):
        why = f"{n} returns; at least 2 are needed" if n < 2 else "zero volatility"
        found |= {
            name: Figure(value=math.nan, reason=why) for name in ("sharpe_ratio", "sortino_ratio", "kelly_fraction")
        }
        return found | {"volatility": Figure(value=0.0 if n > 1 else math.nan, reason=why)}
    z = (bars - mean) / spread
    ratio, squares = mean / spread, z * z - 1.0
    found["sharpe_ratio"] = _by_influence(ratio * root, (z - ratio / 2.0 * squares) * root)
    found["volatility"] = _by_influence(spread * root, spread * squares / 2.0 * root)
    found["kelly_fraction"] = _by_influence(mean / spread**2, z / spread - ratio / spread * squares)
    below = np.minimum(bars, 0.0) ** 2
    downside = float(below.mean())
    if downside > 0.0:
        worth = mean / math.sqrt(downside)
        influence = (bars - mean) / math.sqrt(downside) - worth / 2.0 * (below / downside - 1.0)
        found["sortino_ratio"] = _by_influence(worth * root, influence * root)
    else:
        found["sortino_ratio"] = Figure(value=math.inf, reason="no bar lost")
    return found


def _by_influence(value: float, influence: Floats) -> Figure:
    """Pair a figure with its delta-method error, returns taken as independent."""
    return Figure(value=value, standard_error=float(influence.std(ddof=1)) / math.sqrt(len(influence)))


def _expected_shortfall(bars: Floats) -> Figure:
    n = math.ceil(TAIL * len(bars))
    if n < FEWEST_IN_TAIL:
        return Figure(value=math.nan, reason=f"the tail holds {n} returns; at least {FEWEST_IN_TAIL} are needed")
    tail = np.partition(bars, n - 1)[:n]
    shortfall, edge = float(tail.mean()), float(tail.max())
    # Spread within the tail, and of how much of the sample falls into it.
    variance = (float(tail.var(ddof=1)) + (1.0 - TAIL) * (shortfall - edge) ** 2) / n
    return Figure(value=shortfall, standard_error=math.sqrt(variance))


def _of_trips(profits: Floats, sizes: Floats, years: float) -> dict[str, Figure]:
    n = len(profits)
    counted = {
        "round_trips": Figure(value=float(n), standard_error=0.0),
        "turnover": Figure(value=2.0 * float(sizes.sum()) / years, standard_error=0.0),
    }
    if not n:
        names = ("profit_factor", "win_rate", "trade_efficiency")
        return counted | {name: Figure(value=math.nan, reason="no round trip") for name in names}
    wins = float(np.mean(profits > 0.0))
    won = Figure(value=wins, standard_error=math.sqrt(max(wins * (1.0 - wins), 0.25 / n) / n))
    pace = 1.0 / (1.0 + abs(n / years - TRIPS_A_YEAR) / TRIPS_A_YEAR)
    return counted | {
        "profit_factor": _profit_factor(profits),
        "win_rate": won,
        "trade_efficiency": Figure(value=0.7 * wins + 0.3 * pace, standard_error=0.7 * won.standard_error),
    }


def _profit_factor(profits: Floats) -> Figure:
    gains, losses = np.maximum(profits, 0.0), np.maximum(-profits, 0.0)
    gained, lost = float(gains.sum()), float(losses.sum())
    if lost <= NO_LOSS * gained:
        worth = math.inf if gained > 0.0 else math.nan
        return Figure(value=worth, reason="no losing round trip" if gained > 0.0 else "no round trip won or lost")
    if len(profits) < 2:
        return Figure(value=gained / lost, reason="one round trip")
    factor = gained / lost
    spread = float((gains - factor * losses).std(ddof=1)) * math.sqrt(len(profits))
    return Figure(value=factor, standard_error=spread / lost)


def _persistence(bars: Floats, benchmark: Floats, periods: float, *, invested: bool) -> Figure:
    """Measure how steadily four weeks earn what the market does not explain.

    0.7 times the share of windows of 28 days whose return, less beta times the benchmark's, is positive; plus 0.3
    times mean^2 / (mean^2 + variance) of these window returns where their mean is positive.
    """
    window = max(round(PERSISTENCE_DAYS / 365.25 * periods), 1)
    if not invested:
        return Figure(value=math.nan, reason="never invested")
    if len(bars) < 2 * window:
        return Figure(value=math.nan, reason=f"{len(bars)} bars; two windows of {window} are needed")
    moves = benchmark - benchmark.mean()
    power = float(moves @ moves)
    beta = float(moves @ bars) / power if power > 0.0 else 0.0
    alpha = np.lib.stride_tricks.sliding_window_view(bars - beta * benchmark, window).sum(axis=1)
    mean, variance, share = float(alpha.mean()), float(alpha.var()), float(np.mean(alpha > 0.0))
    steady = mean**2 / (mean**2 + variance) if mean > 0.0 else 0.0
    independent = len(bars) / window
    error = 0.7 * math.sqrt(max(share * (1.0 - share), 0.25 / independent) / independent)
    return Figure(value=0.7 * share + 0.3 * steady, standard_error=error)


def _of_path(bars: Floats, years: float, *, errors: bool, seed: int) -> dict[str, Figure]:
    names = ("annual_return", "max_drawdown", "calmar_ratio", "recovery_factor")
    own = _path(bars[None, :], years)[:, 0]
    spread = np.full(len(names), np.nan)
    why = "the bootstrap was not asked for"
    if errors and len(bars) > 1:
        generator = np.random.default_rng(seed)
        length = math.ceil(math.sqrt(len(bars)))
        starts = generator.integers(0, len(bars), size=(DRAWS, -(-len(bars) // length)))
        places = (starts[:, :, None] + np.arange(length)).reshape(DRAWS, -1)[:, : len(bars)] % len(bars)
        drawn = _path(bars[places], years)
        with np.errstate(invalid="ignore", over="ignore"):
            spread = drawn.std(axis=1, ddof=1)
        why = "resampled paths without a drawdown have none"
    elif errors:
        why = "one return"
    found = {}
    for name, value, error in zip(names, own.tolist(), spread.tolist(), strict=True):
        reason = "" if math.isfinite(error) else why
        found[name] = Figure(
            value=value, standard_error=error, reason=reason if math.isfinite(value) else "no drawdown"
        )
    return found


def _path(paths: Floats, years: float) -> Floats:
    """Return annual return, drawdown, Calmar ratio and recovery factor of each path, shape (4, n_paths)."""
    equity = np.maximum(np.cumprod(1.0 + paths, axis=1), 0.0)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    drawdown = (equity / peak - 1.0).min(axis=1)
    final = equity[:, -1]
    with np.errstate(over="ignore"):
        annual = np.minimum(final ** (1.0 / years), 1e300) - 1.0
    fallen = np.where(drawdown < 0.0, -drawdown, np.nan)
    return np.stack([annual, drawdown, annual / fallen, (final - 1.0) / fallen])
