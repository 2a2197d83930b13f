"""What an importer is given, and what it gives."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.run import BacktestRun


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where the runs belong, and what holds for all that do not say otherwise.

    Parameters
    ----------
    strategy_id, campaign_id
        Of every run. A row that names another one is malformed.
    market_id
        Of runs that name none.
    periods_per_year
        Of runs that give none.
    """

    strategy_id: str
    campaign_id: str
    market_id: str = ""
    periods_per_year: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RegimeLabels:
    """Labels of one market's days; both arrays of shape (n_days,), days distinct."""

    market_id: str
    dates: NDArray[np.datetime64]
    labels: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImportedCampaign:
    """What an importer found.

    Parameters
    ----------
    n_runs
        How many runs `runs` will yield.
    runs
        The runs; read once, one by one.
    regimes
        Labels that came with them.
    warnings
        What was ignored and belongs to no run, as sentences. Complete once `runs` is exhausted.
    """

    n_runs: int
    runs: Iterator[BacktestRun]
    regimes: tuple[RegimeLabels, ...] = ()
    warnings: list[str] = field(default_factory=list)


class Importer(Protocol):
    """Reads one kind of files."""

    def recognises(self, path: Path) -> bool:
        """Say whether a file or folder looks like this importer's kind; without reading much of it."""
        ...

    def read(self, path: Path, delivery: Delivery) -> ImportedCampaign:
        """Read a campaign.

        Raises
        ------
        InputError
            If a file as a whole cannot be read. A row that cannot is a defect of its run instead.
        """
        ...
