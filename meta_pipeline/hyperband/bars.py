"""Bars of one symbol: open, high, low, close and volume, as they came, or refused.

Belongs here: what a valid series of bars is. Does not belong here: files (bar_files), the lab's markets
(lab_bars), or anything computed from prices (features, labels, simulator).

Nothing is filled, sorted, dropped or clipped: a repaired bar is a price at which nobody traded.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.periods import infer_periods_per_year
from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]
Fills = Literal["next_open", "next_close"]

DAY: Final = 86_400
MINIMUM_BARS: Final = 3
SESSION_GAP: Final = 8 * DAY
"""Longest silence between bars of a market with sessions. The longest closure of the lab's exchanges, after
11 September 2001, leaves seven days between two closes."""
SPARSE_GAPS: Final = ((6.5 * DAY, 11 * DAY), (24 * DAY, 36 * DAY), (84 * DAY, 97 * DAY), (355 * DAY, 372 * DAY))
"""Usual spacing from which bars are weekly, monthly, quarterly, yearly; longest spacing of each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """One symbol's bars.

    Parameters
    ----------
    symbol
        Its name.
    times
        Shape (n,), datetime64[s] in UTC, strictly increasing: when each bar *opens* or its day. A decision made on
        bar t knows all of bar t, and nothing of bar t + 1.
    open, high, low, close
        Shape (n,), positive and finite, in the symbol's currency; low <= open, close <= high.
    volume
        Shape (n,), not negative and finite; None where there is none.
    fills
        Where an order that is decided on bar t is filled: "next_open", at the open of t + 1, or "next_close", at its
        close, for markets whose opens are not quotes that one could have traded at.
    periods_per_year
        Bars a year, declared; None: inferred from the times.
    max_gap_days
        Longest silence between two bars, in days, declared; None: inferred from the times.
    """

    symbol: str
    times: NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats | None = None
    fills: Fills = "next_open"
    periods_per_year: float | None = None
    max_gap_days: float | None = None

    def __post_init__(self) -> None:
        """Check the bars, and freeze them.

        Raises
        ------
        InputError
            Naming the symbol, the first bad bar and what is wrong with it.
        """
        object.__setattr__(self, "times", np.asarray(self.times).astype("datetime64[s]"))
        self._check_shapes()
        self._check_times()
        self._check_prices()
        for series in self._series():
            series.setflags(write=False)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def annual_periods(self) -> float:
        """Bars a year: as declared, or as the times say.

        Raises
        ------
        InputError
            If neither does.
        """
        if self.periods_per_year is not None:
            return self.periods_per_year
        found = infer_periods_per_year(self.times.astype(np.int64))
        if found.value is None:
            raise InputError(
                f"{self.symbol}: the times do not tell how many bars a year has ({found.why}); declare periods_per_year"
            )
        return found.value

    @property
    def intraday(self) -> bool:
        """Whether bars are shorter than a day, so that their hour means something."""
        return bool(np.median(np.diff(self.times.astype(np.int64)).astype(np.float64)) < DAY)

    @property
    def digest(self) -> str:
        """The sha256 of everything in the bars."""
        sums = hashlib.sha256(f"{self.symbol}|{self.fills}|{self.annual_periods!r}|{self.volume is None}".encode())
        for series in self._series():
            sums.update(np.ascontiguousarray(series).tobytes())
        return sums.hexdigest()

    def execution_prices(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the open, high, low and close at which orders meet the market.

        With fills at the next close all four are the close: an order of bar t is filled at the close of t + 1, and a
        stop is seen, and filled, at closes only.
        """
        if self.fills == "next_close":
            return self.close, self.close, self.close, self.close
        return self.open, self.high, self.low, self.close

    def cut(self, start: int, stop: int) -> "Bars":
        """Return the bars from number `start` up to, not including, number `stop`."""
        window = slice(start, stop)
        return replace(
            self,
            times=self.times[window],
            open=self.open[window],
            high=self.high[window],
            low=self.low[window],
            close=self.close[window],
            volume=None if self.volume is None else self.volume[window],
            periods_per_year=self.annual_periods,
        )

    def _series(self) -> Iterator[NDArray[Any]]:
        yield from (self.times, self.open, self.high, self.low, self.close)
        if self.volume is not None:
            yield self.volume

    def _check_shapes(self) -> None:
        for name in ("open", "high", "low", "close", "volume"):
            series = getattr(self, name)
            if series is None and name == "volume":
                continue
            if series.shape != self.times.shape or self.times.ndim != 1:
                raise InputError(f"{self.symbol}: {name} has shape {series.shape} for {self.times.shape} times")
        if len(self) < MINIMUM_BARS:
            raise InputError(f"{self.symbol}: {len(self)} bars; at least {MINIMUM_BARS} are needed")
        for name in ("periods_per_year", "max_gap_days"):
            declared = getattr(self, name)
            if declared is not None and not (np.isfinite(declared) and declared > 0):
                raise InputError(f"{self.symbol}: {name} is {declared!r}; it must be a positive number")

    def _check_times(self) -> None:
        missing = np.flatnonzero(np.isnat(self.times))
        if len(missing):
            raise InputError(f"{self.symbol}: bar {missing[0]} has no time; give each bar one")
        seconds: NDArray[np.int64] = self.times.astype(np.int64)
        steps = seconds[1:] - seconds[:-1]
        repeated = np.flatnonzero(steps == 0)
        if len(repeated):
            raise InputError(
                f"{self.symbol}: {self.times[repeated[0]]} comes twice ({len(repeated)} such bars); keep one of each, "
                "and name the symbols in a column `symbol` if there are several"
            )
        unsorted = np.flatnonzero(steps < 0)
        if len(unsorted):
            at = unsorted[0]
            raise InputError(f"{self.symbol}: {self.times[at + 1]} comes after {self.times[at]}; sort the bars by time")
        longest = self.max_gap_days * DAY if self.max_gap_days is not None else _longest_step(steps)
        gaps = np.flatnonzero(steps > longest)
        if len(gaps):
            at = gaps[0]
            needed = f"{np.ceil(1e4 * steps.max() / DAY) / 1e4:g}"  # rounded up, so that it is enough
            raise InputError(
                f"{self.symbol}: {steps[at] / DAY:.6g} days without a bar after {self.times[at]} ({len(gaps)} such "
                f"gaps; {longest / DAY:.6g} days are usual); get the missing bars, cut the series there, or declare "
                f"max_gap_days of {needed} (--set data.max_gap_days={needed})"
            )

    def _check_prices(self) -> None:
        for name in ("open", "high", "low", "close"):
            series = getattr(self, name)
            self._refuse(~(np.isfinite(series) & (series > 0)), name, "a price is a positive number")
        top, bottom = np.maximum(self.open, self.close), np.minimum(self.open, self.close)
        self._refuse(self.high < self.low, "high", "it is below the low of its bar")
        self._refuse(self.high < top, "high", "it is below the open or the close of its bar")
        self._refuse(self.low > bottom, "low", "it is above the open or the close of its bar")
        if self.volume is not None:
            self._refuse(~(np.isfinite(self.volume) & (self.volume >= 0)), "volume", "a volume is not negative")

    def _refuse(self, bad: NDArray[np.bool_], name: str, why: str) -> None:
        found = np.flatnonzero(bad)
        if len(found):
            at = found[0]
            raise InputError(
                f"{self.symbol}: the {name} of {self.times[at]} is {float(getattr(self, name)[at])!r}: {why} "
                f"({len(found)} such bars); correct them at their source"
            )


def _longest_step(steps: NDArray[np.int64]) -> float:
    """Return how long the silence between two bars may be, in seconds."""
    usual = float(np.median(steps))
    longest = usual
    for spacing, gap in SPARSE_GAPS:
        longest = float(gap) if usual >= spacing else longest
    if longest > usual:
        return longest
    if usual > 1.5 * DAY:
        return 1.5 * usual
    # Bars that are hardly ever apart are traded round the clock; the others have nights, weekends and holidays.
    return 1.5 * usual if np.mean(steps > 1.5 * usual) < 0.01 else float(SESSION_GAP)
