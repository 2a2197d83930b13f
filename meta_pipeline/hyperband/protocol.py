"""What the search asks of whatever it optimises: a space of configurations, and an evaluator that resumes.

Belongs here: the contract, and nothing that computes. The search knows no strategy, and a strategy knows
nothing of brackets: they meet in `Evaluator.evaluate`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.errors import InputError

ParameterValue: TypeAlias = bool | int | float | str
"""A parameter's value: plain Python only, never numpy's (whose texts and JSON are others)."""

_PLAIN: Final = (bool, int, float, str)


@dataclass(frozen=True, kw_only=True)
class CategoricalParameter:
    """One of several values.

    Parameters
    ----------
    name
        Its name in a configuration.
    choices
        At least one value, none twice: `1`, `1.0` and `True` are equal, and Optuna takes them for the same.
    """

    name: str
    choices: tuple[ParameterValue, ...]

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.choices:
            raise InputError(f"parameter {self.name!r} has no choices; give at least one")
        for choice in self.choices:
            if type(choice) not in _PLAIN or (isinstance(choice, float) and not math.isfinite(choice)):
                raise InputError(
                    f"parameter {self.name!r} has the choice {choice!r} of type {type(choice).__name__}; choices are "
                    "plain Python booleans, integers, finite floats or texts"
                )
        if len(set(self.choices)) < len(self.choices):
            raise InputError(
                f"parameter {self.name!r} has a choice twice: {self.choices!r}; 1, 1.0 and True count as one; write "
                "them as texts to tell them apart"
            )

    def check(self, value: object) -> ParameterValue:
        """Return the value, of exactly the type of its choice.

        Raises
        ------
        InputError
            If it is none of the choices.
        """
        for choice in self.choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise InputError(f"{self.name} = {value!r} ({type(value).__name__}) is none of {list(self.choices)}")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the parameter as JSON."""
        return {"kind": "categorical", "name": self.name, "choices": list(self.choices)}


