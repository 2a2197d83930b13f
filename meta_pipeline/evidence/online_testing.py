"""Control of false discoveries over campaigns that keep coming.

Belongs here: p-values that arrive one after the other, each judged for good when it comes. Does not belong here:
p-values that are all there (multiplicity), or where the state is kept (store).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

# The constant in use since the paper. The weights may sum to one at most; with it they sum to 0.976.
_NORMALISER: Final = 0.07720838


def _discount(lag: int) -> float:
    """Return the share of a payment that is spent on the test `lag` places later; lag 1 is the next test.

    Javanmard and Montanari, "Online rules for control of false discovery rate and false discovery exceedance",
    Annals of Statistics 46(2), 2018, equation 31.
    """
    return _NORMALISER * math.log(max(lag, 2)) / (lag * math.exp(math.sqrt(math.log(lag))))


@dataclass(frozen=True, kw_only=True)
class OnlineDecision:
    """What became of one p-value.

    Parameters
    ----------
    test
        Its place in the sequence, from 1.
    p_value, level
        It is a discovery if the p-value is at most the level.
    rejected
        Whether it is.
    """

    test: int
    p_value: float
    level: float
    rejected: bool


@dataclass(frozen=True, kw_only=True)
class LordPlusPlus:
    """LORD++: the false discovery rate over all tests so far stays at most `alpha`, at every look.

    Ramdas, Yang, Wainwright and Jordan, "Online control of the false discovery rate with decaying memory", NeurIPS
    2017, section 2. Each test spends wealth; each discovery earns some back. The rate is controlled where p-values
    under no effect are independent of each other, or at least valid given the past's decisions: test *new* days or
    accept an approximation.

    The record is the whole state and never changes: `test` returns the next one. Keep it per strategy, as JSON.

    Parameters
    ----------
    alpha
        False discovery rate allowed, between 0 and 1.
    initial_wealth
        Spent before the first discovery, above 0 and at most `alpha`. None: half of `alpha`.
    n_tested
        Tests so far.
    rejections
        Places, from 1, of the discoveries among them, increasing.

    Raises
    ------
    InputError
        If a figure is out of its range.
    """

    alpha: float
    initial_wealth: float | None = None
    n_tested: int = 0
    rejections: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha is {self.alpha!r}; it must be between 0 and 1, for instance 0.1")
        if self.initial_wealth is not None and not 0 < self.initial_wealth <= self.alpha:
            raise InputError(
                f"initial_wealth is {self.initial_wealth!r}; it must be above 0 and at most alpha, {self.alpha!r}"
            )
        places = (0, *self.rejections)
        if any(earlier >= later for earlier, later in pairwise(places)) or places[-1] > self.n_tested:
            raise InputError(
                f"rejections is {self.rejections!r}; give increasing places from 1 to n_tested, {self.n_tested!r}"
            )

    @property
    def level(self) -> float:
        """The level at which the next p-value is tested."""
        following = self.n_tested + 1
        return sum(payment * _discount(following - place) for place, payment in self._payments())

    @property
    def wealth(self) -> float:
        """What has not been spent: initial wealth and earnings less the levels of all tests; never negative."""
        left = sum(
            payment * (1.0 - sum(_discount(lag) for lag in range(1, self.n_tested - place + 1)))
            for place, payment in self._payments()
        )
        return max(left, 0.0)

    def test(self, p_value: float) -> tuple["LordPlusPlus", OnlineDecision]:
        """Judge the next p-value, for good.

        Returns
        -------
        LordPlusPlus, OnlineDecision
            The state after the test, and the decision.

        Raises
        ------
        InputError
            If the p-value is missing or outside 0 to 1: what could not be tested spends no wealth.
        """
        if not 0 <= p_value <= 1:
            raise InputError(f"p_value is {p_value!r}; it is between 0 and 1, and a missing one is not tested")
        level, place = self.level, self.n_tested + 1
        rejected = p_value <= level
        rejections = (*self.rejections, place) if rejected else self.rejections
        decision = OnlineDecision(test=place, p_value=p_value, level=level, rejected=rejected)
        return replace(self, n_tested=place, rejections=rejections), decision

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state as a canonical-JSON-safe object."""
        return {
            "alpha": self.alpha,
            "initial_wealth": self.initial_wealth,
            "n_tested": self.n_tested,
            "rejections": list(self.rejections),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, JsonValue]) -> "LordPlusPlus":
        """Return the state that `to_json` wrote.

        Raises
        ------
        InputError
            If a field is missing or of another kind.
        """
        match state:
            case {
                "alpha": float() | int() as alpha,
                "initial_wealth": (float() | int() | None) as wealth,
                "n_tested": int() as n_tested,
                "rejections": list() as places,
            } if all(isinstance(place, int) for place in places):
                rejections = tuple(place for place in places if isinstance(place, int))
                return cls(alpha=alpha, initial_wealth=wealth, n_tested=n_tested, rejections=rejections)
            case _:
                raise InputError(
                    f"{dict(state)!r} is no state of LORD++; it has alpha, initial_wealth, n_tested, rejections"
                )

    def _payments(self) -> tuple[tuple[int, float], ...]:
        """Return (place, amount): the wealth there at the start, and what each discovery brought."""
        start = self.alpha / 2 if self.initial_wealth is None else self.initial_wealth
        first = tuple((place, self.alpha - start) for place in self.rejections[:1])
        return ((0, start), *first, *((place, self.alpha) for place in self.rejections[1:]))
