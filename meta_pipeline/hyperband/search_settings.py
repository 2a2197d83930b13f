"""What a search is: everything its result is a function of, and nothing else.

Belongs here: the record of a search, its JSON, and which of two searches are the same. Does not belong here: who
runs it, on how many workers, and where its ledger is: none of that may change what is found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, get_args

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import Conflict, InputError
from meta_pipeline.hyperband.brackets import Allocation, Hyperband
from meta_pipeline.hyperband.protocol import Reference, Space

Sampler = Literal["bohb", "random"]
Promotion = Literal["synchronous", "asha"]
DEFLATED_SHARPE_RATIO: Final = "deflated_sharpe_ratio"
"""An objective the search computes itself, from the returns of all configurations scored so far."""

PARETO: Final = "deflated_sharpe_ratio:max,maximum_drawdown:min,alpha_persistence:max,turnover:min"
"""The usual objectives of a search with several, as `parse_objectives` reads them."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One of several metrics that promotion weighs.

    Parameters
    ----------
    metric
        Name of a metric of the evaluation, or `deflated_sharpe_ratio`.
    maximise
        Whether more is better.
    """

    metric: str
    maximise: bool


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Read `metric:max,metric:min...`; an empty text means the evaluation's own value alone.

    Raises
    ------
    InputError
        If a part is not `metric:max` or `metric:min`, or a metric is named twice.
    """
    found = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        metric, _, direction = part.partition(":")
        if not metric or direction not in {"max", "min"}:
            raise InputError(f"the objective {part!r} is not METRIC:max or METRIC:min, as in {PARETO}")
        found.append(Objective(metric=metric, maximise=direction == "max"))
    if len({objective.metric for objective in found}) < len(found):
        raise InputError(f"{text!r} names a metric twice; name each once")
    if len(found) == 1:
        raise InputError(f"{text!r} is one objective; give two or more, or none for the evaluation's own value")
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """One search. Equal settings on equal data find the same, on any machine, however often interrupted.

    Parameters
    ----------
    name
        Of the study in the ledger.
    maximum_resource, eta, allocation
        As in `brackets.Hyperband`.
    iterations
        How often all brackets are run. A finished search may be given more.
    seed
        Root of every draw.
    sampler
        `bohb`: two draws in three from Optuna's TPE on what earlier brackets found; `random`: none.
    random_fraction
        Share of the draws that stay random under `bohb`.
    promotion
        `synchronous`: a rung is judged when it is complete. `asha`: at any time, among those that are there, so
        that nobody waits for a straggler; which are promoted then depends on who was quick: *not deterministic*.
    overlap
        How many brackets may run beside the oldest that is not finished. A bracket's draws use none of the
        brackets that may still run, so the result stays deterministic; more overlap keeps more workers
        busy at the top rungs, and tells the sampler less.
    objectives
        Two or more: promotion and the sampler then weigh them by domination. None: the evaluation's value.
    min_improvement
        By how much, relative to the live configuration's value, the winner must be better to be one.
    live_config
        The configuration that trades now; it is evaluated at R on the same days. None: there is none.
    evaluator
        How workers build the evaluator.
    fingerprint
        The evaluator's.
    space
        The evaluator's.
    described
        What the fingerprint is of, for people: for the four-model strategy its bars, and the engine of its forests.
    """

    name: str
    maximum_resource: int
    eta: int = 3
    allocation: Allocation = "algorithm1"
    iterations: int = 1
    seed: int = 0
    sampler: Sampler = "bohb"
    random_fraction: float = 1 / 3
    promotion: Promotion = "synchronous"
    overlap: int = 0
    objectives: tuple[Objective, ...] = ()
    min_improvement: float = 0.05
    live_config: Mapping[str, Any] | None = None
    evaluator: Reference
    fingerprint: str
    space: Space
    described: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("the search has no name; give it one")
        _check_choice("sampler", self.sampler, get_args(Sampler))
        _check_choice("promotion", self.promotion, get_args(Promotion))
        if self.iterations < 1:
            raise InputError(f"iterations = {self.iterations}; run at least one")
        if self.overlap < 0:
            raise InputError(f"overlap = {self.overlap}; it is a number of brackets, from 0")
        if not 0 <= self.random_fraction <= 1:
            raise InputError(f"random_fraction = {self.random_fraction}; it is a share, from 0 to 1")
        if not self.min_improvement >= 0:
            raise InputError(f"min_improvement = {self.min_improvement}; it is a share of the live value, from 0")
        if self.live_config is not None:
            self.space.check(self.live_config)
        _ = self.hyperband

    @cached_property
    def hyperband(self) -> Hyperband:
        """The brackets of one iteration."""
        return Hyperband(maximum_resource=self.maximum_resource, eta=self.eta, allocation=self.allocation)

    @property
    def is_deterministic(self) -> bool:
        """Whether the result depends on nothing but these settings; ASHA's does."""
        return self.promotion == "synchronous"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the settings as JSON; `from_json` reads them back."""
        return {
            "name": self.name,
            "maximum_resource": self.maximum_resource,
            "eta": self.eta,
            "allocation": self.allocation,
            "iterations": self.iterations,
            "seed": self.seed,
            "sampler": self.sampler,
            "random_fraction": self.random_fraction,
            "promotion": self.promotion,
            "overlap": self.overlap,
            "objectives": [{"metric": item.metric, "maximise": item.maximise} for item in self.objectives],
            "min_improvement": self.min_improvement,
            "live_config": None if self.live_config is None else dict(self.live_config),
            "evaluator": self.evaluator.to_json(),
            "fingerprint": self.fingerprint,
            "space": self.space.to_json(),
            "described": dict(self.described),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "SearchSettings":
        """Read settings that `to_json` wrote."""
        read = {
            "objectives": tuple(Objective(**item) for item in given["objectives"]),
            "evaluator": Reference.from_json(given["evaluator"]),
            "space": Space.from_json(given["space"]),
        }
        return cls(**{**given, **read})

    def continued_by(self, other: "SearchSettings") -> None:
        """Check that another search is this one gone on with: only `iterations` may be more.

        Raises
        ------
        Conflict
            If anything else differs; it names what, and both values.
        """
        mine, others = self.to_json(), other.to_json()
        free = {"iterations", "described"}  # the fingerprint is compared
        differ = [key for key in mine if key not in free and canonical_json(mine[key]) != canonical_json(others[key])]
        if differ:
            said = "; ".join(f"{key} was {_short(mine[key])} and is {_short(others[key])}" for key in differ)
            raise Conflict(f"the search {self.name!r} is another one: {said}; resume it as it was, or give a new name")
        if other.iterations < self.iterations:
            raise Conflict(
                f"the search {self.name!r} was of {self.iterations} iterations and shall be of {other.iterations}; "
                "iterations can be added, not taken away"
            )

    def with_iterations(self, iterations: int) -> "SearchSettings":
        """Return the same search with another number of iterations."""
        return replace(self, iterations=iterations)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} = {value!r}; there are {' and '.join(choices)}")


def _short(value: JsonValue) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
