"""The runs of one strategy, as the evidence engine reads them: configs and one returns matrix."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

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
        Shape (n_days, n_series), float64, simple returns per period as fractions (0.01 is one
        per cent). NaN where a run has no observation: outside its window, or days on which its
        market did not trade. A column that is NaN throughout is a metrics-only run.
        Keep it contiguous by run (`np.asfortranarray`) for speed.
    positions
        Shape (n_runs,): column of each run in `returns`; -1 for a metrics-only run, which then takes no memory.
        None: one column per run, in order.
    periods_per_year
        Shape (n_runs,), positive; NaN for metrics-only runs that report none.
    reported
        Metrics as the backtester reported them. Only metrics-only runs are judged by them.
    """

    run_ids: tuple[str, ...]
    configs: Sequence[Mapping[str, JsonValue]]
    blocks: tuple[str, ...]
    markets: tuple[str, ...]
    dates: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    periods_per_year: NDArray[np.float64]
    sectors: tuple[str, ...] = ()
    reported: Sequence[ReportedMetrics] = field(default=())
    positions: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        """Check that the parts agree in length and order.

        Raises
        ------
        InputError
            If lengths differ, ids repeat, dates are not strictly increasing, or a position is no column.
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
        columns = n if self.positions is None else self.returns.shape[1]
        if self.returns.shape != (len(self.dates), columns):
            expected = (len(self.dates), columns)
            raise InputError(f"returns has shape {self.returns.shape}, expected days x runs = {expected}")
        if self.positions is not None and not _are_columns(self.positions, n, columns):
            raise InputError(f"positions must hold one column of returns (0 to {columns - 1}) per run, or -1 for none")
        if len(self.dates) > 1 and not bool(np.all(np.diff(self.dates) > np.timedelta64(0, "s"))):
            raise InputError("dates must be strictly increasing; sort them and drop repeated ones")

    @property
    def n_runs(self) -> int:
        """Number of runs, metrics-only runs included."""
        return len(self.run_ids)

    @cached_property
    def columns(self) -> NDArray[np.intp]:
        """Shape (n_runs,): column of each run in `returns`, -1 for none."""
        return np.arange(self.n_runs) if self.positions is None else self.positions

    def rows(self, runs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return a copy of the returns of some runs, shape (len(runs), n_days); NaN for one without a series."""
        columns = self.columns[runs]
        if (columns >= 0).all():
            return self.returns.T[columns]
        found = np.full((len(columns), len(self.dates)), np.nan)
        found[columns >= 0] = self.returns.T[columns[columns >= 0]]
        return found


def _are_columns(positions: NDArray[np.intp], n_runs: int, n_columns: int) -> bool:
    return positions.shape == (n_runs,) and bool(np.all((positions >= -1) & (positions < n_columns)))
