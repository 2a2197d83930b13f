"""The runs of one strategy, as the evidence engine reads them: configs and one returns matrix."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

ReportedMetrics = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPanel:
    """Accepted runs of one strategy, aligned on one calendar.

    Parameters
    ----------
    run_ids
        One unique id per run.
    configs
        The configuration of each run, as JSON objects, whole.
    blocks
        The block of each run: what its runs share besides the knobs (market x window x
        campaign, as one text). Contrasts are taken within blocks.
    markets, sectors
        Labels for slicing; an empty text means none.
    dates
        Shape (n_days,), datetime64[s], strictly increasing: the union of all runs' calendars.
    returns
        Shape (n_days, n_runs), float64, simple returns per period as fractions (0.01 is one
        per cent). NaN where a run has no observation: outside its window, or days on which its
        market did not trade. A column that is NaN throughout is a metrics-only run.
        Keep it contiguous by run (`np.asfortranarray`) for speed.
    periods_per_year
        Shape (n_runs,), positive; NaN for metrics-only runs that report none.
    reported
        Metrics as the backtester reported them. Only metrics-only runs are judged by them.
    """

    run_ids: tuple[str, ...]
    configs: tuple[Mapping[str, JsonValue], ...]
    blocks: tuple[str, ...]
    markets: tuple[str, ...]
    dates: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    periods_per_year: NDArray[np.float64]
    sectors: tuple[str, ...] = ()
    reported: tuple[ReportedMetrics, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check that the parts agree in length and order.

        Raises
        ------
        InputError
            If lengths differ, ids repeat, or dates are not strictly increasing.
        """
        n = len(self.run_ids)
        object.__setattr__(self, "sectors", self.sectors or ("",) * n)
        object.__setattr__(self, "reported", self.reported or ({},) * n)
        for name in ("configs", "blocks", "markets", "sectors", "reported", "periods_per_year"):
            if len(getattr(self, name)) != n:
                raise InputError(f"{name} has {len(getattr(self, name))} entries for {n} runs; give one per run")
        if len(set(self.run_ids)) != n:
            repeated = [run for run, count in Counter(self.run_ids).items() if count > 1][:3]
            raise InputError(f"run_ids must be unique, but {repeated} repeat; drop the duplicates")
        if self.returns.shape != (len(self.dates), n):
            raise InputError(f"returns has shape {self.returns.shape}, expected days x runs = {(len(self.dates), n)}")
        if len(self.dates) > 1 and not bool(np.all(np.diff(self.dates) > np.timedelta64(0, "s"))):
            raise InputError("dates must be strictly increasing; sort them and drop repeated ones")

    @property
    def n_runs(self) -> int:
        """Number of runs, metrics-only runs included."""
        return len(self.run_ids)
