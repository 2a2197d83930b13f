"""Campaigns whose truth is known.

Six knobs of three levels: by default knob 4 is dead and knob 5 only scales returns. Of a run's variance 10 % is
global, 45 % the market's, 40 % the knob levels' and 5 % its own; shocks are Student t with five degrees of freedom,
log-volatility is an AR(1) per market; a market's base Sharpe ratio is N(0.5, 0.4). Two more years than the evidence are
drawn, in which every single change of the live configuration (all zeros) is run beside it: the realised effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Change = tuple[int, int]  # knob, level; always against the live level 0

YEAR: Final = 252
N_DAYS: Final = 5 * YEAR
N_FUTURE: Final = 2 * YEAR
N_KNOBS: Final = 6
N_LEVELS: Final = 3
N_MARKETS: Final = 4
RUNS_PER_MARKET: Final = 25
VOLATILITY: Final = 0.15
GLOBAL, MARKET, KNOBS, OWN = 0.10, 0.45, 0.40, 0.05
PERSISTENCE, ROUGHNESS = 0.97, 0.2
DRIFT: Final = 0.5  # sd of a level's effect from year to year, annualised Sharpe ratio


class Design(StrEnum):
    """Which configurations a campaign runs."""

    GRID = "one-factor grid"
    RANDOM = "random search"
    CONFOUNDED = "random, confounded"


@dataclass(frozen=True, kw_only=True)
class World:
    """How campaigns of one kind are drawn.

    Parameters
    ----------
    effects
        (knob, level) to what it adds to the annualised Sharpe ratio.
    effect_sd
        Where positive, every level of every live knob has an effect drawn anew from N(0, effect_sd).
    dead, leverage, aliased
        Knobs that change nothing; that only scale returns; and pairs whose second always equals the first.
    runs_per_market
        For the random designs.
    windows, duplicates, bankrupt, drift
        Unbalanced and overlapping windows; runs stored several times; runs of knob 0 at level 2 that go bankrupt half
        of the time and report a fine Sharpe ratio; effects that wander from year to year.
    """

    design: Design = Design.RANDOM
    effects: Mapping[Change, float] = field(default_factory=dict)
    effect_sd: float = 0.0
    dead: frozenset[int] = frozenset({4})
    leverage: frozenset[int] = frozenset({5})
    aliased: tuple[int, int] | None = None
    runs_per_market: int = RUNS_PER_MARKET
    windows: bool = False
    duplicates: bool = False
    bankrupt: bool = False
    drift: bool = False

    @property
    def live(self) -> tuple[int, ...]:
        """Knobs that can matter."""
        return tuple(k for k in range(N_KNOBS) if k not in self.dead | self.leverage)


@dataclass(frozen=True, kw_only=True, eq=False)
class Campaign:
    """One campaign and its truth.

    `panel` holds what the quality gate lets through. `stored_configs` and `stored_sharpe` hold every stored run as
    its backtester reported it, bankrupt ones included, newest first: what the predecessor's rule reads.
    """

    world: World
    panel: RunPanel
    stored_configs: Integers
    stored_sharpe: Floats
    truth: Mapping[Change, float]
    realised: Mapping[Change, float]


def draw(world: World, rng: np.random.Generator) -> Campaign:
    """Draw one campaign."""
    truth = _truth(world, rng)
    base = rng.normal(0.5, 0.4, N_MARKETS)
    designs = _designs(world, rng, np.argsort(np.argsort(base)))
    common = fat(rng, (N_DAYS + N_FUTURE, 1))
    drift = _drift(world, rng)
    changes = single_changes()
    past: list[Floats] = []
    futures = np.zeros(len(changes))
    for market, design in enumerate(designs):
        returns = _market(world, rng, np.concatenate([design, changes]), common, base[market], truth, drift)
        past.append(returns[:N_DAYS, : len(design)])
        futures += sharpe_of(returns[N_DAYS:, len(design) :]) / N_MARKETS
    realised = {(int(r.argmax()), int(r.max())): float(futures[i] - futures[0]) for i, r in enumerate(changes) if i}
    return _stored(world, rng, designs, past, truth, realised)


def _truth(world: World, rng: np.random.Generator) -> dict[Change, float]:
    truth = {(knob, level): 0.0 for knob in range(N_KNOBS) for level in range(1, N_LEVELS)}
    if world.effect_sd > 0:
        truth |= {key: float(rng.normal(0, world.effect_sd)) for key in truth if key[0] in world.live}
    return truth | dict(world.effects)


def single_changes() -> Integers:
    """Return the live configuration, and below it each configuration that differs in one knob."""
    rows = np.zeros((1 + N_KNOBS * (N_LEVELS - 1), N_KNOBS), dtype=np.int64)
    for index in range(1, len(rows)):
        rows[index, (index - 1) // (N_LEVELS - 1)] = 1 + (index - 1) % (N_LEVELS - 1)
    return rows


def _designs(world: World, rng: np.random.Generator, ranks: Integers) -> list[Integers]:
    """Return per market the levels of each configuration; confounded: good markets prefer certain levels."""
    designs = []
    favours = np.stack([rng.permutation(N_MARKETS) % N_LEVELS for _ in range(N_KNOBS)])
    favours[0] = np.minimum(np.arange(N_MARKETS), N_LEVELS - 1)  # knob 0: the better the market, the higher the level
    for market in range(N_MARKETS):
        if world.design is Design.GRID:
            design = single_changes()
        else:
            design = rng.integers(0, N_LEVELS, (world.runs_per_market, N_KNOBS))
            if world.design is Design.CONFOUNDED:
                favoured = np.broadcast_to(favours[:, ranks[market]], design.shape)
                design = np.where(rng.random(design.shape) < 0.4, favoured, design)  # 60 %, 20 %, 20 %
        if world.aliased is not None:
            design = design.copy()
            design[:, world.aliased[1]] = design[:, world.aliased[0]]
        designs.append(design)
    return designs


def _drift(world: World, rng: np.random.Generator) -> Floats:
    """Return what each level's effect is off its mean, per day: shape (days, knobs, levels)."""
    n_years = (N_DAYS + N_FUTURE) // YEAR
    yearly = (
        rng.normal(0, DRIFT, (n_years, N_KNOBS, N_LEVELS)) if world.drift else np.zeros((n_years, N_KNOBS, N_LEVELS))
    )
    return np.repeat(yearly, YEAR, axis=0)


