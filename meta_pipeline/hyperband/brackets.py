"""Hyperband's brackets, in exact integer arithmetic.

Belongs here: how many configurations run with how much of the resource. Does not belong here: which ones.

Two allocations are published, and libraries disagree on them; both are here, by name:

- `algorithm1`: the pseudocode of Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel
  bandit-based approach to hyperparameter optimization", JMLR 18 (2018), algorithm 1: bracket s starts
  ceil((s_max + 1) * eta^s / (s + 1)) configurations;
- `table1`: the figures of that paper's table 1, floor((s_max + 1) / (s + 1)) * eta^s.

The number of brackets is a floor of a logarithm. Through floating point, log(243) / log(3) is 4.999..., and a
bracket is lost; here it is counted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

from meta_pipeline.errors import InputError

Allocation = Literal["algorithm1", "table1"]
ALLOCATIONS: Final[tuple[Allocation, ...]] = get_args(Allocation)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Some configurations at one resource.

    Parameters
    ----------
    configurations
        How many are evaluated here.
    resource
        Units of the resource each has had when this rung is done.
    """

    configurations: int
    resource: int


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """One round of successive halving.

    Parameters
    ----------
    number
        Hyperband's s: the number of halvings.
    rungs
        From the many at little resource to the few at R; `number` + 1 of them.
    """

    number: int
    rungs: tuple[Rung, ...]

    @property
    def units_resumed(self) -> int:
        """Units spent when what is promoted goes on from where it was."""
        spent = (0, *(rung.resource for rung in self.rungs))
        return sum(
            rung.configurations * (rung.resource - before) for rung, before in zip(self.rungs, spent, strict=False)
        )

    @property
    def units_retrained(self) -> int:
        """Units spent when what is promoted starts anew."""
        return sum(rung.configurations * rung.resource for rung in self.rungs)

    def rung_at(self, resource: int) -> int:
        """Return the index of the rung with a resource.

        Raises
        ------
        InputError
            If there is none.
        """
        for index, rung in enumerate(self.rungs):
            if rung.resource == resource:
                return index
        raise InputError(f"bracket {self.number} has no rung at {resource} units; it has {self.resources}")

    @property
    def resources(self) -> tuple[int, ...]:
        """The rungs' resources, rising."""
        return tuple(rung.resource for rung in self.rungs)


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """All brackets of one iteration.

    Parameters
    ----------
    maximum_resource
        R: units that the best configurations get. Any whole number from 1.
    eta
        One in eta is promoted. Any whole number from 2; R need not be a power of it: a rung below the
        top then has floor(R / eta^k) units.
    allocation
        `algorithm1` or `table1`.
    """

    maximum_resource: int
    eta: int = 3
    allocation: Allocation = "algorithm1"

    def __post_init__(self) -> None:
        if type(self.maximum_resource) is not int or self.maximum_resource < 1:
            raise InputError(f"R = {self.maximum_resource!r}; the maximum resource is a whole number from 1")
        if type(self.eta) is not int or self.eta < 2:
            raise InputError(f"eta = {self.eta!r}; one in eta is promoted, so eta is a whole number from 2")
        if self.allocation not in ALLOCATIONS:
            raise InputError(f"there is no allocation {self.allocation!r}; there are {' and '.join(ALLOCATIONS)}")

    @cached_property
    def most_halvings(self) -> int:
        """Hyperband's s_max: the largest s with eta^s <= R."""
        s = 0
        while self.eta ** (s + 1) <= self.maximum_resource:
            s += 1
        return s

    @cached_property
    def brackets(self) -> tuple[Bracket, ...]:
        """The brackets in the order they run, from the one with most halvings to plain search at R."""
        return tuple(self._bracket(s) for s in range(self.most_halvings, -1, -1))

    def _bracket(self, s: int) -> Bracket:
        many = self._first_rung(s)
        rungs = (
            Rung(configurations=many // self.eta**i, resource=self.maximum_resource // self.eta ** (s - i))
            for i in range(s + 1)
        )
        return Bracket(number=s, rungs=tuple(rungs))

    def _first_rung(self, s: int) -> int:
        share, grown = self.most_halvings + 1, int(self.eta**s)
        if self.allocation == "table1":
            return share // (s + 1) * grown
        return -(-share * grown // (s + 1))  # the ceiling

    @property
    def configurations(self) -> int:
        """Configurations of one iteration."""
        return sum(bracket.rungs[0].configurations for bracket in self.brackets)

    @property
    def evaluations(self) -> int:
        """Evaluations of one iteration."""
        return sum(rung.configurations for bracket in self.brackets for rung in bracket.rungs)

    @property
    def reaching_the_top(self) -> int:
        """Configurations of one iteration that get all R units."""
        return sum(bracket.rungs[-1].configurations for bracket in self.brackets)

    @property
    def units_resumed(self) -> int:
        """Units of one iteration when what is promoted goes on from where it was."""
        return sum(bracket.units_resumed for bracket in self.brackets)

    @property
    def units_retrained(self) -> int:
        """Units of one iteration when what is promoted starts anew."""
        return sum(bracket.units_retrained for bracket in self.brackets)
