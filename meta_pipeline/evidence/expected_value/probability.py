"""The probability that a change's realised effect is positive, learned from ended outcomes.

Belongs here: the logistic model and its fit. Does not belong here: the claim it starts from (learning).
"""

from dataclasses import dataclass
from math import fsum
from typing import Final

import numpy as np
from scipy.special import expit

from meta_pipeline.evidence.expected_value.ledger import Floats

COLD: Final = (1.702, 0.0)  # logistic(1.702 x) is Phi(x) within 0.01: with nothing learned, the cold rule
_PRIOR: Final = 3.0  # weight of the cold rule, as a ridge
_STEPS: Final = 50
_CLOSE: Final = 1e-10


@dataclass(frozen=True, kw_only=True)
class WinOdds:
    """Log odds of a positive outcome: `score` * claim / s_knob + `habit` * log odds of the shrunken win rate.

    There is no intercept, because every outcome counts as its mirror image, too.
    """

    score: float
    habit: float

    def probability(self, score: Floats, habit: Floats) -> Floats:
        """Return the probability of each case."""
        with np.errstate(all="ignore"):
            known = np.where(score == 0, 0.0, self.score * score)
        result: Floats = expit(known + self.habit * habit)
        return result


def log_odds(rate: Floats) -> Floats:
    """Return log(p / (1 - p))."""
    result: Floats = np.log(rate) - np.log1p(-rate)
    return result


def fit_win_odds(score: Floats, habit: Floats, effects: Floats) -> WinOdds:
    """Fit by penalised maximum likelihood, starting from and shrunk towards the cold rule.

    Parameters
    ----------
    score, habit
        Shape (n,): claim over spread, and log odds of the win rate, as of each row's evidence.
    effects
        Shape (n,): what came; an effect of zero counts as half a win.

    Notes
    -----
    A mirrored row has the features and the label of its original turned around, hence the same likelihood: each row
    counts twice. Neither coefficient is let below zero, where a better claim would mean worse odds: where one would
    be, it is zero, and the other is fitted alone; where both would be, the better of the two single fits stands, or
    none.
    """
    x = np.column_stack([score, habit])
    won = np.where(effects == 0, 0.5, (effects > 0).astype(np.float64))
    beta = _fit(x, won, (0, 1))
    negative = [i for i in range(2) if beta[i] < 0]
    if negative:
        alone = [np.maximum(_fit(x, won, (1 - i,)), 0.0) for i in negative]
        beta = min(alone, key=lambda one: _loss(x, won, one))
    return WinOdds(score=float(beta[0]), habit=float(beta[1]))


def _fit(x: Floats, won: Floats, free: tuple[int, ...]) -> Floats:
    """Minimise over some coefficients, the others being zero, by Newton's method.

    A step that does not lower the loss is halved until it does: far from the minimum the curve is flat, and a whole
    step would end beyond it.
    """
    beta = np.zeros(2)
    beta[list(free)] = [COLD[i] for i in free]
    loss = _loss(x, won, beta)
    for _ in range(_STEPS):
        p = expit(x @ beta)
        pull = [2 * fsum((x[:, i] * (won - p)).tolist()) - _PRIOR * (beta[i] - COLD[i]) for i in free]
        curve = [[2 * fsum((x[:, i] * x[:, j] * p * (1 - p)).tolist()) for j in free] for i in free]
        step = np.zeros(2)
        step[list(free)] = np.linalg.solve(np.asarray(curve) + _PRIOR * np.eye(len(free)), np.asarray(pull))
        if float(np.max(np.abs(step))) < _CLOSE:
            break
        lower = _loss(x, won, beta + step)
        while lower > loss and float(np.max(np.abs(step))) >= _CLOSE:
            step = step / 2
            lower = _loss(x, won, beta + step)
        beta, loss = beta + step, lower
    return beta


def _loss(x: Floats, won: Floats, beta: Floats) -> float:
    """Return minus the log-likelihood, every row counted twice, and the ridge."""
    odds = x @ beta
    ridge = _PRIOR / 2 * fsum((beta[i] - COLD[i]) ** 2 for i in range(2))
    return 2 * fsum((np.logaddexp(0.0, odds) - won * odds).tolist()) + ridge
