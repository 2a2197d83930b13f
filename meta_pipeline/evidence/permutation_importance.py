"""How much worse performance is predicted when one knob is shuffled. Describes the runs; decides nothing.

Belongs here: permutation importance of a response surface over the knobs. Does not belong here: effects of levels and
their error rates (contrasts, multiplicity), or importance over days (importance: the Wald view ranks knobs best).

Breiman, Machine Learning 45, 2001; Fisher, Rudin and Dominici, Journal of Machine Learning Research 20(177), 2019. It
departs from them twice. Levels are shuffled within blocks only, so that a knob that was set otherwise in other markets
is not paid for the markets. And predictions are made for blocks that the surface was not fitted to, where there are at
least two: runs of one block share their luck, and a surface that learned it would call luck importance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.factors import Codes, Factor
from meta_pipeline.evidence.importance import DESCRIPTIVE

Floats = NDArray[np.float64]

MOST_FOLDS: Final = 5
MOST_PAIRS: Final = 400  # columns of pairs of levels; with more, the surface has mains only
MAIN_PENALTY, PAIR_PENALTY = 1.0, 5.0  # in runs: pairs are many, and believed later


@dataclass(frozen=True, kw_only=True)
class KnobPermutation:
    """What shuffling one knob does to the prediction.

    Parameters
    ----------
    path
        The knob.
    importance
        Rise of the mean squared error of prediction, as a share of the variance of performance within blocks; mean
        over shuffles. About 0, or below, for a knob that tells nothing beyond the others; 2 R² at most for one
        that tells all by itself.
    spread
        Standard deviation over shuffles: that of the shuffling, not of the sample.
    label
        What the figure is not.
    """

    path: str
    importance: float
    spread: float
    label: str = DESCRIPTIVE


@dataclass(frozen=True, kw_only=True)
class PermutationImportance:
    """Knobs by falling importance, and how well the surface predicts at all.

    Parameters
    ----------
    r_squared
        Share of the variance within blocks that is predicted for runs that were not fitted; not above zero: the
        surface predicts nothing, and its importances mean nothing.
    n_runs, n_folds, n_shuffles
        What it rests on.
    folds_of
        "blocks", or "runs" where there is one block only.
    has_pairs
        Whether the surface holds pairs of knobs.
    """

    knobs: tuple[KnobPermutation, ...]
    r_squared: float
    n_runs: int
    n_folds: int
    n_shuffles: int
    folds_of: str
    has_pairs: bool


def permutation_importance(
    factors: Sequence[Factor],
    blocks: Codes,
    performance: ArrayLike,
    *,
    generator: np.random.Generator,
    n_shuffles: int = 20,
) -> PermutationImportance:
    """Measure what shuffling each knob within blocks costs in prediction.

    The surface is a ridge regression on one-hot mains and pairs of knobs, performance and columns less their means in
    the block: a knob that goes with the market is not held to the market's luck.

    Parameters
    ----------
    factors
        The knobs, codes over all runs.
    blocks
        Shape (n_runs,): block of each run.
    performance
        Shape (n_runs,), one metric; NaN leaves a run out. The order of the runs does not matter.
    generator
        The source of randomness. All knobs see the same shuffles.
    n_shuffles
        At least 1.

    Raises
    ------
    InputError
        If lengths differ, nothing is shuffled, or fewer than ten runs differ in performance within a block.
    """
    values = np.asarray(performance, dtype=np.float64)
    if values.ndim != 1 or any(len(codes) != len(values) for codes in (blocks, *(f.codes for f in factors))):
        raise InputError(f"performance has shape {values.shape}; give one number, block and level of each knob per run")
    if n_shuffles < 1:
        raise InputError(f"n_shuffles is {n_shuffles!r}; give at least 1")
    kept = np.flatnonzero(np.isfinite(values))
    codes = [np.unique(factor.codes[kept], return_inverse=True)[1] for factor in factors]
    within = np.unique(np.asarray(blocks)[kept], return_inverse=True)[1]
    # Sorted by all that counts, so that the answer does not hang on the order of the runs.
    order = np.lexsort([*codes, values[kept], within])
    codes, within, values = [column[order] for column in codes], within[order], values[kept][order]
    centred = _within(values, within)
    variance = float(np.mean(centred**2)) if len(centred) else 0.0
    if len(centred) < 10 or not variance > 0:
        raise InputError(f"{len(centred)} runs, variance within blocks {variance:g}; give at least 10 that differ")
    folds, folds_of = _folds(within)
    surface = _Surface(codes, within)
    fitted = [surface.fit(centred, folds != fold) for fold in range(int(folds.max()) + 1)]
    error = float(np.mean((centred - surface.predict(fitted, folds, codes)) ** 2))
    rises = np.empty((n_shuffles, len(codes)))
    for draw in range(n_shuffles):
        shuffled = np.lexsort((generator.random(len(centred)), within))  # blocks stay where they are
        for knob, column in enumerate(codes):
            changed = [*codes[:knob], column[shuffled], *codes[knob + 1 :]]
            worse = np.mean((centred - surface.predict(fitted, folds, changed)) ** 2)
            rises[draw, knob] = (worse - error) / variance
    found = [
        KnobPermutation(path=factor.path, importance=float(mean), spread=float(spread))
        for factor, mean, spread in zip(factors, rises.mean(axis=0), rises.std(axis=0), strict=True)
    ]
    return PermutationImportance(
        knobs=tuple(sorted(found, key=lambda knob: (-knob.importance, knob.path))),
        r_squared=1.0 - error / variance,
        n_runs=len(centred),
        n_folds=int(folds.max()) + 1,
        n_shuffles=n_shuffles,
        folds_of=folds_of,
        has_pairs=bool(surface.pairs),
    )


def _folds(within: Codes) -> tuple[Codes, str]:
    """Return the fold of each run: whole blocks, by turns; runs by turns where there is one block only."""
    n_blocks = int(within.max()) + 1
    if n_blocks > 1:
        return within % min(n_blocks, MOST_FOLDS), "blocks"
    return np.arange(len(within)) % MOST_FOLDS, "runs"


def _within(values: Floats, blocks: Codes) -> Floats:
    """Return values less their mean in the block."""
    mean = np.bincount(blocks, weights=values) / np.maximum(np.bincount(blocks), 1)
    return np.asarray(values - mean[blocks], dtype=np.float64)


class _Surface:
    """A ridge regression on one-hot levels of knobs and of pairs of knobs."""

    def __init__(self, codes: Sequence[Codes], within: Codes) -> None:
        self.within = within
        self.sizes = [int(column.max()) + 1 for column in codes]
        pairs = list(combinations(range(len(codes)), 2))
        columns = sum(self.sizes[a] * self.sizes[b] for a, b in pairs)
        self.pairs = pairs if columns <= MOST_PAIRS else []
        widths = [*self.sizes, *(self.sizes[a] * self.sizes[b] for a, b in self.pairs)]
        self.starts = np.concatenate([[0], np.cumsum(widths)])
        self.penalty = np.repeat(
            [MAIN_PENALTY] * len(self.sizes) + [PAIR_PENALTY] * len(self.pairs), np.array(widths, dtype=np.intp)
        )
        self.places = self._places(codes)

    def _places(self, codes: Sequence[Codes]) -> Codes:
        """Return which columns of the design are one in each run, shape (n_terms, n_runs)."""
        terms = [*codes, *(codes[a] * self.sizes[b] + codes[b] for a, b in self.pairs)]
        return np.stack([start + term for start, term in zip(self.starts[:-1], terms, strict=True)])

    def fit(self, centred: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """Return the coefficients by the chosen runs, shape (n_columns,)."""
        runs = np.flatnonzero(chosen)
        design = np.zeros((len(runs), int(self.starts[-1])))
        design[np.arange(len(runs))[None, :], self.places[:, runs]] = 1.0
        blocks = np.unique(self.within[runs], return_inverse=True)[1]
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))  # blocks come one after another
        design -= (np.add.reduceat(design, starts, axis=0) / np.bincount(blocks)[:, None])[blocks]
        normal = design.T @ design + np.diag(self.penalty)
        return np.asarray(np.linalg.solve(normal, design.T @ centred[runs]), dtype=np.float64)

    def predict(self, fitted: Sequence[Floats], folds: Codes, codes: Sequence[Codes]) -> Floats:
        """Predict each run by the coefficients that were fitted without its fold, shape (n_runs,)."""
        return _within(np.stack(fitted)[folds, self._places(codes)].sum(axis=0), self.within)