def _market(
    world: World,
    rng: np.random.Generator,
    design: Integers,
    common: Floats,
    base: float,
    truth: Mapping[Change, float],
    drift: Floats,
) -> Floats:
    """Draw one market's daily returns of every configuration, shape (days, configurations)."""
    n_days, live = len(common), world.live
    _, first, same = np.unique(design[:, live], axis=0, return_index=True, return_inverse=True)
    rows = design[first]
    at_level = np.stack([rows[:, k] == level for k in live for level in range(N_LEVELS)]) if live else None
    own = np.sqrt(GLOBAL) * common + np.sqrt(MARKET) * fat(rng, (n_days, 1))
    shocks = own + np.sqrt(OWN) * fat(rng, (n_days, len(rows)))
    sharpe = np.full((1, len(rows)), base)
    if at_level is not None:
        members = at_level.astype(np.float64)
        shocks += np.sqrt(KNOBS / len(live)) * (fat(rng, (n_days, len(members))) @ members)
        effects = np.array([truth.get((k, level), 0.0) for k in live for level in range(N_LEVELS)])
        sharpe = sharpe + effects @ members
        if world.drift:
            sharpe = sharpe + drift[:, live].reshape(n_days, -1) @ members
    scale = np.exp(log_volatility(rng, n_days)) * VOLATILITY / np.sqrt(YEAR)
    returns = scale[:, None] * shocks + sharpe * VOLATILITY / YEAR
    size = 1 + 0.5 * design[:, sorted(world.leverage)].sum(axis=1)
    return np.asarray(returns[:, same.ravel()] * size)


