"""How changes of one kind did so far, as of any day: k and the win rate.

Belongs here: shrunken means over ended outcomes of one family, knob, and pair of levels. Does not belong here: how
much weight they get (learning).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.expected_value.ledger import Days, Floats, Ledger, Texts, keys_of

SHRINK: Final = 20  # outcomes of no effect that every kind of change is given to begin with

Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Outcomes by kind of change (family, knob, low, high), in order of the day they ended.

    Every outcome counts as its mirror image, too: from `high` to `low` it has the opposite sign.
    """

    ends: dict[Key, NDArray[np.datetime64]]
    sums: dict[Key, Floats]
    wins: dict[Key, Floats]

    @classmethod
    def of(cls, ledger: Ledger) -> "History":
        """Build the history of a ledger's rows, dead ones left out."""
        held = ledger.scored
        ends: dict[Key, list[np.datetime64]] = defaultdict(list)
        effects: dict[Key, list[float]] = defaultdict(list)
        average, order = held.average, np.argsort(held.outcome_end, kind="stable")
        keys = keys_of(held.family, held.knob, held.low, held.high)
        for row in order.tolist():
            family, knob, low, high = keys[row]
            for key, sign in (((family, knob, low, high), 1.0), ((family, knob, high, low), -1.0)):
                ends[key].append(held.outcome_end[row])
                effects[key].append(sign * float(average[row]))
        return cls(
            ends={key: np.asarray(days, dtype="datetime64[D]") for key, days in ends.items()},
            sums={key: _running(values) for key, values in effects.items()},
            wins={key: np.cumsum([_win(value) for value in values]) for key, values in effects.items()},
        )

    def means(self, family: Texts, knob: Texts, low: Texts, high: Texts, as_of: Days) -> Floats:
        """Return k of each change: sum of effects / (n + 20) over outcomes that ended by its day; 0 without any."""
        return self._each(self.sums, 0.0, family, knob, low, high, as_of)

    def win_rates(self, family: Texts, knob: Texts, low: Texts, high: Texts, as_of: Days) -> Floats:
        """Return the share of positive outcomes of each change, shrunk towards one half by 20; a tie is half a win."""
        return self._each(self.wins, SHRINK / 2, family, knob, low, high, as_of)

    def counts(self, family: Texts, knob: Texts, low: Texts, high: Texts, as_of: Days) -> NDArray[np.int64]:
        """Return the number of outcomes of each change that ended by its day."""
        pairs = zip(keys_of(family, knob, low, high), as_of, strict=True)
        return np.fromiter((self._ended(key, day) for key, day in pairs), dtype=np.int64, count=len(as_of))

    def _each(
        self,
        running: dict[Key, Floats],
        prior: float,
        family: Texts,
        knob: Texts,
        low: Texts,
        high: Texts,
        as_of: Days,
    ) -> Floats:
        result = np.empty(len(as_of))
        for row, (key, day) in enumerate(zip(keys_of(family, knob, low, high), as_of, strict=True)):
            n = self._ended(key, day)
            result[row] = (prior + (float(running[key][n - 1]) if n else 0.0)) / (n + SHRINK)
        return result

    def _ended(self, key: Key, day: np.datetime64) -> int:
        days = self.ends.get(key)
        return 0 if days is None else int(np.searchsorted(days, day, side="right"))


def _running(values: list[float]) -> Floats:
    """Return running sums, the rounding carried along (Knuth's two-sum): the order of the values leaves no trace."""
    total, carry = 0.0, 0.0
    result = np.empty(len(values))
    for index, value in enumerate(values):
        new = total + value
        part = new - total
        carry += (total - (new - part)) + (value - part)
        total = new
        result[index] = total + carry
    return result


def _win(value: float) -> float:
    return 0.5 if value == 0 else float(value > 0)
