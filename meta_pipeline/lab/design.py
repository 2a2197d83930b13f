"""Which configurations a campaign runs: a mixed design, drawn from a seeded generator.

- The live configuration and every configuration one knob away from it: what a change of the live one would do.
- Half of the rest in pairs that differ in one knob, around random bases, the knobs taking turns: matched pairs.
- The other half at random, each knob independently and uniformly over its choices: main effects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from meta_pipeline.canonical import JsonValue, level_key
from meta_pipeline.errors import InputError
from meta_pipeline.lab.strategy import Config, LabStrategy
from meta_pipeline.proposals.knobs import Knob

Point = tuple[int, ...]
"""A configuration as the index of each knob's choice."""


def mixed_design(strategy: LabStrategy, n_configs: int, generator: np.random.Generator) -> list[Config]:
    """Draw the distinct configurations of one campaign, the live one first.

    Raises
    ------
    InputError
        If `n_configs` is too small to hold the live configuration and its neighbours, or more than half of all
        configurations there are.
    """
    choices = [_choices(knob) for knob in strategy.knobs]
    sizes = [len(levels) for levels in choices]
    live = _point(strategy, choices)
    drawn = dict.fromkeys([live, *_neighbours(live, sizes)])
    most = int(np.prod(sizes)) // 2
    if not len(drawn) <= n_configs <= most:
        raise InputError(
            f"{strategy.strategy_id}: n_configs is {n_configs}; give at least {len(drawn)} (the live configuration and "
            f"its one-knob neighbours) and at most {most} (half of all there are)"
        )
    paired = len(drawn) + (n_configs - len(drawn)) // 2
    _fill(drawn, _pairs(sizes, generator), paired)
    _fill(drawn, _singles(sizes, generator), n_configs)
    return [
        {knob.path: levels[index] for knob, levels, index in zip(strategy.knobs, choices, point, strict=True)}
        for point in drawn
    ]


def with_live(strategy: LabStrategy, live_config: Config) -> LabStrategy:
    """Return the strategy as it runs after its live configuration moved, so that the next campaign centres on it.

    Raises
    ------
    InputError
        If the configuration breaks the declaration.
    """
    strategy.check(live_config)
    return replace(strategy, live_config=dict(live_config))


def _choices(knob: Knob) -> Sequence[JsonValue]:
    if not knob.choices:
        raise InputError(f"knob {knob.path} declares no choices; a campaign samples the choices, so give at least two")
    return knob.choices


def _point(strategy: LabStrategy, choices: Sequence[Sequence[JsonValue]]) -> Point:
    strategy.check(strategy.live_config)
    return tuple(
        [level_key(level) for level in levels].index(level_key(strategy.live_config[knob.path]))
        for knob, levels in zip(strategy.knobs, choices, strict=True)
    )


def _neighbours(point: Point, sizes: Sequence[int]) -> Iterator[Point]:
    for knob, size in enumerate(sizes):
        for level in range(size):
            if level != point[knob]:
                yield (*point[:knob], level, *point[knob + 1 :])


def _pairs(sizes: Sequence[int], generator: np.random.Generator) -> Iterator[tuple[Point, ...]]:
    while True:
        for knob, size in enumerate(sizes):
            base = _random_point(sizes, generator)
            level = (base[knob] + 1 + int(generator.integers(size - 1))) % size
            yield base, (*base[:knob], level, *base[knob + 1 :])


def _singles(sizes: Sequence[int], generator: np.random.Generator) -> Iterator[tuple[Point, ...]]:
    while True:
        yield (_random_point(sizes, generator),)


def _random_point(sizes: Sequence[int], generator: np.random.Generator) -> Point:
    return tuple(int(index) for index in generator.integers(sizes))


def _fill(drawn: dict[Point, None], groups: Iterator[tuple[Point, ...]], n_points: int) -> None:
    """Add whole groups, skipping points that are there, while one is sure to fit."""
    for group in groups:
        if len(drawn) + len(group) > n_points:
            return
        drawn.update(dict.fromkeys(group))
