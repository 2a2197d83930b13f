"""Which declared knobs change nothing, shown by runs that differ in nothing else, or only in what scales returns.

Belongs here: dead knobs. Does not belong here: knobs that move together (factors.aliases), effects that are small but
real (contrasts).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.distinct import DistinctRuns
from meta_pipeline.evidence.factors import Codes, Factor, Role, combine
from meta_pipeline.evidence.influence import Runs

Floats = NDArray[np.float64]

SAME: Final = 1e-9
"""Largest difference of two series that are the same up to rounding, as a share of the largest return."""

MOST_LEVELS: Final = 20  # a knob with more is not compared level by level anyway
MOST_UNSEEN: Final = 4  # with more knobs that no pair shows, there is hardly one that shows two of them


def dead_knobs(distinct: DistinctRuns, runs: Runs) -> tuple[str, ...]:
    """Return the declared knobs whose matched pairs all have identical returns, in order of their paths.

    A pair is matched if block and all other declared knobs and nuisances are equal. A knob without such a pair is
    dead, too, where pairs that differ besides in dead knobs and in knobs that only scale returns tell what each of
    these scales by, and for this knob it is one.

    Parameters
    ----------
    distinct
        The runs.
    runs
        Their returns, in the same order.
    """
    active = [f for f in distinct.factors if f.role in {Role.KNOB, Role.NUISANCE} and len(f.levels) > 1]
    dead: list[Factor] = []
    unseen: list[Factor] = []  # without a matched pair
    alive: list[Factor] = []
    for knob in (factor for factor in active if factor.role is Role.KNOB):
        cells = _cells(distinct, active, [knob])
        several = _distinct_per_cell(cells, knob.codes) > 1
        if not several.any() and len(knob.levels) <= MOST_LEVELS:
            unseen.append(knob)
        elif several.any():
            same = (_distinct_per_cell(cells, distinct.series)[several] == 1).all()
            (dead if same else alive).append(knob)
    if unseen:
        few = [knob for knob in alive if len(knob.levels) <= MOST_LEVELS]
        scaling = [knob for knob in few if _scales(distinct, runs, active, [knob]) is not None]
        dead += [k for k in unseen if _is_dead_beside(distinct, runs, active, k, dead, scaling, unseen)]
    return tuple(sorted(knob.path for knob in dead))


def _is_dead_beside(
    distinct: DistinctRuns,
    runs: Runs,
    active: Sequence[Factor],
    knob: Factor,
    dead: Sequence[Factor],
    scaling: Sequence[Factor],
    unseen: Sequence[Factor],
) -> bool:
    """Whether a knob scales by one, beside those that are known to scale and at most one that was not seen either."""
    others = [other for other in unseen if other is not knob] if len(unseen) <= MOST_UNSEEN else []
    for more in ([], *([other] for other in others)):
        found = _scales(distinct, runs, active, [knob, *scaling, *more], dead)
        if found is not None and len(found):
            return bool((np.abs(found) <= SAME).all())
    return False


def _cells(distinct: DistinctRuns, active: Sequence[Factor], free: Sequence[Factor]) -> Codes:
    """Return the cell of each run: within one, only the free factors differ."""
    return combine([distinct.blocks, *(factor.codes for factor in active if factor not in free)])


def _distinct_per_cell(cells: Codes, codes: Codes) -> Codes:
    width = int(codes.max(initial=0)) + 1
    n_cells = int(cells.max(initial=0)) + 1
    return np.bincount(np.unique(cells * width + codes) // width, minlength=n_cells)


def _scales(
    distinct: DistinctRuns,
    runs: Runs,
    active: Sequence[Factor],
    free: Sequence[Factor],
    dead: Sequence[Factor] = (),
) -> Floats | None:
    """Return the logarithms by which levels of the first free factor scale, for pairs of levels that are identified.

    None if runs that differ in free and dead factors alone differ by more than scale, or these scales do not multiply.
    """
    starts = np.cumsum([0, *(len(factor.levels) for factor in free)])
    rows, logarithms = [], []
    for first, other in _pairs(_cells(distinct, active, [*free, *dead])):
        ratio = _ratio(runs, first, other)
        if ratio is None:
            return None
        row = np.zeros(starts[-1])
        for factor, start in zip(free, starts, strict=False):
            row[start + factor.codes[other]] += 1.0
            row[start + factor.codes[first]] -= 1.0
        rows.append(row)
        logarithms.append(np.log(ratio))
    if not rows:
        return np.zeros(0)
    # Equal rows say the same again: a table of pairs of levels is small, however many runs there are.
    table, places = np.unique(np.array(rows), axis=0, return_inverse=True)
    means = np.bincount(places.ravel(), weights=logarithms) / np.bincount(places.ravel())
    inverse = np.linalg.pinv(table)
    scales = inverse @ means
    if np.abs(np.array(rows) @ scales - logarithms).max() > SAME:
        return None
    identified = inverse @ table
    return np.array(
        [scales[b] - scales[a] for a in range(starts[1]) for b in range(a) if _is_held(identified, a, b)], dtype=float
    )


def _is_held(identified: Floats, a: int, b: int) -> bool:
    """Whether the difference of two unknowns lies in the span of the equations."""
    wanted = np.zeros(len(identified))
    wanted[a], wanted[b] = -1.0, 1.0
    return bool(np.abs(identified @ wanted - wanted).max() <= SAME)


def _pairs(cells: Codes) -> Iterator[tuple[int, int]]:
    """Yield the first run of each cell with each other run of it."""
    order = np.argsort(cells, kind="stable")
    first = -1
    for run in order.tolist():
        if first < 0 or cells[run] != cells[first]:
            first = run
        else:
            yield first, run


def _ratio(runs: Runs, first: int, other: int) -> float | None:
    """Return by what the one run's returns are multiplied to give the other's, None if they differ by more."""
    one, two = runs.by_run[runs.columns[first]], runs.by_run[runs.columns[other]]
    if not np.array_equal(np.isnan(one), np.isnan(two)):
        return None
    largest = int(np.nanargmax(np.abs(one)))
    ratio = float(two[largest] / one[largest])
    same = ratio > 0 and np.nanmax(np.abs(one * ratio - two)) <= SAME * abs(two[largest])
    return ratio if same else None
