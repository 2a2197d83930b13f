"""The design of a campaign: from "level b against level a" to one weight per run, or to a reason why not.

Belongs here: matched pairs, least squares with block effects, identifiability. Does not belong here: returns.
Weights depend on which runs exist and how long they are, never on how they performed, so a contrast's estimate and its
error follow from them by linearity alone.
"""

import math
from collections.abc import Mapping
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
MOST_CONTROL_LEVELS: Final = 100
SMALL_PRODUCT: Final = 250_000  # multiplications; larger matrix products wake threads that then wait, busily
LEVEL_LUCK: Final = 1.0  # variance of a level's luck in a block, in variances of one run's own error
MOST_TABLES: Final = 4_000_000  # numbers in all blocks' tables of pairs of levels; beyond, levels have no luck


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A contrast as weights over runs, or the reason why there is none.

    Parameters
    ----------
    method
        "matched_pairs", "least_squares" (generalised or not) or "local_pairs".
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

    def n_pairs(self, factor: Factor, low: int, high: int) -> int:
        """Count the matched pairs in which both levels occur."""
        cells = self._cells[factor.path]
        at_low = np.bincount(cells[factor.codes == low])
        at_high = np.bincount(cells[factor.codes == high], minlength=len(at_low))
        return int(np.minimum(at_low, at_high[: len(at_low)]).sum())

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

    def pairs_where(self, factor: Factor, low: int, high: int, runs: NDArray[np.bool_]) -> Weights:
        """Weigh level `high` against `low` in the matched pairs among some of the runs, shape (n_runs,)."""
        return self._pairs("matched_pairs", factor, low, high, runs)

    def least_squares(self, factor: Factor, low: int, high: int) -> Weights:
        """Weigh level `high` against `low` by least squares with block effects and all other factors' levels."""
        system, offset = self._system(factor)
        target = np.zeros(len(system.gram))
        target[offset + high], target[offset + low] = 1.0, -1.0
        solution = system.inverse @ target
        if float(np.max(np.abs(system.gram @ solution - target))) > NOT_IDENTIFIED:
            return Weights(method="least_squares", weights=None, reason=self._why_not(factor, low, high))
        weights = self.years * system.fitted(solution)
        weights[np.abs(weights) < 1e-14] = 0.0
        return Weights(method="least_squares", weights=weights, n_pairs=self.n_pairs(factor, low, high))

    def generalised_least_squares(self, factor: Factor, low: int, high: int) -> Weights:
        """Weigh level `high` against `low` by least squares in which every level may be lucky in every block.

        The runs of a block that share a level share what that level happened to do on these days, so they are no
        independent witnesses. Beside the effects of blocks and levels, each level therefore has a random effect in
        each block, of the variance of one run's own error. The other levels then balance within every block, not over
        all of them only, and blocks count rather alike than by their number of runs. Ordinary least squares is as
        unbiased, and less precise: of the campaigns of docs/proposal-quality.md its error is a tenth larger. As the
        variance is assumed, the weights know nothing of returns; a wrong one costs precision and no error rate.

        Henderson, "Best linear unbiased estimation and prediction under a selection model", Biometrics 31(2), 1975.
        """
        plain = self.least_squares(factor, low, high)
        system, offset = self._system(factor)
        if plain.weights is None or not system.may_be_lucky(self.blocks):
            return plain
        weights = self.years * system.lucky(self.blocks, offset + low, offset + high)
        weights[np.abs(weights) < 1e-14] = 0.0
        return Weights(method="least_squares", weights=weights, n_pairs=plain.n_pairs)

    def residuals(self, values: Floats) -> tuple[Floats, int]:
        """Return what least squares leaves of one value per run, and the degrees of freedom that remain."""
        system = self._held
        centred = system.centred(values)
        left = centred - system.fitted(system.inverse @ system.totals(self.years * centred))
        rank = int(np.round(np.trace(system.gram @ system.inverse)))
        return left, len(values) - rank - system.n_blocks

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
            where = "at the live configuration" if method == "local_pairs" else "in any block"
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
    def _held(self) -> "_System":
        return self._with(None)

    def _with(self, factor: Factor | None) -> "_System":
        """Return the system with all levels of one factor, the others as they are held fixed."""
        controls: dict[str, Codes] = {}
        strata = [self.blocks]
        for other, codes in zip(self.factors, self._controls, strict=True):
            if other is factor:
                controls[other.path] = other.codes
            elif int(codes.max(initial=0)) >= MOST_CONTROL_LEVELS:
                strata.append(codes)  # so many levels are held fixed by comparing within each, as blocks are
            else:
                controls[other.path] = codes
        return _System(controls, combine(strata) if len(strata) > 1 else self.blocks, self.years)

    def _system(self, factor: Factor) -> "tuple[_System, int]":
        """Return the design with this factor's levels in full, and where they start among its columns."""
        position = [other.path for other in self.factors].index(factor.path)
        offset = self._held.offsets.get(factor.path)
        if offset is not None and self._controls[position] is self.factors[position].codes:
            return self._held, offset
        if factor.path not in self._full:
            self._full[factor.path] = self._with(self.factors[position])
        return self._full[factor.path], self._full[factor.path].offsets[factor.path]

    @cached_property
    def _full(self) -> dict[str, "_System"]:
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
    if not set(map(type, factor.levels)) <= {int, float}:
        return factor.codes
    values = np.asarray(factor.levels, dtype=np.float64)[factor.codes]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, CONTROL_BINS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.int64)


