"""A studentised circular block bootstrap that resamples the same days for every contrast.

Belongs here: resampling of day series. Does not belong here: how the statistics are corrected
for their number (multiplicity).

Politis and Romano (1992) for the circular block bootstrap; Goetze and Kuensch, Annals of Statistics 24(5), 1996, for
the variance by which a resample is studentised, as Ledoit and Wolf, Journal of Empirical Finance 15(5), 2008, use it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]

_DRAWS_AT_ONCE: Final = 256  # 256 draws x 2,500 days x 8 bytes = 5 MB of counts


def studentised_draws(series: Floats, *, block_length: int, n_draws: int, generator: np.random.Generator) -> Floats:
    """Resample the sum of each column, centred and divided by its standard error in the same resample.

    Under the null hypothesis of no effect the draws have the distribution of `estimate / standard error`, with the
    dependence between columns that their common days bring.

    Parameters
    ----------
    series
        Shape (n_days, n): influences per day, in the order of the days; each column sums to zero.
    block_length
        Days per block; at least 1, at most half the days.
    n_draws
        Number of resamples.
    generator
        The source of randomness. Every column sees the same resampled days.

    Returns
    -------
    ndarray
        Shape (n_draws, n). A column without variation gives zeros.

    Raises
    ------
    InputError
        If the block length does not fit the number of days.
    """
    n_days, n = series.shape
    if not 1 <= block_length <= max(n_days // 2, 1):
        raise InputError(f"block_length is {block_length!r}; for {n_days} days it must be 1 to {max(n_days // 2, 1)}")
    sums = circular_block_sums(series, block_length)
    squares = sums * sums
    n_blocks = max(-(-n_days // block_length), 2)
    draws = np.empty((n_draws, n))
    for start in range(0, n_draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, n_draws - start)
        chosen = generator.integers(0, n_days, size=(count, n_blocks))
        flat = (chosen + n_days * np.arange(count)[:, None]).ravel()
        times = np.bincount(flat, minlength=count * n_days).reshape(count, n_days).astype(np.float64)
        total, total_squares = times @ sums, times @ squares
        variance = (total_squares - total**2 / n_blocks) * (n_blocks / (n_blocks - 1))
        with np.errstate(all="ignore"):
            draws[start : start + count] = np.where(variance > 0, total / np.sqrt(variance), 0.0)
    return draws


def circular_block_sums(series: Floats, block_length: int) -> Floats:
    """Return the sum of each block of consecutive days, the first day following the last.

    Parameters
    ----------
    series
        Shape (n_days, n).
    block_length
        Days per block, at most the number of days.

    Returns
    -------
    ndarray
        Shape (n_days, n): row t is the sum of days t to t + block_length - 1.
    """
    if block_length == 1:
        return series
    n_days, n = series.shape
    running = np.zeros((n_days + block_length, n))
    np.cumsum(np.concatenate([series, series[: block_length - 1]]), axis=0, out=running[1:])
    return running[block_length:] - running[:n_days]
