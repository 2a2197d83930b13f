"""Labels: which action would have paid, after cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import BUY, HOLD, SELL

Floats = NDArray[np.float64]


class LabelRule(StrEnum):
    """How an outcome becomes the class to learn."""

    META = "meta"
    """The action that would have paid after cost; HOLD where neither would have."""
    DOCUMENTED = "documented"
    """The predecessor's: the traded action after a win, HOLD after anything else."""


@dataclass(frozen=True, kw_only=True)
class TradingCost:
    """The cost of going in and out once.

    Parameters
    ----------
    round_trip_pct
        Per cent of what is traded, not negative.
    by_symbol
        Symbol -> per cent, where it differs.
    pnl_is_net
        Whether the logged pnl_pct has already paid it.
    """

    round_trip_pct: float = 0.0
    by_symbol: Mapping[str, float] = field(default_factory=dict)
    pnl_is_net: bool = True

    def __post_init__(self) -> None:
        for name, value in (("round_trip_pct", self.round_trip_pct), *self.by_symbol.items()):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"the trading cost {name} is {value!r}; it must be a number of per cent, 0 or more")

    @property
    def is_free(self) -> bool:
        """Whether trading costs nothing."""
        return not any((self.round_trip_pct, *self.by_symbol.values()))

    def of(self, symbols: Sequence[str]) -> Floats:
        """Return the cost of a round trip of each of these symbols, in per cent."""
        return np.array([self.by_symbol.get(symbol, self.round_trip_pct) for symbol in symbols], dtype=np.float64)

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the cost, ready for JSON."""
        return {
            "round_trip_pct": self.round_trip_pct,
            "by_symbol": dict(self.by_symbol),
            "pnl_is_net": self.pnl_is_net,
        }


def payoffs(actions: NDArray[np.int8], pnl_pct: Floats, cost_pct: Floats, *, pnl_is_net: bool) -> Floats:
    """Compute what each action would have paid, net, in per cent.

    The action taken pays what was realised. The opposite one pays the opposite of the market's move, less the same
    cost: true for who is too small to move the price. HOLD pays nothing.

    Parameters
    ----------
    actions, pnl_pct, cost_pct
        Shape (n,): the action taken, what it made in per cent, and the cost of its round trip in per cent.
    pnl_is_net
        Whether pnl_pct has already paid it.

    Returns
    -------
    Shape (n, 3), columns SELL, HOLD, BUY.
    """
    gross = pnl_pct + cost_pct if pnl_is_net else pnl_pct
    market = np.where(actions == BUY, gross, -gross)
    paid = np.zeros((len(actions), 3))
    paid[:, BUY] = market - cost_pct
    paid[:, SELL] = -market - cost_pct
    return paid


def labels(rule: LabelRule, actions: NDArray[np.int8], wins: NDArray[np.bool_], paid: Floats) -> NDArray[np.int8]:
    """Return the class of each outcome.

    Parameters
    ----------
    rule
        How.
    actions, wins
        Shape (n,): the action taken, and whether its outcome was called a win.
    paid
        Shape (n, 3), of `payoffs`.
    """
    if rule is LabelRule.DOCUMENTED:
        return np.where(wins, actions, HOLD).astype(np.int8)
    label = np.where(paid[:, BUY] > 0, BUY, np.where(paid[:, SELL] > 0, SELL, HOLD))
    return label.astype(np.int8)
