"""Pseudo-outcomes: a campaign's own window split into past and future, before any outcome has come in.

Belongs here: where the window is split, and the effect on both sides. Does not belong here: what is learned from them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.half_years import HalfYears, last_day_of

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

SPLITS: Final = ((3, 5), (2, 4), (1, 3))
"""In fifths of the window: the past ends at the first, the future, which follows it, at the second."""
FIFTHS: Final = 5
BALANCE: Final = 0.01  # of a block's weights may be left on one side


@dataclass(frozen=True, kw_only=True)
class PseudoOutcome:
    """One change seen from inside the window.

    Parameters
    ----------
    change
        Column of the change.
    past_stop
        Code of the half-year in which the future begins.
    evidence_end, outcome_end
        Last day of the past, and of the future.
    years
        Length of the past.
    contrast
        The effect in the past.
    main, incumbent
        The effect in the future: by the same weights, and by the weights at the incumbent; NaN where they have none.
    """

    change: int
    past_stop: int
    evidence_end: np.datetime64
    outcome_end: np.datetime64
    years: float
    contrast: float
    main: float
    incumbent: float


def splits(first: int, stop: int) -> tuple[tuple[int, int], ...]:
    """Return (end of the past, end of the future) for each split of a window, as codes of half-years.

    At five years: 0-3|3-5, 0-2|2-4, 0-1|1-3; other lengths are split in the same fifths, to the nearest half-year. A
    window of a single half-year has none.
    """
    length = stop - first
    found = {(_nearest(length, past), _nearest(length, future)) for past, future in SPLITS}
    return tuple(
        (first + past, first + future) for past, future in sorted(found, reverse=True) if 0 < past < future <= length
    )


def pseudo_outcomes(
    halves: HalfYears,
    *,
    periods_per_year: Floats,
    blocks: Codes,
    weights: Floats,
    raised: Flags,
    local: Floats | None = None,
    last_day: np.datetime64,
) -> tuple[PseudoOutcome, ...]:
    """Split the window of some runs, and take every contrast on both sides.

    A run without a Sharpe ratio on one of the sides is left out, and with it its block unless the block's other weights
    still balance.

    Parameters
    ----------
    halves
        The runs' sums per half-year.
    periods_per_year, blocks
        Shape (n_runs,).
    weights
        Shape (n_runs, n_changes): contrast weights; they sum to one over the runs at the higher level, to zero in
        each block.
    raised
        Shape (n_runs, n_changes): which runs are at the higher level.
    local
        Shape (n_runs, n_changes): weights at the incumbent's configuration, zeros where there are none. None: none.
    last_day
        Last day of the window: the last half-year may not be over.
    """
    used = (weights != 0).any(axis=1)
    starts, stops = halves.spans()
    if not (used & (stops > starts)).any():
        return ()
    present = used & (stops > starts)
    found = []
    for past, future in splits(int(starts[present].min()), int(stops[present].max())):
        before = halves.sharpe(int(starts[present].min()), past, periods_per_year)
        after = halves.sharpe(past, future, periods_per_year)
        known = np.isfinite(before) & np.isfinite(after)
        kept, total = _kept(weights, known, blocks, raised)
        contrast, main = _effects(kept, total, before), _effects(kept, total, after)
        incumbent = np.full(len(main), np.nan)
        if local is not None:
            incumbent = _effects(*_kept(local, known, blocks, raised), after)
        found += [
            PseudoOutcome(
                change=change,
                past_stop=past,
                evidence_end=last_day_of(past - 1),
                outcome_end=min(last_day_of(future - 1), last_day),
                years=(past - int(starts[present].min())) / 2,
                contrast=float(contrast[change]),
                main=float(main[change]),
                incumbent=float(incumbent[change]),
            )
            for change in np.flatnonzero(np.isfinite(contrast) & np.isfinite(main)).tolist()
        ]
    return tuple(found)


def _nearest(length: int, fifths: int) -> int:
    return (2 * length * fifths + FIFTHS) // (2 * FIFTHS)


def _kept(weights: Floats, known: Flags, blocks: Codes, raised: Flags) -> tuple[Floats, Floats]:
    """Return the weights that are left, and what is left of the higher level's."""
    kept = np.where(known[:, None], weights, 0.0)
    n_blocks = int(blocks.max(initial=0)) + 1
    sums, sizes = np.zeros((n_blocks, kept.shape[1])), np.zeros((n_blocks, kept.shape[1]))
    np.add.at(sums, blocks, kept)
    np.add.at(sizes, blocks, np.abs(kept))
    kept = np.where((np.abs(sums) <= BALANCE * sizes)[blocks], kept, 0.0)
    return kept, np.where(raised, kept, 0.0).sum(axis=0)


def _effects(kept: Floats, total: Floats, sharpe: Floats) -> Floats:
    with np.errstate(all="ignore"):
        effects: Floats = np.where(total > 1e-6, (np.nan_to_num(sharpe) @ kept) / total, np.nan)
    return effects