@dataclass(frozen=True, kw_only=True)
class IntegerParameter:
    """A whole number between two bounds, both included.

    Parameters
    ----------
    log
        Whether it is searched on a logarithmic scale; `low` must then be positive.
    """

    name: str
    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        for bound in (self.low, self.high):
            if type(bound) is not int:
                raise InputError(f"parameter {self.name!r} has the bound {bound!r}; its bounds are plain integers")
        _check_range(self)

    def check(self, value: object) -> ParameterValue:
        """Return the value, a plain integer within the bounds.

        Raises
        ------
        InputError
            If it is not one.
        """
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise InputError(f"{self.name} = {value!r} is not an integer from {self.low} to {self.high}")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the parameter as JSON."""
        return {"kind": "integer", "name": self.name, "low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True, kw_only=True)
class FloatParameter:
    """A real number between two bounds, both included.

    Parameters
    ----------
    log
        Whether it is searched on a logarithmic scale; `low` must then be positive.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        for bound in (self.low, self.high):
            if type(bound) is not float or not math.isfinite(bound):
                raise InputError(f"parameter {self.name!r} has the bound {bound!r}; its bounds are finite floats")
        _check_range(self)

    def check(self, value: object) -> ParameterValue:
        """Return the value, a plain float within the bounds.

        Raises
        ------
        InputError
            If it is not one.
        """
        if type(value) is float and self.low <= value <= self.high:
            return value
        raise InputError(f"{self.name} = {value!r} is not a float from {self.low} to {self.high}")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the parameter as JSON."""
        return {"kind": "float", "name": self.name, "low": self.low, "high": self.high, "log": self.log}


Parameter: TypeAlias = CategoricalParameter | IntegerParameter | FloatParameter


@dataclass(frozen=True, kw_only=True)
class Space:
    """The parameters of a strategy, in their order.

    Parameters
    ----------
    parameters
        At least one; no name twice.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if not self.parameters:
            raise InputError("the space has no parameters; give at least one")
        names = [parameter.name for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"the space names {', '.join(twice)} more than once")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in their order."""
        return tuple(parameter.name for parameter in self.parameters)

    def check(self, config: Mapping[str, object]) -> dict[str, ParameterValue]:
        """Return a configuration in the space's order, of plain types.

        Raises
        ------
        InputError
            If a parameter is missing, unknown, of another type, or out of its bounds.
        """
        missing = [name for name in self.names if name not in config]
        unknown = sorted(set(config) - set(self.names))
        if missing or unknown:
            raise InputError(
                f"the configuration lacks {missing} and has {unknown}, which the space does not; the space has "
                f"{', '.join(self.names)}"
            )
        return {parameter.name: parameter.check(config[parameter.name]) for parameter in self.parameters}

    def to_json(self) -> dict[str, JsonValue]:
        """Return the space as JSON; `from_json` reads it back."""
        return {"parameters": [parameter.to_json() for parameter in self.parameters]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Space":
        """Read a space that `to_json` wrote.

        Raises
        ------
        InputError
            If it is not one.
        """
        try:
            return cls(parameters=tuple(_parameter(item) for item in given["parameters"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"this is not a space of parameters: {error!r} in {given!r}") from error

    @property
    def digest(self) -> str:
        """The sha256 of the space's canonical JSON."""
        return digest(self.to_json())


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What one configuration did with a resource of `r_to` units.

    Parameters
    ----------
    metrics
        Figures by name; None where one does not exist (no trades, no losses...).
    value
        What the search compares: higher is better, and values of all rungs are comparable. Minus
        infinity is "as bad as can be"; NaN and plus infinity are refused.
    constraints
        Figures by name; a configuration is feasible when none is above zero.
    returns
        float64, one per out-of-sample bar, the same bars at every rung and for every configuration.
    checkpoint
        What `evaluate` needs to go on from `r_to`.
    """

    metrics: Mapping[str, float | None]
    value: float
    constraints: Mapping[str, float] = field(default_factory=dict)
    returns: NDArray[np.float64]
    checkpoint: bytes

    def __post_init__(self) -> None:
        value = float(self.value)  # numpy's are floats too, but their texts are not
        if math.isnan(value) or value == math.inf:
            raise InputError(f"the evaluation's value is {value!r}; it is neither NaN nor plus infinity")
        object.__setattr__(self, "value", value)
        unknown = [name for name, figure in self.constraints.items() if math.isnan(figure)]
        if unknown:
            raise InputError(f"the constraints {unknown} are NaN; unknown is infeasible: give a positive number")
        if self.returns.dtype != np.float64 or self.returns.ndim != 1 or not np.isfinite(self.returns).all():
            raise InputError("the evaluation's returns are one finite float64 per out-of-sample bar")


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates configurations. Stateless, picklable, and deterministic in its arguments.

    Attributes
    ----------
    space
        The configurations it understands.
    fingerprint
        Digest of everything its answers depend on besides the arguments: data, code version, settings.
        A search refuses to go on with another one.
    """

    space: Space
    fingerprint: str

    def evaluate(
        self, config: Mapping[str, ParameterValue], r_from: int, r_to: int, checkpoint: bytes | None
    ) -> Evaluation:
        """Bring a configuration from `r_from` units of the resource to `r_to`.

        Parameters
        ----------
        r_from
            Units already spent: 0, or the `r_to` of the evaluation that made `checkpoint`.
        checkpoint
            None exactly when `r_from` is 0. The answer is the same as that of one evaluation from 0 to `r_to`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A function to build an object by, wherever a job happens to run: workers get this, not the object.

    Parameters
    ----------
    target
        `package.module:function`; the function takes the settings and returns the object.
    settings
        JSON; never a secret (jobs are written down by the executors that carry them).
    """

    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module, colon, function = self.target.partition(":")
        if not (module and colon and function):
            raise InputError(f"{self.target!r} does not name a function; write package.module:function")
        canonical_json(self.settings)

    def build(self) -> Any:
        """Import the function and call it with the settings.

        Raises
        ------
        InputError
            If there is no such module or function.
        """
        module, _, function = self.target.partition(":")
        try:
            found = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise InputError(f"cannot build {self.target!r}: {error}; write package.module:function") from error
        return found(dict(self.settings))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the reference as JSON."""
        return {"target": self.target, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Reference":
        """Read a reference that `to_json` wrote."""
        return cls(target=given["target"], settings=given["settings"])

    @property
    def digest(self) -> str:
        """The sha256 of the reference's canonical JSON."""
        return digest(self.to_json())


def _parameter(item: Mapping[str, Any]) -> Parameter:
    kind = item["kind"]
    if kind == "categorical":
        return CategoricalParameter(name=item["name"], choices=tuple(item["choices"]))
    if kind == "integer":
        return IntegerParameter(name=item["name"], low=item["low"], high=item["high"], log=item["log"])
    if kind == "float":
        return FloatParameter(name=item["name"], low=float(item["low"]), high=float(item["high"]), log=item["log"])
    raise InputError(f"parameter {item['name']!r} is of the kind {kind!r}; there are categorical, integer and float")


def _check_name(name: str) -> None:
    if not name:
        raise InputError("a parameter has an empty name")


def _check_range(parameter: "IntegerParameter | FloatParameter") -> None:
    if parameter.low > parameter.high:
        raise InputError(f"parameter {parameter.name!r} goes from {parameter.low} down to {parameter.high}; swap them")
    if parameter.log and parameter.low <= 0:
        raise InputError(
            f"parameter {parameter.name!r} is logarithmic from {parameter.low}; the bound must be positive"
        )
