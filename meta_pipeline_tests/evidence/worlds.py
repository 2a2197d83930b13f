"""Campaigns whose truth is known: the generator of the specification, small enough for tests."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import RunPanel

Floats = NDArray[np.float64]
Config = Mapping[str, JsonValue]

YEAR = 252


def business_days(n: int, start: str = "2010-01-04") -> NDArray[np.datetime64]:
    return np.busday_offset(start, np.arange(n), roll="forward").astype("datetime64[s]")


def panel_of(
    returns: Floats,
    configs: Sequence[Config],
    *,
    blocks: Sequence[str] | None = None,
    markets: Sequence[str] | None = None,
    periods_per_year: float | Floats = YEAR,
    dates: NDArray[np.datetime64] | None = None,
    run_ids: Sequence[str] | None = None,
    reported: Sequence[Mapping[str, float | None]] = (),
) -> RunPanel:
    n_days, n = returns.shape
    return RunPanel(
        run_ids=tuple(run_ids or (f"run{i}" for i in range(n))),
        configs=tuple(configs),
        blocks=tuple(blocks or ("m|w|c",) * n),
        markets=tuple(markets or ("m",) * n),
        dates=business_days(n_days) if dates is None else dates,
        returns=np.asfortranarray(returns),
        periods_per_year=np.broadcast_to(np.asarray(periods_per_year, dtype=np.float64), (n,)).copy(),
        reported=tuple(reported),
    )


def chosen(panel: RunPanel, columns: Sequence[int]) -> RunPanel:
    """The panel's runs in another order, some repeated: ids are made anew."""
    index = list(columns)
    return RunPanel(
        run_ids=tuple(f"copy{i}" for i in range(len(index))),
        configs=tuple(panel.configs[i] for i in index),
        blocks=tuple(panel.blocks[i] for i in index),
        markets=tuple(panel.markets[i] for i in index),
        dates=panel.dates,
        returns=np.asfortranarray(panel.returns[:, index]),
        periods_per_year=panel.periods_per_year[index],
        reported=tuple(panel.reported[i] for i in index),
    )


def fat(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
    """Student t5 shocks of unit variance."""
    return np.asarray(rng.standard_t(5, shape) / np.sqrt(5 / 3))


def volatility(rng: np.random.Generator, n_days: int, *, persistence: float = 0.97, size: float = 0.2) -> Floats:
    """AR(1) log-volatility with mean one, roughly."""
    shocks = rng.standard_normal(n_days) * size
    shocks[0] /= np.sqrt(1 - persistence**2)
    path = np.asarray(lfilter([1.0], [1.0, -persistence], shocks))
    return np.asarray(np.exp(path - size**2 / (1 - persistence**2)))


def grid(n_knobs: int = 6, n_levels: int = 3) -> NDArray[np.int64]:
    """One-factor design: the base configuration and every single change of it."""
    rows = [np.zeros(n_knobs, dtype=np.int64)]
    for knob in range(n_knobs):
        for level in range(1, n_levels):
            row = np.zeros(n_knobs, dtype=np.int64)
            row[knob] = level
            rows.append(row)
    return np.array(rows)


def world(
    rng: np.random.Generator,
    designs: Sequence[NDArray[np.int64]],
    *,
    n_days: int = 5 * YEAR,
    effects: Mapping[tuple[int, int], float] | None = None,
    dead: int | None = 4,
    leverage: int | None = 5,
    annual_volatility: float = 0.15,
) -> RunPanel:
    """One campaign: global factor 10 %, market 45 %, knob-level 40 %, idiosyncratic 5 % of the variance.

    Parameters
    ----------
    designs
        Per market, shape (n_configs, n_knobs): level of each knob.
    effects
        (knob, level) -> what it adds to the annualised Sharpe ratio.
    dead, leverage
        The knob that changes nothing, and the one that only scales returns (1, 1.5, 2 times).
    """
    common, columns, configs, blocks = fat(rng, n_days), [], [], []
    live = [k for k in range(designs[0].shape[1]) if k not in {dead, leverage}]
    for market, design in enumerate(designs):
        scale = volatility(rng, n_days) * annual_volatility / np.sqrt(YEAR)
        own = fat(rng, n_days)
        factors = fat(rng, (n_days, len(live), int(design.max()) + 1))
        base = rng.normal(0.5, 0.4)
        drawn: dict[tuple[int, ...], Floats] = {}
        for row in design:
            key = tuple(int(row[k]) for k in live)
            if key not in drawn:
                shocks = np.sqrt(0.10) * common + np.sqrt(0.45) * own + np.sqrt(0.05) * fat(rng, n_days)
                for position, knob in enumerate(live):
                    shocks = shocks + np.sqrt(0.40 / len(live)) * factors[:, position, row[knob]]
                sharpe = base + sum((effects or {}).get((k, int(row[k])), 0.0) for k in live)
                drawn[key] = scale * shocks + sharpe * annual_volatility / YEAR
            size = 1.0 if leverage is None else 1.0 + 0.5 * float(row[leverage])
            columns.append(size * drawn[key])
            configs.append({f"k{k}": int(level) for k, level in enumerate(row)})
            blocks.append(f"market{market}|window|campaign")
    markets = [block.split("|")[0] for block in blocks]
    return panel_of(np.column_stack(columns), configs, blocks=blocks, markets=markets)
