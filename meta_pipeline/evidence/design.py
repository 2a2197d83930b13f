"""The design of a campaign: from "level b against level a" to one weight per run, or to a reason why not.

Belongs here: matched pairs, least squares with block effects, identifiability. Does not belong here: returns.
Weights depend on which runs exist and how long they are, never on how they performed, so a contrast's estimate and its
error follow from them by linearity alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.factors import Codes, Factor, combine

Floats = NDArray[np.float64]

NOT_IDENTIFIED: Final = 1e-8  # of a contrast's unit vector may lie outside what the design can tell apart
FULL_LEVELS: Final = 12  # a numeric control with more levels is held fixed by bins of its value
CONTROL_BINS: Final = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A contrast as weights over runs, or the reason why there is none.

    Parameters
    ----------
    method
        "matched_pairs", "least_squares" or "local_pairs".
    weights
        Shape (n_runs,); the runs at level b have weights that sum to one, those at a to minus one, and each block
        sums to zero. None if the contrast is not identified.
    n_pairs
        Matched pairs in which both levels occur.
    reason
        Why there are no weights.
    """

    method: str
    weights: Floats | None
    n_pairs: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Distinct runs as rows; blocks and levels as columns.

    Parameters
    ----------
    blocks
        Shape (n_runs,): block codes.
    factors
        The knobs and nuisances that are held fixed; dead knobs are left out.
    lengths
        Shape (n_runs,): number of returns of each run.
    years
        Shape (n_runs,): the same in years. The error of an annualised Sharpe ratio goes with its root.
    """

    blocks: Codes
    factors: tuple[Factor, ...]
    lengths: Codes
    years: Floats

    def matched_pairs(self, factor: Factor, low: int, high: int) -> Weights:
        """Weigh level `high` against `low` within cells of equal block and equal other factors.

        A cell counts by the information its pairs hold: the harmonic mean of the two levels' years.
        """
        return self._pairs("matched_pairs", factor, low, high, None)

    def local_pairs(self, factor: Factor, low: int, high: int, live: Mapping[str, int | None]) -> Weights:
        """Weigh level `high` against `low` in the matched pairs whose other factors are at their live levels.

        Parameters
        ----------
        live
            Path -> the live level's code; None where no run has it.
        """
        at_live = np.ones(len(self.blocks), dtype=bool)
        for other in self.factors:
            if other.path != factor.path and other.path in live:
                code = live[other.path]
                at_live &= (other.codes == code) if code is not None else False
        return self._pairs("local_pairs", factor, low, high, at_live)

    def least_squares(self, factor: Factor, low: int, high: int) -> Weights:
        """Weigh level `high` against `low` by least squares with block effects and all other factors' levels."""
        columns, gram, inverse, offset = self._system(factor)
        target = np.zeros(columns.shape[1])
        target[offset + high], target[offset + low] = 1.0, -1.0
        solution = inverse @ target
        if float(np.max(np.abs(gram @ solution - target))) > NOT_IDENTIFIED:
            return Weights(method="least_squares", weights=None, reason=self._why_not(factor, low, high))
        weights = self.years * (columns @ solution)
        weights[np.abs(weights) < 1e-14] = 0.0
        return Weights(method="least_squares", weights=weights, n_pairs=self.matched_pairs(factor, low, high).n_pairs)

    def residuals(self, values: Floats) -> tuple[Floats, int]:
        """Return what least squares leaves of one value per run, and the degrees of freedom that remain."""
        n_blocks = int(self.blocks.max(initial=0)) + 1
        total = np.bincount(self.blocks, weights=self.years, minlength=n_blocks)
        centred = (
            values - (np.bincount(self.blocks, weights=self.years * values, minlength=n_blocks) / total)[self.blocks]
        )
        left = centred - self._columns @ (self._inverse @ (self._columns.T @ (self.years * centred)))
        rank = int(np.round(np.trace(self._gram @ self._inverse)))
        return left, len(values) - rank - len(np.unique(self.blocks))

    def _pairs(self, method: str, factor: Factor, low: int, high: int, mask: NDArray[np.bool_] | None) -> Weights:
        cells = self._cells[factor.path]
        at_low, at_high = factor.codes == low, factor.codes == high
        if mask is not None:
            at_low, at_high = at_low & mask, at_high & mask
        n_cells = int(cells.max(initial=0)) + 1
        # Lengths are whole numbers, so that these sums are exact whatever the order of the runs.
        length_low = np.bincount(cells[at_low], weights=self.lengths[at_low], minlength=n_cells)
        length_high = np.bincount(cells[at_high], weights=self.lengths[at_high], minlength=n_cells)
        count = np.minimum(
            np.bincount(cells[at_low], minlength=n_cells), np.bincount(cells[at_high], minlength=n_cells)
        )
        both = (length_low > 0) & (length_high > 0)
        if not both.any():
            where = "at the live configuration" if mask is not None else "in any block"
            return Weights(method=method, weights=None, reason=f"no matched pair of the two values {where}")
        per_year = np.zeros(n_cells)
        per_year[cells] = self.years / np.maximum(self.lengths, 1)
        with np.errstate(all="ignore"):
            share = np.where(both, per_year * length_low * length_high / (length_low + length_high), 0.0)
        share /= math.fsum(share.tolist())
        weights = np.zeros(len(self.blocks))
        chosen = at_high & both[cells]
        weights[chosen] = share[cells[chosen]] * self.lengths[chosen] / length_high[cells[chosen]]
        chosen = at_low & both[cells]
        weights[chosen] = -share[cells[chosen]] * self.lengths[chosen] / length_low[cells[chosen]]
        return Weights(method=method, weights=weights, n_pairs=int(count.sum()))

    @cached_property
    def _cells(self) -> dict[str, Codes]:
        """Path -> one code per run, equal where block and all other factors are."""
        return {
            factor.path: combine([self.blocks, *(other.codes for other in self.factors if other is not factor)])
            for factor in self.factors
        }

    @cached_property
    def _controls(self) -> tuple[Codes, ...]:
        return tuple(control_codes(factor) for factor in self.factors)

    @cached_property
    def _columns(self) -> Floats:
        return _demeaned(self._controls, self.blocks, self.years)

    @cached_property
    def _gram(self) -> Floats:
        return _gram(self._columns, self.years)

    @cached_property
    def _inverse(self) -> Floats:
        return _invert(self._gram)

    def _system(self, factor: Factor) -> tuple[Floats, Floats, Floats, int]:
        """Return the design with this factor's levels in full, its Gram matrix, the inverse, and where they start."""
        position = [other.path for other in self.factors].index(factor.path)
        widths = [int(codes.max(initial=0)) + 1 for codes in self._controls]
        offset = sum(widths[:position])
        if self._controls[position] is self.factors[position].codes:
            return self._columns, self._gram, self._inverse, offset
        if factor.path not in self._full:
            controls = list(self._controls)
            controls[position] = factor.codes
            columns = _demeaned(controls, self.blocks, self.years)
            gram = _gram(columns, self.years)
            self._full[factor.path] = columns, gram, _invert(gram)
        return *self._full[factor.path], offset

    @cached_property
    def _full(self) -> dict[str, tuple[Floats, Floats, Floats]]:
        """Systems of factors that are held fixed by bins, once their own levels are asked for."""
        return {}

    def _why_not(self, factor: Factor, low: int, high: int) -> str:
        blocks_low, blocks_high = (set(self.blocks[factor.codes == code].tolist()) for code in (low, high))
        if not blocks_low & blocks_high:
            return "the two values never occur in the same block (market x window x campaign)"
        return "the two values always come together with other values of other knobs"


def control_codes(factor: Factor) -> Codes:
    """Return a factor's codes as it is held fixed: its levels, or bins of a number with many levels."""
    if len(factor.levels) <= FULL_LEVELS:
        return factor.codes
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in factor.levels):
        return factor.codes
    values = np.asarray([float(level) for level in factor.levels])[factor.codes]  # type: ignore[arg-type]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, CONTROL_BINS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _demeaned(controls: Sequence[Codes], blocks: Codes, years: Floats) -> Floats:
    """Return level dummies less their block means, weighted by years; shape (n_runs, n_levels)."""
    dummies = np.concatenate([np.eye(int(codes.max(initial=0)) + 1)[codes] for codes in controls], axis=1)
    n_blocks = int(blocks.max(initial=0)) + 1
    total = np.bincount(blocks, weights=years, minlength=n_blocks)
    sums = np.zeros((n_blocks, dummies.shape[1]))
    np.add.at(sums, blocks, dummies * years[:, None])
    return dummies - (sums / np.maximum(total, 1e-300)[:, None])[blocks]


def _gram(columns: Floats, years: Floats) -> Floats:
    gram: Floats = columns.T @ (columns * years[:, None])
    return gram


def _invert(gram: Floats) -> Floats:
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    inverse: Floats = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse
