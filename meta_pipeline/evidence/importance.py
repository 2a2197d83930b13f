"""Which knobs matter: descriptive views that rank and explain, and decide nothing.

Belongs here: the information that knobs carry about performance and about each other, and Wald statistics per knob.
Does not belong here: effects of single levels and their error rates (contrasts, multiplicity).

The information views treat runs as the sample. Runs of one campaign share their market days, so a small p-value here
says that a knob moved performance *in this sample*, luck of its days included; the days are the sample of the Wald
view. Information is in nats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import NEGLIGIBLE, Contrasts
from meta_pipeline.evidence.factors import Codes, Factor, combine
from meta_pipeline.evidence.multiplicity import benjamini_hochberg

Floats = NDArray[np.float64]

DESCRIPTIVE: Final = "Describes the runs of this campaign; it has no error rate over days and decides nothing."
_KEPT: Final = 1e-8  # share of the largest eigenvalue below which a direction of contrasts is a repetition


@dataclass(frozen=True, kw_only=True)
class KnobInformation:
    """What the levels of one knob tell about the rank of a run in its block.

    Parameters
    ----------
    path
        The knob.
    mutual_information
        With the rank bin, corrected for its bias (Miller-Madow); may fall below zero where there is nothing.
    p_value, adjusted_p_value
        Of no information, from permutations within blocks; and Benjamini-Hochberg over the knobs.
    label
        What the figure is not.
    """

    path: str
    mutual_information: float
    p_value: float
    adjusted_p_value: float
    label: str = DESCRIPTIVE


@dataclass(frozen=True, kw_only=True)
class PairInformation:
    """What two knobs tell about each other, and together about performance beyond what each tells alone.

    Parameters
    ----------
    paths
        The two knobs.
    redundancy
        Information they share within blocks, over the smaller of their entropies: 0 in a full grid, 1 where one knob
        fixes the other. A property of the design. NaN where one of them does not vary within any block.
    synergy
        I(a, b; performance) - I(a; performance) - I(b; performance), bias-corrected: above zero where the effect of
        one hangs on the other, below where they tell the same.
    p_value, adjusted_p_value
        Of no synergy, from permutations within blocks; one-sided, Benjamini-Hochberg over the pairs.
    label
        What the figure is not.
    """

    paths: tuple[str, str]
    redundancy: float
    synergy: float
    p_value: float
    adjusted_p_value: float
    label: str = DESCRIPTIVE


@dataclass(frozen=True, kw_only=True)
class InformationViews:
    """Knobs by falling mutual information, and pairs of knobs by falling synergy."""

    knobs: tuple[KnobInformation, ...]
    pairs: tuple[PairInformation, ...]
    n_bins: int
    n_permutations: int


@dataclass(frozen=True, kw_only=True)
class KnobImportance:
    """Whether any of a knob's contrasts differs from zero, judged jointly over days.

    Parameters
    ----------
    path
        The knob.
    wald
        Estimates' quadratic form in the inverse of their joint covariance.
    degrees_of_freedom
        Directions in which the contrasts differ.
    p_value, p_value_bootstrap
        From the chi-squared distribution, and from the joint bootstrap of the contrasts.
    strength
        (wald - degrees of freedom) / sqrt(2 degrees of freedom): comparable between knobs with other numbers of levels.
    label
        What the figure is not.
    """

    path: str
    wald: float
    degrees_of_freedom: int
    p_value: float
    p_value_bootstrap: float
    strength: float
    label: str = "Ranks knobs; it is not corrected for their number and decides nothing."


def information_views(
    factors: Sequence[Factor],
    blocks: Codes,
    performance: ArrayLike,
    *,
    generator: np.random.Generator,
    n_bins: int = 4,
    n_permutations: int = 199,
) -> InformationViews:
    """Measure what knobs tell about performance, alone and in pairs.

    Performance is ranked within each block and cut into bins of equal share, so that good markets and windows tell
    nothing, and outliers count no more than their rank. Bias is corrected as in Miller, "Note on the bias of
    information estimates", 1955.

    Parameters
    ----------
    factors
        The knobs, codes over all runs.
    blocks
        Shape (n_runs,): block of each run. Permutations stay within them.
    performance
        Shape (n_runs,), larger is better, one metric; NaN leaves a run out.
    generator
        The source of randomness. All knobs see the same permutations.
    n_bins, n_permutations
        At least 2, and at least 1.

    Raises
    ------
    InputError
        If lengths differ, a count is too small, or no run has performance.
    """
    values = np.asarray(performance, dtype=np.float64)
    _check(factors, blocks, values, n_bins, n_permutations)
    kept = np.flatnonzero(np.isfinite(values))
    codes = [np.unique(factor.codes[kept], return_inverse=True)[1] for factor in factors]
    within = np.unique(np.asarray(blocks)[kept], return_inverse=True)[1]
    bins = _rank_bins(values[kept], within, n_bins)
    # Sorted by all that counts, so that the answer does not hang on the order of the runs.
    order = np.lexsort([*codes, bins, within])
    codes, bins, within = [column[order] for column in codes], bins[order], within[order]
    pairs = list(combinations(range(len(factors)), 2))
    # The joint code of a pair is a variable of its own; all are scored on the same permutations.
    variables = [*codes, *(combine([codes[a], codes[b]]) for a, b in pairs)]
    rows = np.empty((1 + n_permutations, len(variables)))
    rows[0] = _informations(variables, bins, n_bins)
    for draw in range(1, 1 + n_permutations):
        shuffled = bins[np.lexsort((generator.random(len(kept)), within))]  # blocks stay where they are
        rows[draw] = _informations(variables, shuffled, n_bins)
    alone, joint = rows[:, : len(factors)], rows[:, len(factors) :]
    synergies = joint - alone[:, [a for a, _ in pairs]] - alone[:, [b for _, b in pairs]]
    knob_p, pair_p = _permutation_p(alone), _permutation_p(synergies)
    knobs = [
        KnobInformation(path=factor.path, mutual_information=float(found), p_value=float(p), adjusted_p_value=float(q))
        for factor, found, p, q in zip(factors, alone[0], knob_p, benjamini_hochberg(knob_p), strict=True)
    ]
    described = [
        PairInformation(
            paths=(factors[a].path, factors[b].path),
            redundancy=_redundancy(codes[a], codes[b], within),
            synergy=float(found),
            p_value=float(p),
            adjusted_p_value=float(q),
        )
        for (a, b), found, p, q in zip(pairs, synergies[0], pair_p, benjamini_hochberg(pair_p), strict=True)
    ]
    return InformationViews(
        knobs=tuple(sorted(knobs, key=lambda knob: (-knob.mutual_information, knob.path))),
        pairs=tuple(sorted(described, key=lambda pair: (-pair.synergy, pair.paths))),
        n_bins=n_bins,
        n_permutations=n_permutations,
    )


def wald_importance(tested: Contrasts, paths: Sequence[str]) -> tuple[KnobImportance, ...]:
    """Rank knobs by a Wald test that all their contrasts are zero.

    The joint covariance is that of the contrasts' bootstrap on common days. Contrasts that are missing, or whose
    error is rounding (dead and leverage-only levels), are left out; a knob without any other is not in the answer.

    Parameters
    ----------
    tested
        The contrasts, usually of every level of every knob against the live one.
    paths
        The knob of each contrast.

    Returns
    -------
    tuple of KnobImportance
        The strongest first.

    Raises
    ------
    InputError
        If there is not one path per contrast, or too few bootstrap draws for a covariance.
    """
    if len(paths) != len(tested.estimates):
        raise InputError(f"paths has {len(paths)} entries for {len(tested.estimates)} contrasts; give one for each")
    if len(tested.draws) < 2:
        raise InputError(f"the contrasts have {len(tested.draws)} bootstrap draws; a covariance needs at least 2")
    usable = np.isfinite(tested.statistics) & (tested.standard_errors > NEGLIGIBLE)
    owner = np.array(paths, dtype=object)
    found = []
    for path in sorted(set(paths)):
        columns = np.flatnonzero(usable & (owner == path))
        if len(columns):
            found.append(_wald(path, tested.statistics[columns], tested.draws[:, columns]))
    return tuple(sorted(found, key=lambda knob: (-knob.strength, knob.path)))


def _wald(path: str, statistics: Floats, draws: Floats) -> KnobImportance:
    # In units of the standard errors the covariance is the correlation of the draws.
    values, vectors = np.linalg.eigh(np.atleast_2d(np.corrcoef(draws, rowvar=False)))
    kept = values > _KEPT * values.max()
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    wald = float(np.sum((statistics @ whiten) ** 2))
    drawn = np.sum((draws @ whiten) ** 2, axis=1)
    freedom = int(kept.sum())
    return KnobImportance(
        path=path,
        wald=wald,
        degrees_of_freedom=freedom,
        p_value=float(chdtrc(freedom, wald)),
        p_value_bootstrap=float((1 + np.count_nonzero(drawn >= wald)) / (1 + len(drawn))),
        strength=(wald - freedom) / float(np.sqrt(2.0 * freedom)),
    )


def _check(factors: Sequence[Factor], blocks: Codes, values: Floats, n_bins: int, n_permutations: int) -> None:
    if values.ndim != 1 or len(blocks) != len(values):
        raise InputError(f"performance has shape {values.shape} for {len(blocks)} blocks; give one number per run")
    for factor in factors:
        if len(factor.codes) != len(values):
            raise InputError(f"{factor.path} has {len(factor.codes)} codes for {len(values)} runs; give one per run")
    if n_bins < 2 or n_permutations < 1:
        raise InputError(f"n_bins is {n_bins!r} and n_permutations {n_permutations!r}; give at least 2 and 1")
    if not np.isfinite(values).any():
        raise InputError("no run has performance; give at least one finite number")


def _rank_bins(values: Floats, blocks: Codes, n_bins: int) -> Codes:
    """Return the bin of each run's rank in its block; equal values share the middle of their ranks."""
    by_value = np.unique(values, return_inverse=True)[1]
    cells, cell, counts = np.unique(
        blocks * (int(by_value.max()) + 1) + by_value, return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts)  # cells come by block, then by value
    sizes = np.bincount(blocks)
    start = np.cumsum(sizes) - sizes
    block_of_cell = cells // (int(by_value.max()) + 1)
    middle = last - counts / 2.0 - start[block_of_cell]
    share = (middle / sizes[block_of_cell])[cell]
    binned: Codes = np.minimum((share * n_bins).astype(np.int64), n_bins - 1)
    return binned


