"""What a configuration did on a stretch of bars.

Belongs here: that record. Does not belong here: how it came about (an evaluator), or what it proves (verdict).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.hyperband.performance import Performance

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What a configuration did on a window.

    Parameters
    ----------
    times
        Shape (n_bars,).
    returns
        Shape (n_bars,): of the account, split equally among the symbols that are listed at a bar.
    benchmark
        Shape (n_bars,): of buying and holding them, split likewise, without costs.
    profits, sizes, exit_places
        Shape (n_trips,): of the round trips of all symbols, by the bar on which they ended.
    figures
        What that is worth.
    ruined
        Symbols whose account reached zero.
    """

    times: NDArray[np.datetime64]
    returns: Floats
    benchmark: Floats
    profits: Floats
    sizes: Floats
    exit_places: NDArray[np.int64]
    figures: Performance
    ruined: tuple[str, ...]
