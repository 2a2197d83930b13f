"""The power that could be had: the most precise weights and the standard errors are known, and the critical value fits.

The weights are those of generalised least squares with the covariance by which the campaigns were drawn; the standard
error is the one this covariance gives; the critical value is what the largest contrast exceeds in a tenth of the same
campaigns drawn without an effect. What a test of differences of Sharpe ratios loses against it, it loses by having to
estimate; what the bar is above it, is not in the data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.proposal_quality.contestants import ALPHA
from benchmarks.proposal_quality.scores import FOUND, Figure
from benchmarks.proposal_quality.worlds import (
    KNOBS,
    N_DAYS,
    N_LEVELS,
    OWN,
    YEAR,
    Campaign,
    Design,
    Floats,
    World,
    draw,
)
from meta_pipeline.evidence.metrics import summarize

EFFECT: Final = 0.3
FULL: Final = 1000
RESAMPLES: Final = 499


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Of one design: mean known standard error of the planted contrast, critical value, power, campaigns."""

    error: float
    critical: float
    power: Figure


def run(*, n: int, seed: int, tell: Callable[[str], None]) -> dict[Design, Ceiling]:
    """Draw every campaign twice from the same numbers: without the effect, and with it."""
    found = {}
    for place, design in enumerate(Design):
        tell(f"ceiling, {design}: {n} campaigns")
        nulls, hits, errors = [], [], []
        for number in range(n):
            worlds = (World(design=design), World(design=design, effects={FOUND: EFFECT}))
            null, hit = (draw(world, np.random.default_rng([seed, 20_000 + place, number])) for world in worlds)
            nulls.append(max(known(null)[0].values()))
            statistics, error = known(hit)
            hits.append(statistics[FOUND])
            errors.append(error)
        found[design] = _ceiling(np.array(nulls), np.array(hits), float(np.mean(errors)), np.random.default_rng(seed))
    return found


def _ceiling(nulls: Floats, hits: Floats, error: float, rng: np.random.Generator) -> Ceiling:
    """Return power at the critical value of the same campaigns; its error is that of both, by resampling campaigns."""
    chosen = np.concatenate([np.arange(len(nulls))[None, :], rng.integers(0, len(nulls), (RESAMPLES, len(nulls)))])
    critical = np.quantile(nulls[chosen], 1 - ALPHA, axis=1, method="higher")
    powers = np.mean(hits[chosen] > critical[:, None], axis=1)
    power = Figure(value=float(powers[0]), error=float(np.std(powers[1:])), n=len(nulls))
    return Ceiling(error=error, critical=float(critical[0]), power=power)


def known(campaign: Campaign) -> tuple[dict[tuple[int, int], float], float]:
    """Return estimate / known error of each change of a knob that matters, and the error of the planted one."""
    live = campaign.world.live
    levels = np.array([[config[f"k{knob}"] for knob in live] for config in campaign.panel.configs], dtype=np.int64)
    markets = np.unique(campaign.panel.markets, return_inverse=True)[1]
    # Runs that differ in knobs without any effect have the same returns: one of them says it all.
    _, first = np.unique(np.column_stack([markets, levels]), axis=0, return_index=True)
    levels, markets = levels[first], markets[first]
    sharpe = summarize(campaign.panel.returns, campaign.panel.periods_per_year).sharpe_ratio[first]
    rows, covariance = _weights(levels, markets)
    errors = np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows) * YEAR / N_DAYS)
    changes = [(knob, level) for knob in live for level in range(1, N_LEVELS)]
    statistics = dict(zip(changes, (rows @ sharpe / errors).tolist(), strict=True))
    return statistics, float(errors[changes.index(FOUND)])


def _weights(levels: np.ndarray, markets: np.ndarray) -> tuple[Floats, Floats]:
    """Return generalised least squares weights, shape (n_changes, n_runs), and the runs' covariance per year.

    What all runs of a market have in common is left out of the covariance: effects of markets take it off.
    """
    same = markets[:, None] == markets
    covariance = OWN * np.eye(len(markets))
    for column in levels.T:
        covariance += KNOBS / levels.shape[1] * (same & (column[:, None] == column))
    dummies = [np.eye(N_LEVELS)[column][:, 1:] for column in levels.T]
    n_markets = int(markets.max()) + 1
    x = np.concatenate([np.eye(n_markets)[markets], *dummies], axis=1)
    inverse = np.linalg.inv(covariance)
    return np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)[n_markets:], covariance


Ceilings = Mapping[Design, Ceiling]
