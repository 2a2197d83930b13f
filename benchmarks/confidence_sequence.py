"""How often an interval leaves the truth out when it is looked at again and again.

Run: python -m benchmarks.confidence_sequence [--series 2000] [--days 1000]

Series of days with t5 shocks, whose true mean is zero, without memory and with memory of the first order, are looked
at from day 60 on, every 10 days. Ours is the confidence sequence that outcomes are judged by
(evidence.confidence_sequence), its variance the long-run one, as in outcomes.paired; the rival is an ordinary interval
at the same level, as of a single look. A figure is the share of series whose truth was outside at any look: at most
alpha is allowed.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from meta_pipeline.evidence.confidence_sequence import mixture_factor
from meta_pipeline.evidence.longrun import sum_variance

ALPHA, FIRST_LOOK, EVERY, TUNED_FOR, WARM_UP = 0.10, 60, 10, 252, 50


def shocked(memory: float, n_days: int, n_series: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return series with a first-order memory, shape (n_days, n_series)."""
    shocks = np.random.default_rng(7).standard_t(5, size=(n_days + WARM_UP, n_series))
    found = np.zeros_like(shocks)
    for day in range(1, len(shocks)):
        found[day] = memory * found[day - 1] + shocks[day]
    return found[WARM_UP:]


def ever_left_out(series: np.ndarray[Any, np.dtype[np.float64]], factor: Callable[[int], float]) -> float:
    """Return the share of series whose true mean, zero, was outside the interval at any look."""
    ever = np.zeros(series.shape[1], dtype=bool)
    for n in range(FIRST_LOOK, len(series) + 1, EVERY):
        mean = series[:n].mean(axis=0)
        centred = (series[:n] - mean) / n
        variance = np.maximum(sum_variance(centred, prewhiten=True), sum_variance(centred, bandwidth=0.0))
        ever |= np.abs(mean) > factor(n) * np.sqrt(variance * n / (n - 2))
    return float(ever.mean())


def main() -> None:
    """Measure both, on the same series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--days", type=int, default=1000)
    arguments = parser.parse_args()
    once = float(norm.ppf(1 - ALPHA / 2))
    print(f"{arguments.series} series of {arguments.days} days, alpha {ALPHA:g}: share ever left out")
    for memory in (0.0, 0.3, -0.2):
        series = shocked(memory, arguments.days, arguments.series)
        ours = ever_left_out(series, lambda n: mixture_factor(n, alpha=ALPHA, tuned_for=TUNED_FOR))
        rival = ever_left_out(series, lambda n: once)  # noqa: ARG005 -- the same at every look
        print(f"memory {memory:+.1f}   ours {ours:5.1%}   rival {rival:5.1%}   ratio {ours / rival:.2f}")
    width = mixture_factor(TUNED_FOR, alpha=ALPHA, tuned_for=TUNED_FOR) / once
    print(f"what that costs: at {TUNED_FOR} days, where it is tuned, ours is {width:.2f} times as wide")


if __name__ == "__main__":
    main()
