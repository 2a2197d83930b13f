"""A market price, as a feed reports it."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime

from meta_pipeline.policy.fills import EARLIEST, LARGEST
from meta_pipeline.policy.health import MAX_AHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a symbol at a moment; the latest of a UTC day is its close.

    Parameters
    ----------
    close
        Per unit, as of fills.
    volume
        Of the day so far, in any unit; None where not known.
    """

    symbol: str
    at: datetime
    close: float
    volume: float | None = None

    @property
    def day(self) -> date:
        """The UTC day it belongs to."""
        return self.at.astimezone(UTC).date()

    def objection(self, now: datetime) -> str | None:
        """Say in a sentence what forbids taking the price in, or None."""
        if not self.symbol or len(self.symbol) > 50 or not self.symbol.isprintable():
            return f"symbol is {self.symbol[:80]!a}; it must be 1 to 50 characters that can be seen"
        if not math.isfinite(self.close) or abs(self.close) > LARGEST:
            return f"the price of {self.symbol} is {self.close}, which is no number"
        if self.volume is not None and not 0 <= self.volume <= LARGEST:
            return f"the volume of {self.symbol} is {self.volume}; it must not be negative, or left out"
        if self.at.tzinfo is None or not EARLIEST <= self.at <= now + MAX_AHEAD:
            return f"the price of {self.symbol} is dated {self.at}; it needs a time zone, and cannot be after now"
        return None
