"""Weights over strategies that learn from their daily returns: AdaHedge and Fixed-Share, and what they regret.

Both follow experts without a model of them, and both come with a bound on the regret that holds for every sequence of
returns. AdaHedge (de Rooij, van Erven, Grünwald and Koolen, 2014) competes with the best single strategy in hindsight
and tunes its own rate; Fixed-Share (Herbster and Warmuth, 1998) competes with the best sequence of strategies that
switches a few times.

Losses are negative returns. Belongs here: weights, and regret against the best fixed and the best switching expert.
Does not belong here: how much risk the weights may take (risk_budget).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SWITCH_RATE: Final = 1.0 / 60.0
"""Share that is spread evenly each day: the best strategy is expected to change every three months of trading."""


def adahedge(losses: Floats) -> Floats:
    """Return the weights before each round, and after the last.

    Parameters
    ----------
    losses
        Shape (n_rounds, n_experts), finite, in any units: AdaHedge is scale free.

    Returns
    -------
    Shape (n_rounds + 1, n_experts); each row sums to one.
    """
    rounds, n = losses.shape
    weights = np.empty((rounds + 1, n))
    cumulative = np.zeros(n)
    mixability = 0.0
    for t in range(rounds):
        w, before = _exponential(cumulative, _rate(n, mixability))
        weights[t] = w
        hedge = float(w @ losses[t])
        cumulative = cumulative + losses[t]
        _, after = _exponential(cumulative, _rate(n, mixability))
        mixability += max(0.0, hedge - (after - before))
    weights[rounds] = _exponential(cumulative, _rate(n, mixability))[0]
    return weights


def adahedge_bound(losses: Floats) -> float:
    """Return what AdaHedge regrets at most against the best fixed expert (de Rooij et al., 2014, Theorem 6)."""
    rounds, n = losses.shape
    scale = float(np.max(np.ptp(losses, axis=1))) if rounds else 0.0
    weights = adahedge(losses)[:-1]
    mean = np.sum(weights * losses, axis=1)
    variance = float(np.sum(weights * (losses - mean[:, None]) ** 2))
    return 2.0 * math.sqrt(variance * math.log(n)) + scale * (4.0 / 3.0 * math.log(n) + 2.0)


def _rate(n: int, mixability: float) -> float:
    return math.inf if mixability <= 0.0 else math.log(n) / mixability


def _exponential(cumulative: Floats, rate: float) -> tuple[Floats, float]:
    """Return the weights for a learning rate, and the mix loss so far; an infinite rate follows the leader."""
    best = float(cumulative.min())
    if math.isinf(rate):
        w = (cumulative == best).astype(np.float64)
        return w / w.sum(), best
    w = np.exp(-rate * (cumulative - best))
    total = float(w.sum())
    return w / total, best - math.log(total / len(cumulative)) / rate


def fixed_share(losses: Floats, *, rate: float, switch_rate: float = SWITCH_RATE) -> Floats:
    """Return the weights before each round, and after the last; shapes as of `adahedge`.

    Parameters
    ----------
    rate
        Learning rate, in one over the units of the losses.
    switch_rate
        Share of the weight that is spread evenly after each round, 0..1.
    """
    rounds, n = losses.shape
    weights = np.empty((rounds + 1, n))
    w = np.full(n, 1.0 / n)
    for t in range(rounds):
        weights[t] = w
        w = w * np.exp(-rate * (losses[t] - losses[t].min()))
        w = (1.0 - switch_rate) * (w / w.sum()) + switch_rate / n
    weights[rounds] = w
    return weights


def latest_fixed_share(losses: Floats, *, rate: float, switch_rate: float = SWITCH_RATE) -> tuple[float, ...]:
    """Return only the last row of `fixed_share`, quicker for a handful of strategies."""
    n = losses.shape[1]
    factors: Sequence[Sequence[float]] = np.exp(-rate * (losses - losses.min(axis=1, keepdims=True))).tolist()
    w = [1.0 / n] * n
    share = switch_rate / n
    for row in factors:
        w = [a * b for a, b in zip(w, row, strict=True)]
        keep = (1.0 - switch_rate) / math.fsum(w)
        w = [keep * a + share for a in w]
    return tuple(w)


def natural_rate(losses: Floats) -> float:
    """Return a learning rate in the scale of the losses: the one with the least bound for their range.

    For losses of range S over T rounds that is sqrt(8 ln(n) / T) / S (Cesa-Bianchi and Lugosi, 2006, Theorem 2.2).
    """
    rounds, n = losses.shape
    scale = float(np.max(np.ptp(losses, axis=1), initial=0.0)) if rounds else 0.0
    return math.sqrt(8.0 * math.log(max(n, 2)) / rounds) / scale if scale > 0 else 0.0


def regret(losses: Floats, weights: Floats, *, switches: int = 0) -> float:
    """Return the loss of a weighting over that of the best sequence of experts with so many switches.

    Parameters
    ----------
    losses
        Shape (n_rounds, n_experts).
    weights
        Shape (n_rounds, n_experts) or one row more, which is not looked at.
    switches
        0: against the best fixed expert.
    """
    own = float(np.sum(weights[: len(losses)] * losses))
    return own - best_switching_loss(losses, switches=switches)


def best_switching_loss(losses: Floats, *, switches: int) -> float:
    """Return the loss of the best sequence of experts that switches at most so often, by dynamic programming."""
    rounds, n = losses.shape
    if rounds == 0:
        return 0.0
    best = np.full((switches + 1, n), np.inf)
    best[0] = losses[0]
    for t in range(1, rounds):
        moved = np.full_like(best, np.inf)
        moved[1:] = best[:-1].min(axis=1, keepdims=True)
        best = np.minimum(best, moved) + losses[t]
    return float(best.min())
