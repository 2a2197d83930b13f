"""Which runs are distinct, in an order that nothing but their content decides.

Belongs here: digests of runs, duplicates, the canonical order of runs and levels, dead knobs. Does not belong here:
whether a run may be used (the quality gate), or what differs between runs (contrasts).

The canonical order is what makes every later sum the same to the last bit, however the rows came in, how
often each was stored, and whatever the levels are called.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import level_key
from meta_pipeline.evidence.factors import Codes, Factor, Role, assign_roles, combine, encode, read_factors
from meta_pipeline.evidence.panel import RunPanel


@dataclass(frozen=True, kw_only=True, eq=False)
class DistinctRuns:
    """Distinct runs of a panel, in canonical order.

    Parameters
    ----------
    columns
        Shape (n,): column of each distinct run in the panel.
    blocks, block_labels
        Block of each run as a code, and the (block, periods per year) behind each code: runs of different periods
        per year are never compared.
    series
        Shape (n,): equal codes where two runs of a block have byte-identical returns.
    factors
        Keys of the configurations as factors over the distinct runs, levels in canonical order.
    copies
        Shape (n,): how often each run was stored.
    digests
        Content of each run: block, configuration and series.
    """

    columns: NDArray[np.intp]
    blocks: Codes
    block_labels: tuple[tuple[str, float], ...]
    series: Codes
    factors: tuple[Factor, ...]
    copies: Codes
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n_distinct_series(self) -> int:
        """Number of byte-identical return series counted once, per block."""
        return len(np.unique(combine([self.blocks, self.series])))


def distinct_runs(
    panel: RunPanel, columns: NDArray[np.intp], declared: Sequence[str], *, salts: Sequence[bytes] | None = None
) -> DistinctRuns:
    """Reduce a panel to its distinct runs.

    Two runs are the same if block, configuration and return series are.

    Parameters
    ----------
    panel
        The runs.
    columns
        The columns to use.
    declared
        Paths of the declared knobs.
    salts
        For runs without a series: what else tells them apart (a reported metric), one per column.
    """
    series = series_digests(panel, columns)
    if salts is not None:
        series = [hashlib.sha256(key + salt).digest() for key, salt in zip(series, salts, strict=True)]
    block_keys = [(panel.blocks[c], float(panel.periods_per_year[c])) for c in columns]
    blocks, block_labels = encode(block_keys)
    factors = read_factors([panel.configs[c] for c in columns], declared)
    digests = _content_digests(block_keys, series, factors)
    first: dict[bytes, int] = {}
    copies: dict[bytes, int] = {}
    for run, key in enumerate(digests):
        first.setdefault(key, run)
        copies[key] = copies.get(key, 0) + 1
    kept = np.fromiter(first.values(), dtype=np.intp, count=len(first))
    series_codes, _ = encode([series[run] for run in kept])
    factors = tuple(_canonical_levels(f.take(kept), series_codes, blocks[kept]) for f in factors)
    order = np.lexsort((*(f.codes for f in reversed(factors)), blocks[kept], series_codes))
    runs = kept[order]
    ordered = tuple(factor.take(order) for factor in factors)
    return DistinctRuns(
        columns=columns[runs],
        blocks=blocks[runs],
        block_labels=block_labels,
        series=series_codes[order],
        factors=assign_roles(ordered, blocks[runs]) if len(runs) else ordered,
        copies=np.asarray([copies[digests[run]] for run in runs], dtype=np.int64),
        digests=tuple(digests[run] for run in runs),
    )


def series_digests(panel: RunPanel, columns: NDArray[np.intp]) -> list[bytes]:
    """Return a digest of each run's observed days and exact returns."""
    by_run = panel.returns.T
    dates = panel.dates.astype("datetime64[s]").astype(np.int64)
    known: dict[bytes, bytes] = {}
    result = []
    for column in columns:
        row = np.ascontiguousarray(by_run[column])
        missing = np.isnan(row)
        pattern = np.packbits(missing).tobytes()
        if pattern not in known:
            known[pattern] = hashlib.sha256(dates[~missing].tobytes()).digest()
        observed = row[~missing] if missing.any() else row
        result.append(hashlib.sha256(known[pattern] + observed.tobytes()).digest())
    return result


def _content_digests(
    blocks: Sequence[tuple[str, float]], series: Sequence[bytes], factors: Sequence[Factor]
) -> list[bytes]:
    pieces = [[f"{f.path}\x00{level_key(level)}\x00".encode() for level in f.levels] for f in factors]
    codes = [factor.codes.tolist() for factor in factors]
    digests = []
    for run, (block, key) in enumerate(zip(blocks, series, strict=True)):
        hasher = hashlib.sha256(f"{block[0]}\x00{block[1]!r}\x00".encode() + key)
        for piece, code in zip(pieces, codes, strict=True):
            hasher.update(piece[code[run]])
        digests.append(hasher.digest())
    return digests


def _canonical_levels(factor: Factor, series: Codes, blocks: Codes) -> Factor:
    """Order levels by the returns of their runs, so that their names decide nothing (but between twins)."""

    def signature(code: int) -> tuple[bytes, str]:
        runs = factor.codes == code
        ordered = np.sort(series[runs] * (int(blocks.max(initial=0)) + 1) + blocks[runs])
        return hashlib.sha256(ordered.tobytes()).digest(), level_key(factor.levels[code])

    if len(factor.levels) > len(series) // 2 + 1 or factor.role is not Role.KNOB:
        return factor
    return factor.reordered(sorted(range(len(factor.levels)), key=signature))


def dead_knobs(runs: DistinctRuns) -> tuple[str, ...]:
    """Return the declared knobs whose matched pairs all have identical returns, in order of their paths.

    A pair is matched if block and all other declared knobs and nuisances are equal.
    """
    active = [f for f in runs.factors if f.role in {Role.KNOB, Role.NUISANCE} and len(f.levels) > 1]
    dead = []
    for factor in active:
        if factor.role is Role.KNOB:
            others = [other.codes for other in active if other is not factor]
            cells = combine([runs.blocks, *others])
            n_cells = int(cells.max(initial=0)) + 1
            several = _distinct_per_cell(cells, factor.codes, n_cells) > 1
            same = _distinct_per_cell(cells, runs.series, n_cells) == 1
            if several.any() and bool(same[several].all()):
                dead.append(factor.path)
    return tuple(dead)


def _distinct_per_cell(cells: Codes, codes: Codes, n_cells: int) -> Codes:
    width = int(codes.max(initial=0)) + 1
    return np.bincount(np.unique(cells * width + codes) // width, minlength=n_cells)


def evidence_digest(parts: Sequence[bytes]) -> str:
    """Return one digest of a set of contents: order and repetition do not matter."""
    hasher = hashlib.sha256()
    for part in sorted(set(parts)):
        hasher.update(part)
    return hasher.hexdigest()
