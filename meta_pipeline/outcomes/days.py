"""Where the days after a change come from: a registered replay, stored runs, or the lab's held-back years.

Belongs here: which original day stands for which live day. Does not belong here: which live days are a change's: these
are always those of its configuration version, from when it was applied to when the next version took its place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.replaying import Replay, Replayed, replayed
from meta_pipeline.canonical import JsonValue

Days = NDArray[np.datetime64]
Labels = NDArray[np.str_]
RegimesOf = Callable[[str, Days], Labels | None]


def _no_labels(market: str, days: Days) -> None:  # noqa: ARG001 -- the signature is RegimesOf
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class DaySource:
    """What a strategy would have earned on live days.

    Parameters
    ----------
    replay
        The backtest that is asked.
    moved
        Days, whole weeks, by which original days are moved to become live ones; 0: they are the live days themselves.
    ends
        Market -> last original day that can be replayed. A market that is not in it has no such end.
    regimes_of
        Labels of original days, each known when its day began; None: there are none for the market.
    name
        For people: where the days come from.
    """

    replay: Replay
    name: str
    moved: int = 0
    ends: Mapping[str, date] | None = None
    regimes_of: RegimesOf = _no_labels

    @property
    def held_back(self) -> bool:
        """Whether held-back days of the past play the days after the change."""
        return self.moved != 0

    def on(self, strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date) -> Replayed:
        """Replay a configuration on live days from `start` to `end`, both inclusive; dates are live days.

        Raises
        ------
        InputError
            As the replay, or if what it returns cannot be used.
        """
        shift = timedelta(days=self.moved)
        first, last = start - shift, end - shift
        if self.ends is not None and market in self.ends:
            last = min(last, self.ends[market])
        if last < first:
            return Replayed(dates=np.array([], dtype="datetime64[D]"), returns=np.array([]))
        found = replayed(self.replay, strategy_id, config, market, first, last)
        return Replayed(dates=found.dates + np.timedelta64(self.moved, "D"), returns=found.returns)

    def regimes_on(self, market: str, live_days: Days) -> Labels | None:
        """Return the label of each live day, or None if there are none for the market."""
        return self.regimes_of(market, live_days - np.timedelta64(self.moved, "D"))


def lab_source(declared_on: date) -> DaySource:
    """Return the lab's source: the held-back years follow the day on which a strategy was declared.

    Whole weeks are added, so that the first held-back week is the week of the declaration; every later live day stands
    for exactly one held-back day. Two changes a month apart are judged on days a month apart.

    Parameters
    ----------
    declared_on
        Day of the strategy's first configuration version.
    """
    from meta_pipeline import lab
    from meta_pipeline.lab.replay import replay

    def labels(market: str, days: Days) -> Labels | None:
        known, found = lab.regimes(market)
        rows = np.searchsorted(known, days)
        inside = (rows < len(known)) & (known[np.minimum(rows, len(known) - 1)] == days)
        return np.where(inside, found[np.minimum(rows, len(known) - 1)], "")

    return DaySource(
        replay=replay,
        name="the lab's held-back days",
        moved=(declared_on - lab.CAMPAIGN_END).days // 7 * 7,
        ends={market.market_id: lab.load_prices(market.market_id).dates[-1].item() for market in lab.markets()},
        regimes_of=labels,
    )
