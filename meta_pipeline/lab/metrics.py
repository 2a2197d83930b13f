"""The metrics the lab's backtester reports with each run.

Written independently of `meta_pipeline.evidence`, by the same conventions, as any user's backtester would: the
quality gate then recomputes them from the returns, and has something to compare.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def reported_metrics(returns: NDArray[np.float64], periods_per_year: float) -> list[Mapping[str, float | None]]:
    """Compute the metrics of each column.

    Parameters
    ----------
    returns
        Shape (n_days, n_runs), simple net returns, finite.
    periods_per_year
        The square root of it annualises volatility and Sharpe ratio.

    Returns
    -------
    For each run: `annualised_sharpe` (arithmetic, no risk-free rate, ddof 1), `cumulative_return` (compounded),
    `annualised_vol` (ddof 1) and `max_drawdown` (not positive, from the starting equity). The Sharpe
    ratio of a run without variation, and the volatility of a single return, are None.
    """
    n_days = len(returns)
    # After ruin compounding stops: the path stays at zero, and what comes later cannot bring it back.
    ruined = np.maximum.accumulate(1.0 + returns <= 0.0, axis=0)
    wealth = np.where(ruined, 0.0, np.cumprod(1.0 + returns, axis=0))
    peak = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    drawdown = (wealth / peak - 1.0).min(axis=0)
    mean = returns.mean(axis=0)
    spread = returns.std(axis=0, ddof=1) if n_days > 1 else np.full(returns.shape[1], np.nan)
    moves = spread > 1e-12 * np.maximum(1.0, np.abs(mean))
    annual = np.sqrt(periods_per_year)
    return [
        {
            "annualised_sharpe": float(mean[run] / spread[run] * annual) if moves[run] else None,
            "cumulative_return": float(wealth[-1, run] - 1.0),
            "annualised_vol": float(spread[run] * annual) if n_days > 1 else None,
            "max_drawdown": float(drawdown[run]),
        }
        for run in range(returns.shape[1])
    ]