def _informations(variables: Sequence[Codes], bins: Codes, n_bins: int) -> Floats:
    """Return the Miller-Madow mutual information of each variable with the bins, shape (n_variables,)."""
    found = np.empty(len(variables))
    for position, codes in enumerate(variables):
        n_levels = int(codes.max(initial=0)) + 1
        table = np.bincount(codes * n_bins + bins, minlength=n_levels * n_bins).reshape(n_levels, n_bins)
        found[position] = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0)) - _entropy(table.ravel())
    return found


def _entropy(counts: Codes, *, corrected: bool = True) -> float:
    present = counts[counts > 0].astype(np.float64)
    total = present.sum()
    plain = float(np.log(total) - np.sum(present * np.log(present)) / total)
    return plain + (len(present) - 1) / (2.0 * float(total)) if corrected else plain


def _redundancy(a: Codes, b: Codes, blocks: Codes) -> float:
    """Return the information two knobs share given the block, over the smaller of their entropies given the block."""

    def entropy(*columns: Codes) -> float:
        return _entropy(np.bincount(combine(columns)), corrected=False)  # the design is known, not a sample

    base = entropy(blocks)
    of_a, of_b = entropy(a, blocks) - base, entropy(b, blocks) - base
    smaller = min(of_a, of_b)
    if smaller <= 1e-12:
        return float("nan")
    shared = of_a + of_b - (entropy(a, b, blocks) - base)
    return float(np.clip(shared / smaller, 0.0, 1.0))


def _permutation_p(rows: Floats) -> Floats:
    """Return the share of permutations at least as large as the first row, itself included."""
    p_values: Floats = np.mean(rows >= rows[0] - 1e-12, axis=0)  # equal tables may differ in the last digit
    return p_values
