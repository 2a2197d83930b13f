"""Splits in time: train on what was known before, test on what came after, with nothing of the one in the other.

Purging and embargo as López de Prado, Advances in Financial Machine Learning (2018), chapter 7: a label that was not
yet known when the test begins is not trained on, and a gap is left before the test for what labels do not show.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Rows = NDArray[np.int64]
Instants = NDArray[np.int64]


class Fold(NamedTuple):
    """Rows to train on, and the later rows to test on."""

    train: Rows
    test: Rows


def cut_points(starts: Instants, fractions: list[float]) -> list[int]:
    """Return the instants at which these fractions of the rows have begun.

    A cut is an instant, so rows of the same instant fall on the same side of it.
    """
    n = len(starts)
    return [int(starts[min(int(n * fraction), n - 1)]) for fraction in fractions]


def known_before(starts: Instants, ends: Instants, instant: int, embargo: int) -> NDArray[np.bool_]:
    """Say which rows began, and had their label known, more than the embargo before an instant."""
    return (starts < instant) & (ends < instant - embargo)


def walk_forward(starts: Instants, ends: Instants, *, n_splits: int, embargo: int) -> list[Fold]:
    """Split rows into an expanding window to train on and the block after it to test on, `n_splits` times.

    Parameters
    ----------
    starts, ends
        Shape (n,), microseconds, sorted by start: when each decision was made, and when its label was known.
    n_splits
        Number of folds; the rows are cut into one block more.
    embargo
        Microseconds left out before each test block, on top of labels that reach into it.

    Raises
    ------
    InputError
        If there are fewer distinct instants than blocks, or the embargo is negative.
    """
    if embargo < 0:
        raise InputError(f"the embargo is {embargo} microseconds; it must not be negative")
    if n_splits < 1 or len(np.unique(starts)) <= n_splits:
        raise InputError(
            f"{len(np.unique(starts))} distinct instants cannot be split {n_splits} times; give more data, "
            "or ask for fewer splits"
        )
    cuts = cut_points(starts, [block / (n_splits + 1) for block in range(1, n_splits + 1)])
    folds = []
    for first, after in zip(cuts, [*cuts[1:], int(starts[-1]) + 1], strict=True):
        test = np.flatnonzero((starts >= first) & (starts < after))
        train = np.flatnonzero(known_before(starts, ends, first, embargo))
        if len(test) and len(train):
            folds.append(Fold(train, test))
    return folds


def audit(folds: list[Fold], starts: Instants, ends: Instants, embargo: int) -> list[str]:
    """Look for leaks in folds, by their rows alone; returns one sentence per leak found.

    Written apart from the splitter, so that a mistake in one is seen by the other.
    """
    leaks = []
    for number, (train, test) in enumerate(folds, start=1):
        if not len(train) or not len(test):
            leaks.append(f"fold {number} has {len(train)} rows to train on and {len(test)} to test on")
            continue
        first = int(starts[test].min())
        shared = len(np.intersect1d(starts[train], starts[test]))
        late = int((ends[train] >= first - embargo).sum())
        future = int((starts[train] >= first).sum())
        if len(np.intersect1d(train, test)):
            leaks.append(f"fold {number} tests on rows it was trained on")
        if shared:
            leaks.append(f"fold {number} has {shared} instants on both sides")
        if future:
            leaks.append(f"fold {number} trains on {future} rows that begin in the test")
        if late:
            leaks.append(f"fold {number} trains on {late} labels not known an embargo before the test")
    tested = np.concatenate([test for _, test in folds]) if folds else np.empty(0, dtype=np.int64)
    if len(np.unique(tested)) != len(tested):
        leaks.append("some rows are tested in more than one fold")
    return leaks


def average_uniqueness(starts: Instants, ends: Instants) -> NDArray[np.float64]:
    """Return, per label, one over the number of labels alive with it: the mean of that at its start and its end.

    Labels that are alive together are one experience seen several times; the sum over rows is how many independent
    ones there are. All symbols count together, as markets share their fate.
    """
    sorted_starts, sorted_ends = np.sort(starts), np.sort(ends)
    # A label lives from its start up to, not including, its end: one that ends as the next begins is over by then.
    at_start = np.searchsorted(sorted_starts, starts, "right") - np.searchsorted(sorted_ends, starts, "right")
    at_end = np.searchsorted(sorted_starts, ends, "left") - np.searchsorted(sorted_ends, ends, "left")
    uniqueness: NDArray[np.float64] = (1.0 / np.maximum(at_start, 1) + 1.0 / np.maximum(at_end, 1)) / 2.0
    return uniqueness