def fat(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw Student t shocks with five degrees of freedom and variance one."""
    return np.asarray(rng.standard_t(5, shape) / np.sqrt(5 / 3))


def log_volatility(rng: np.random.Generator, n_days: int) -> Floats:
    """Draw an AR(1) of log-volatility whose squared exponential has mean one."""
    shocks = rng.standard_normal(n_days) * ROUGHNESS
    variance = ROUGHNESS**2 / (1 - PERSISTENCE**2)
    shocks[0] *= np.sqrt(variance) / ROUGHNESS
    return np.asarray(lfilter([1.0], [1.0, -PERSISTENCE], shocks)) - variance  # E[scale^2] = 1


def sharpe_of(returns: Floats) -> Floats:
    """Return annualised Sharpe ratios of the columns."""
    return np.asarray(np.nanmean(returns, axis=0) / np.nanstd(returns, axis=0, ddof=1) * np.sqrt(YEAR))


def _stored(
    world: World,
    rng: np.random.Generator,
    designs: list[Integers],
    past: list[Floats],
    truth: Mapping[Change, float],
    realised: Mapping[Change, float],
) -> Campaign:
    """Store the runs as a database would hold them, and let the quality gate look at them."""
    columns, levels, blocks = [], [], []
    for market, (design, returns) in enumerate(zip(designs, past, strict=True)):
        for start, members in _windows(world, rng, len(design)):
            cut = returns[:, members].copy()
            cut[:start] = np.nan
            columns.append(cut)
            levels.append(design[members])
            blocks += [f"market{market}|{start}|campaign"] * len(members)
    returns, configs = np.concatenate(columns, axis=1), np.concatenate(levels)
    reported = sharpe_of(returns)
    if world.bankrupt:
        ruined = (configs[:, 0] == 2) & (rng.random(len(configs)) < 0.5)
        returns[rng.integers(YEAR, N_DAYS, int(ruined.sum())), np.flatnonzero(ruined)] = -1.0
        reported = reported + 1.5 * ruined
    order = np.arange(len(configs))
    if world.duplicates:
        order = np.repeat(order, rng.integers(1, 5, len(order)))
    order = rng.permutation(order)
    kept = order[~np.any(returns[:, order] <= -1.0, axis=0)]
    panel = RunPanel(
        run_ids=tuple(f"run{i}" for i in range(len(kept))),
        configs=tuple(config_of(configs[i]) for i in kept),
        blocks=tuple(blocks[i] for i in kept),
        markets=tuple(blocks[i].split("|")[0] for i in kept),
        dates=np.busday_offset("2015-01-05", np.arange(N_DAYS), roll="forward").astype("datetime64[s]"),
        returns=np.asfortranarray(returns[:, kept]),
        periods_per_year=np.full(len(kept), float(YEAR)),
    )
    return Campaign(
        world=world,
        panel=panel,
        stored_configs=configs[order],
        stored_sharpe=reported[order],
        truth=truth,
        realised=realised,
    )


def _windows(world: World, rng: np.random.Generator, n: int) -> list[tuple[int, Integers]]:
    """Return (first day, runs) of each window of a market: everything, or an uneven split of it."""
    if not world.windows:
        return [(0, np.arange(n))]
    order = rng.permutation(n)
    split = int(rng.integers(n // 4, 3 * n // 4))
    return [(0, order[:split]), (int(rng.integers(YEAR, 3 * YEAR)), order[split:])]


def config_of(levels: Integers) -> dict[str, JsonValue]:
    """Return a configuration as its backtester writes it."""
    return {f"k{knob}": int(level) for knob, level in enumerate(levels)}
