"""Which runs are distinct, in an order that nothing but their content decides.

Belongs here: digests of runs, duplicates, the canonical order of runs and levels. Does not belong here:
whether a run may be used (the quality gate), or what differs between runs (contrasts).

The canonical order is what makes every later sum the same to the last bit, however the rows came in, how
often each was stored, and whatever the levels are called.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, level_key
from meta_pipeline.evidence.factors import Codes, Factor, Role, assign_roles, combine, encode, read_factors
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.records import SCALARS, Records


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
    digest
        Of all that the distinct runs are: blocks, configurations and series.
    """

    columns: NDArray[np.intp]
    blocks: Codes
    block_labels: tuple[tuple[str, float], ...]
    series: Codes
    factors: tuple[Factor, ...]
    copies: Codes
    digest: bytes

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n_distinct_series(self) -> int:
        """Number of byte-identical return series counted once, per block."""
        return len(np.unique(combine([self.blocks, self.series])))


def distinct_runs(
    panel: RunPanel,
    columns: NDArray[np.intp],
    declared: Sequence[str],
    *,
    reported: NDArray[np.float64] | None = None,
) -> DistinctRuns:
    """Reduce a panel to its distinct runs.

    Two runs are the same if block, configuration and return series are.

    Parameters
    ----------
    panel
        The runs.
    columns
        The runs to use.
    declared
        Paths of the declared knobs.
    reported
        For runs without a series: the reported figure that stands for it, shape (len(columns),).
    """
    if reported is None:
        series, contents = encode(series_digests(panel, columns))
    else:
        bits, places = np.unique(np.ascontiguousarray(reported).view(np.int64), return_inverse=True)
        series, contents = places.astype(np.int64), (bits.tobytes(),)
    blocks, block_labels = _blocks(panel, columns)
    factors = read_factors(Records.of(panel.configs).take(columns), declared)
    codes = combine([series, blocks, *(factor.codes for factor in factors)])
    _, first, copies = np.unique(codes, return_index=True, return_counts=True)
    factors = tuple(_canonical_levels(f.take(first), series[first], blocks[first]) for f in factors)
    # Levels, blocks and series have codes that their content decides, and so has this order.
    order = np.argsort(combine([series[first], blocks[first], *(f.codes for f in factors)]), kind="stable")
    runs = first[order]
    factors = tuple(Factor(path=f.path, levels=f.levels, codes=f.codes[order], role=f.role) for f in factors)
    return DistinctRuns(
        columns=columns[runs],
        blocks=blocks[runs],
        block_labels=block_labels,
        series=series[runs],
        factors=assign_roles(factors, blocks[runs]) if len(runs) else factors,
        copies=copies[order],
        digest=_content_digest(contents, block_labels, factors, series[runs], blocks[runs]),
    )


def _blocks(panel: RunPanel, columns: NDArray[np.intp]) -> tuple[Codes, tuple[tuple[str, float], ...]]:
    """Return the block of each run, and its name and periods per year; unknown periods are one value like any other."""
    names, labels = encode([panel.blocks[column] for column in columns.tolist()])
    periods = panel.periods_per_year[columns]
    known, places = np.unique(np.where(np.isnan(periods), -1.0, periods), return_inverse=True)
    blocks = combine([names, places.astype(np.int64), np.zeros(len(columns), dtype=np.int64)])
    _, first = np.unique(blocks, return_index=True)
    found = ((labels[names[run]], float(known[places[run]])) for run in first.tolist())
    return blocks, tuple((label, value if value > 0 else math.nan) for label, value in found)


def series_digests(panel: RunPanel, columns: NDArray[np.intp]) -> list[bytes]:
    """Return a digest of the observed days and exact returns of each run, which must have a series."""
    by_run, position = panel.returns.T, panel.columns
    dates = panel.dates.astype("datetime64[s]").astype(np.int64)
    known: dict[bytes, bytes] = {}
    result = []
    for column in columns:
        row = np.ascontiguousarray(by_run[position[column]])
        missing = np.isnan(row)
        pattern = np.packbits(missing).tobytes()
        if pattern not in known:
            known[pattern] = hashlib.sha256(dates[~missing].tobytes()).digest()
        observed = row[~missing] if missing.any() else row
        result.append(hashlib.sha256(known[pattern] + observed.tobytes()).digest())
    return result


def _content_digest(
    contents: Sequence[bytes],
    block_labels: Sequence[tuple[str, float]],
    factors: Sequence[Factor],
    series: Codes,
    blocks: Codes,
) -> bytes:
    """Hash each distinct value once, and the codes of the runs in canonical order."""
    hasher = hashlib.sha256()
    for content in contents:
        hasher.update(hashlib.sha256(content).digest())
    hasher.update(json.dumps([[block, repr(periods)] for block, periods in block_labels]).encode())
    for factor in factors:
        # JSON tells scalars of other types apart; what is no scalar is the text in a list.
        levels = [
            level if type(level) in SCALARS and level is not ABSENT else [level_key(level)] for level in factor.levels
        ]
        hasher.update(json.dumps([factor.path, levels], allow_nan=False).encode())
    for column in (series, blocks, *(factor.codes for factor in factors)):
        hasher.update(column.astype("<i8").tobytes())
    return hasher.digest()


def _canonical_levels(factor: Factor, series: Codes, blocks: Codes) -> Factor:
    """Order levels by the returns of their runs, so that their names decide nothing (but between twins)."""
    if not 1 < len(factor.levels) <= len(series) // 2 + 1 or factor.role is not Role.KNOB:
        return factor
    held = series * (int(blocks.max(initial=0)) + 1) + blocks
    by_level = np.lexsort((held, factor.codes))
    parts = np.split(held[by_level], np.cumsum(np.bincount(factor.codes, minlength=len(factor.levels)))[:-1])
    signatures = [
        (hashlib.sha256(part.tobytes()).digest(), level_key(level))
        for part, level in zip(parts, factor.levels, strict=True)
    ]
    return factor.reordered(sorted(range(len(signatures)), key=signatures.__getitem__))


def evidence_digest(parts: Sequence[bytes]) -> str:
    """Return one digest of a set of contents: order and repetition do not matter."""
    hasher = hashlib.sha256()
    for part in sorted(set(parts)):
        hasher.update(part)
    return hasher.hexdigest()
