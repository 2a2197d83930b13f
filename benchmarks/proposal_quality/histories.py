"""One strategy looked at again and again: campaigns on windows that roll over one long history.

Markets, levels and their effects stay the same for 25 years; every half-year a campaign runs new random configurations
on the last five years. What each single change of the live configuration then does in the next two years is known.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.proposal_quality.worlds import (
    GLOBAL,
    KNOBS,
    MARKET,
    N_DAYS,
    N_FUTURE,
    N_KNOBS,
    N_LEVELS,
    N_MARKETS,
    OWN,
    RUNS_PER_MARKET,
    VOLATILITY,
    YEAR,
    Change,
    Floats,
    Integers,
    World,
    config_of,
    fat,
    log_volatility,
    sharpe_of,
    single_changes,
)
from meta_pipeline.evidence.panel import RunPanel

N_CAMPAIGNS: Final = 40
STEP: Final = YEAR // 2
LENGTH: Final = N_DAYS + STEP * (N_CAMPAIGNS - 1) + N_FUTURE
FIRST_DAY: Final = "1990-01-01"


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One campaign of a history.

    Parameters
    ----------
    panel
        Its runs.
    decided_on, outcome_end
        Last day of the evidence, and of the two years after it.
    realised
        What each single change does in these two years, everything else as live, mean over markets.
    """

    number: int
    panel: RunPanel
    decided_on: np.datetime64
    outcome_end: np.datetime64
    realised: dict[Change, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Market:
    """What all runs of a market share: base Sharpe ratio, scale per day, their shocks, and those of each live level."""

    base: float
    scale: Floats
    shocks: Floats
    levels: Floats


class History:
    """A long history of all markets, and the campaigns on it.

    Parameters
    ----------
    world
        Of its fields the effects, the dead and the leverage knobs are used.
    rng
        All that is random is drawn from it.

    Attributes
    ----------
    truth
        (knob, level) to what the change of the live configuration adds to the annualised Sharpe ratio, in the long run.
    futures
        Per market, shape (n_days, n_changes + 1): returns of the live configuration on all days of the history, and
        beside it those of each single change, as `worlds.single_changes` lists them.
    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self._rng = world, rng
        self.truth: dict[Change, float] = {(k, level): 0.0 for k in range(N_KNOBS) for level in range(1, N_LEVELS)}
        if world.effect_sd > 0:
            self.truth |= {key: float(rng.normal(0, world.effect_sd)) for key in self.truth if key[0] in world.live}
        self.truth |= dict(world.effects)
        self._dates = np.busday_offset(FIRST_DAY, np.arange(LENGTH), roll="forward").astype("datetime64[s]")
        common = fat(rng, (LENGTH, 1))
        self._markets = [self._market(common, float(base)) for base in rng.normal(0.5, 0.4, N_MARKETS)]
        self._changes = single_changes()
        self.futures = [self._returns(market, self._changes, slice(None)) for market in range(N_MARKETS)]

    def _market(self, common: Floats, base: float) -> _Market:
        rng, n_live = self._rng, len(self.world.live)
        shocks = np.sqrt(GLOBAL) * common + np.sqrt(MARKET) * fat(rng, (LENGTH, 1))
        levels = np.sqrt(KNOBS / n_live) * fat(rng, (LENGTH, n_live * N_LEVELS))
        scale = np.exp(log_volatility(rng, LENGTH)) * VOLATILITY / np.sqrt(YEAR)
        return _Market(base=base, scale=scale, shocks=shocks, levels=levels)

    def _returns(self, market: int, design: Integers, days: slice) -> Floats:
        drawn, rng, live = self._markets[market], self._rng, self.world.live
        _, first, same = np.unique(design[:, live], axis=0, return_index=True, return_inverse=True)
        rows = design[first]
        members = np.stack([rows[:, k] == level for k in live for level in range(N_LEVELS)]).astype(np.float64)
        own = np.sqrt(OWN) * fat(rng, (len(drawn.scale[days]), len(rows)))
        # As in `worlds`, what is earned does not swing with volatility: an effect is what it adds to the Sharpe ratio.
        effects = np.array([self.truth.get((k, level), 0.0) for k in live for level in range(N_LEVELS)])
        earned = (drawn.base + effects @ members) * VOLATILITY / YEAR
        returns = drawn.scale[days, None] * (drawn.shocks[days] + drawn.levels[days] @ members + own) + earned
        size = 1 + 0.5 * design[:, sorted(self.world.leverage)].sum(axis=1)
        return np.asarray(returns[:, same.ravel()] * size)

    def look(self, number: int) -> Look:
        """Run the campaign of a half-year."""
        start = number * STEP
        days, future = slice(start, start + N_DAYS), slice(start + N_DAYS, start + N_DAYS + N_FUTURE)
        designs = [self._rng.integers(0, N_LEVELS, (RUNS_PER_MARKET, N_KNOBS)) for _ in range(N_MARKETS)]
        runs = [self._returns(market, design, days) for market, design in enumerate(designs)]
        markets = tuple(f"market{market}" for market in range(N_MARKETS) for _ in range(RUNS_PER_MARKET))
        realised: NDArray[np.float64] = np.mean([sharpe_of(returns[future]) for returns in self.futures], axis=0)
        panel = RunPanel(
            run_ids=tuple(f"run{i}" for i in range(len(markets))),
            configs=tuple(config_of(levels) for design in designs for levels in design),
            blocks=tuple(f"{market}|{number}" for market in markets),
            markets=markets,
            dates=self._dates[days],
            returns=np.asfortranarray(np.concatenate(runs, axis=1)),
            periods_per_year=np.full(len(markets), float(YEAR)),
        )
        return Look(
            number=number,
            panel=panel,
            decided_on=self._dates[days][-1].astype("datetime64[D]"),
            outcome_end=self._dates[future][-1].astype("datetime64[D]"),
            realised={
                (int(row.argmax()), int(row.max())): float(realised[i] - realised[0])
                for i, row in enumerate(self._changes)
                if i
            },
        )
