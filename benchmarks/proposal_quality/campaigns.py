"""Which worlds are drawn, how often, from which seeds; and the contestants' scores in each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.proposal_quality.contestants import CONTESTANTS
from benchmarks.proposal_quality.scores import FOUND, Scored, score
from benchmarks.proposal_quality.worlds import Design, World, draw

FIXED_SEED: Final = 20261121
Table = Mapping[str, Mapping[str, list[Scored]]]
"""World, contestant, one entry per campaign."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A world, and how many campaigns of it the quick and the full version draw."""

    world: World
    quick: int
    full: int


def _with_effect(size: float, design: Design) -> World:
    return World(design=design, effects={FOUND: size})


NULLS: Final = {f"null, {design}": Cell(world=World(design=design), quick=60, full=600) for design in Design}
POWERS: Final = {
    f"effect {size}, {design}": Cell(world=_with_effect(size, design), quick=25, full=300)
    for size in (0.3, 0.5)
    for design in Design
}
MIXED: Final = {
    f"effects N(0, .2), {design}": Cell(world=World(design=design, effect_sd=0.2), quick=3, full=200)
    for design in Design
}
_ODD: Final[Mapping[str, dict[str, object]]] = {
    "three dead knobs": {"dead": frozenset({2, 3, 4})},
    "sparse, 6 runs per market": {"runs_per_market": 6},
    "unbalanced windows": {"windows": True},
    "duplicates": {"duplicates": True},
    "bankrupt runs": {"bankrupt": True},
    "aliased knobs 1 and 2": {"aliased": (1, 2)},
    "drifting effects": {"drift": True},
}
ODD_NULLS: Final = {
    f"null, {name}": Cell(world=World(**changed), quick=2, full=150)  # type: ignore[arg-type]
    for name, changed in _ODD.items()
} | {"null, leverage only": Cell(world=World(dead=frozenset(range(5))), quick=2, full=150)}
ODD_POWERS: Final = {
    f"effect 0.5, {name}": Cell(world=World(effects={FOUND: 0.5}, **changed), quick=2, full=150)  # type: ignore[arg-type]
    for name, changed in _ODD.items()
}
CELLS: Final = {**NULLS, **POWERS, **MIXED, **ODD_NULLS, **ODD_POWERS}


def run(*, full: bool, fresh_seed: int | None, tell: Callable[[str], None]) -> dict[str, dict[str, list[Scored]]]:
    """Draw every world's campaigns and score all contestants on each.

    Parameters
    ----------
    full
        The full number of campaigns rather than the quick one.
    fresh_seed
        Where given, every second campaign is drawn from it and the others from the fixed seed.
    tell
        Called with a line when a world begins.
    """
    table: dict[str, dict[str, list[Scored]]] = {}
    for index, (name, cell) in enumerate(CELLS.items()):
        n = cell.full if full else cell.quick
        tell(f"{name}: {n} campaigns")
        rows: dict[str, list[Scored]] = {contestant: [] for contestant in CONTESTANTS}
        for number in range(n):
            seed = FIXED_SEED if fresh_seed is None or number % 2 == 0 else fresh_seed
            campaign = draw(cell.world, np.random.default_rng([seed, index, number]))
            for contestant, ask in CONTESTANTS.items():
                rows[contestant].append(score(campaign, ask(campaign)))
        table[name] = rows
    return table
