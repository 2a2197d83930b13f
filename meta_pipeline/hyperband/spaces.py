"""A space of parameters as Optuna's distributions."""

from typing import TYPE_CHECKING

from meta_pipeline.hyperband.protocol import CategoricalParameter, IntegerParameter, Parameter, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: Space) -> dict[str, "BaseDistribution"]:
    """Return Optuna's distribution of every parameter, in the space's order."""
    return {parameter.name: _distribution(parameter) for parameter in space.parameters}


def _distribution(parameter: Parameter) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, CategoricalParameter):
        return CategoricalDistribution(parameter.choices)
    kind = IntDistribution if isinstance(parameter, IntegerParameter) else FloatDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)  # type: ignore[arg-type]
