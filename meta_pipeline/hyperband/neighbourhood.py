"""The configurations one step away from another.

Belongs here: what a step is. Does not belong here: evaluating them (judging).
"""

from collections.abc import Iterator, Mapping

from meta_pipeline.hyperband.protocol import (
    CategoricalParameter,
    FloatParameter,
    IntegerParameter,
    ParameterValue,
    Space,
)

STEPS: int = 10  # a step of a number is this part of its range


def neighbours(space: Space, config: Mapping[str, object]) -> tuple[dict[str, ParameterValue], ...]:
    """Return the configurations that differ in one parameter, by one step up or down, in the space's order.

    A step goes to the choice before or after, of a number by a tenth of its range (at least 1 for whole numbers),
    up to its bounds.

    Raises
    ------
    InputError
        If the configuration is not of the space.
    """
    checked = space.check(config)
    return tuple(
        {**checked, parameter.name: value}
        for parameter in space.parameters
        for value in _steps(parameter, checked[parameter.name])
    )


def _steps(
    parameter: CategoricalParameter | IntegerParameter | FloatParameter, value: ParameterValue
) -> Iterator[ParameterValue]:
    if isinstance(parameter, CategoricalParameter):
        at = next(i for i, choice in enumerate(parameter.choices) if type(choice) is type(value) and choice == value)
        yield from (parameter.choices[i] for i in (at - 1, at + 1) if 0 <= i < len(parameter.choices))
        return
    assert isinstance(value, int | float)
    if isinstance(parameter, IntegerParameter):
        whole = max((parameter.high - parameter.low) // STEPS, 1)
        near: tuple[ParameterValue, ...] = (
            max(int(value) - whole, parameter.low),
            min(int(value) + whole, parameter.high),
        )
    else:
        part = (parameter.high - parameter.low) / STEPS
        near = (max(value - part, parameter.low), min(value + part, parameter.high))
    yield from (other for other in near if other != value)