class _System:
    """Level dummies less their block means, weighted by years: sums over codes, so that no dummy is ever written down.

    Parameters
    ----------
    controls
        By path, codes of each factor, shape (n_runs,).
    blocks, years
        Within which runs are compared, and what each run counts; shape (n_runs,).
    """

    def __init__(self, controls: Mapping[str, Codes], blocks: Codes, years: Floats) -> None:
        self._controls, self._blocks, self._years = tuple(controls.values()), blocks, years
        widths = [int(codes.max(initial=0)) + 1 for codes in self._controls]
        self._widths, self._starts = widths, [sum(widths[:position]) for position in range(len(widths))]
        self.offsets = dict(zip(controls, self._starts, strict=True))
        self._n_blocks = int(blocks.max(initial=0)) + 1
        per_block = np.bincount(blocks, weights=years, minlength=self._n_blocks)
        self._per_block = np.maximum(per_block, 1e-300)
        in_block = [
            self._table(blocks, self._n_blocks, c, w, years) for c, w in zip(self._controls, widths, strict=True)
        ]
        self._in_block = np.concatenate(in_block, axis=1) if in_block else np.zeros((self._n_blocks, 0))
        self.gram = self._joint(years) - self._between()
        self.inverse = _invert(self.gram)
        self._lucky: tuple[Floats, Floats] | None = None

    def _between(self) -> Floats:
        """Return what block means hold of the joint years, some blocks at a time: small products need no threads."""
        width = self._in_block.shape[1]
        total = np.zeros((width, width))
        size = max(1, SMALL_PRODUCT // max(width * width, 1))
        for start in range(0, self._n_blocks, size):
            rows = self._in_block[start : start + size]
            total += rows.T @ (rows / self._per_block[start : start + size, None])
        return total

    @property
    def n_blocks(self) -> int:
        """Number of blocks that hold a run."""
        return int(np.count_nonzero(np.bincount(self._blocks)))

    def centred(self, values: Floats) -> Floats:
        """Return one value per run less its block's mean."""
        sums = np.bincount(self._blocks, weights=self._years * values, minlength=self._n_blocks)
        return np.asarray(values - (sums / self._per_block)[self._blocks])

    def fitted(self, solution: Floats) -> Floats:
        """Return what coefficients of the columns add up to for each run."""
        total = np.zeros(len(self._blocks))
        for codes, offset, width in zip(self._controls, self._starts, self._widths, strict=True):
            total += solution[offset : offset + width][codes]
        return self.centred(total)

    def totals(self, values: Floats) -> Floats:
        """Return the inner product of each column with one value per run."""
        per_block = np.bincount(self._blocks, weights=values, minlength=self._n_blocks)
        left = values - self._years * (per_block / self._per_block)[self._blocks]
        sums = [
            np.bincount(codes, weights=left, minlength=width)
            for codes, width in zip(self._controls, self._widths, strict=True)
        ]
        return np.concatenate([*sums, np.zeros(0)])

    def may_be_lucky(self, groups: Codes) -> bool:
        """Whether the tables of `lucky` are of a reasonable size."""
        return (int(groups.max(initial=0)) + 1) * len(self.gram) ** 2 <= MOST_TABLES

    def lucky(self, groups: Codes, low: int, high: int) -> Floats:
        """Return the weight per year of each run in the contrast of two columns, whose levels have luck in each group.

        With G the gram matrix of a group, and L = (mean years of its runs) / LEVEL_LUCK, the information in a group is
        G (G + L)^-1 L: least squares of the groups' own estimates, each with the error that its runs and its luck have.
        """
        shrunk, inverse = self._luck(groups)
        target = inverse[:, high] - inverse[:, low]
        table = shrunk @ target
        total = np.zeros(len(groups))
        for codes, offset in zip(self._controls, self._starts, strict=True):
            total += table[groups, offset + codes]
        return self.centred(total)

    def _luck(self, groups: Codes) -> tuple[Floats, Floats]:
        """Return (G + L)^-1 L per group, and the inverse of the information of all groups."""
        if self._lucky is None:
            grams = self._by_group(groups)
            n_runs = np.maximum(np.bincount(groups), 1)
            penalty = np.bincount(groups, weights=self._years) / n_runs / LEVEL_LUCK
            held = np.eye(len(self.gram)) * np.maximum(penalty, 1e-300)[:, None, None]
            shrunk = np.asarray(np.linalg.solve(grams + held, held), dtype=np.float64)
            information = (grams @ shrunk).sum(axis=0)
            self._lucky = shrunk, _invert((information + information.T) / 2)
        return self._lucky

    def _by_group(self, groups: Codes) -> Floats:
        """Return the gram matrix of the runs of each group, shape (n_groups, n_levels, n_levels)."""
        n_groups = int(groups.max(initial=0)) + 1
        grams = np.zeros((n_groups, *self.gram.shape))
        columns = list(zip(self._controls, self._starts, self._widths, strict=True))
        for position, (first, row, height) in enumerate(columns):
            for second, column, width in columns[position:]:
                cells = (groups * height + first) * width + second
                tables = np.bincount(cells, weights=self._years, minlength=n_groups * height * width)
                tables = tables.reshape(n_groups, height, width)
                grams[:, row : row + height, column : column + width] = tables
                grams[:, column : column + width, row : row + height] = tables.transpose(0, 2, 1)
        group_of = np.zeros(self._n_blocks, dtype=np.int64)
        group_of[self._blocks] = groups  # a stratum lies within one group
        for group in range(n_groups):
            rows = self._in_block[group_of == group]
            grams[group] -= rows.T @ (rows / self._per_block[group_of == group, None])
        return grams

    def _joint(self, years: Floats) -> Floats:
        """Return the years of each pair of levels, shape (n_levels, n_levels)."""
        joint = np.zeros((sum(self._widths), sum(self._widths)))
        columns = list(zip(self._controls, self._starts, self._widths, strict=True))
        for position, (first, row, height) in enumerate(columns):
            for second, column, width in columns[position:]:
                table = self._table(first, height, second, width, years)
                joint[row : row + height, column : column + width] = table
                joint[column : column + width, row : row + height] = table.T
        return joint

    @staticmethod
    def _table(first: Codes, height: int, second: Codes, width: int, years: Floats) -> Floats:
        cells = np.bincount(first * width + second, weights=years, minlength=height * width)
        return np.asarray(cells.reshape(height, width), dtype=np.float64)


def _invert(gram: Floats) -> Floats:
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    inverse: Floats = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse
