"""Configurations as factors: which runs have which level of which key.

Belongs here: reading nested configurations by path, typed levels, and which keys are knobs, nuisances or mere
identifiers. Does not belong here: what a knob may be set to (proposals.knobs).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, JsonValue, Level, level_key
from meta_pipeline.evidence.records import SCALARS, Column, Records

Codes = NDArray[np.int64]
Config = Mapping[str, JsonValue]


class Role(StrEnum):
    """What a key of the configurations is to the design."""

    KNOB = "knob"  # declared: its effect is asked for
    NUISANCE = "nuisance"  # undeclared, varies beside the knobs: held fixed, never proposed
    IDENTIFIER = "identifier"  # undeclared and tells runs of one declared configuration apart from all others
    DETERMINED = "determined"  # undeclared and a function of the block or of the declared knobs


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """One key of the configurations across runs.

    Parameters
    ----------
    path
        Nested keys joined by dots.
    levels
        The distinct levels, `ABSENT` among them where a run lacks the key. Typed: `True`, `1` and `1.0` are three.
    codes
        Shape (n_runs,): index into `levels` per run.
    role
        See `Role`.
    """

    path: str
    levels: tuple[Level, ...]
    codes: Codes
    role: Role

    def code_of(self, level: Level) -> int | None:
        """Return the index of a level, or None if no run has it."""
        key = level_key(level)
        return next((code for code, known in enumerate(self.levels) if level_key(known) == key), None)

    def take(self, runs: NDArray[np.intp]) -> "Factor":
        """Return the factor for a selection of runs; levels that no run has any more are dropped."""
        left = Column(codes=self.codes[runs].astype(np.int32), levels=self.levels).compact()
        return Factor(path=self.path, levels=left.levels, codes=left.codes.astype(np.int64), role=self.role)

    def reordered(self, order: Sequence[int]) -> "Factor":
        """Return the factor with its levels in another order."""
        rank = np.empty(len(order), dtype=np.int64)
        rank[np.asarray(order, dtype=np.int64)] = np.arange(len(order))
        return Factor(
            path=self.path, levels=tuple(self.levels[i] for i in order), codes=rank[self.codes], role=self.role
        )


def level_at(config: Config, path: str) -> Level:
    """Return the value at a dotted path of a nested configuration, or ABSENT."""
    if "." not in path:
        return config.get(path, ABSENT)
    node: JsonValue = config
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ABSENT
        node = node[part]
    return node


def read_factors(configs: Sequence[Config], declared: Sequence[str]) -> tuple[Factor, ...]:
    """Read every declared path, and every undeclared leaf, as a factor.

    Parameters
    ----------
    configs
        One per run.
    declared
        Paths of the declared knobs. A whole object may be one knob; its parts are then no leaves of their own.

    Returns
    -------
    tuple of Factor
        The declared ones by path, with role KNOB, then the undeclared leaves by path, with role NUISANCE until
        `assign_roles` has looked at them.
    """
    records = Records.of(configs)
    nothing = Column(codes=np.zeros(len(records), dtype=np.int32), levels=(ABSENT,))
    paths = sorted(set(declared))
    factors = []
    for path in paths:
        key, _, rest = path.partition(".")
        column = records.columns.get(key, nothing)
        if rest:
            column = column.mapped(lambda level, inner=rest: _inside(level, inner))  # type: ignore[misc]
        factors.append(_factor(path, column, Role.KNOB))
    leaves: dict[str, Column] = {}
    for path, column in chain.from_iterable(_leaves(key, column) for key, column in records.columns.items()):
        # A key with a dot in it may bear the path of a nested one.
        leaves[path] = _either(leaves[path], column) if path in leaves else column
    free = (path for path in sorted(leaves) if not any(path == k or path.startswith(f"{k}.") for k in paths))
    return (*factors, *(_factor(path, leaves[path], Role.NUISANCE) for path in free))


def _inside(level: Level, path: str) -> Level:
    return level_at(level, path) if isinstance(level, Mapping) else ABSENT


def _is_object(level: Level) -> bool:
    return type(level) not in SCALARS and isinstance(level, Mapping) and bool(level)


def _leaves(path: str, column: Column) -> Iterator[tuple[str, Column]]:
    """Yield the leaves below a key: the key itself, and where its values are objects, what is in them."""
    scalar = set(map(type, column.levels)) <= SCALARS
    objects = [] if scalar else [level for level in column.levels if _is_object(level)]
    if not objects:
        yield path, column
        return
    if len(objects) < len(column.levels) and any(not _is_object(v) and v is not ABSENT for v in column.levels):
        yield path, column.mapped(lambda level: ABSENT if _is_object(level) else level)
    for key in dict.fromkeys(key for level in objects for key in level):  # type: ignore[union-attr]
        yield from _leaves(
            f"{path}.{key}",
            column.mapped(lambda level, key=key: level.get(key, ABSENT) if _is_object(level) else ABSENT),  # type: ignore[misc]
        )


def _either(first: Column, second: Column) -> Column:
    """Return the second column where it has a value, else the first."""
    absent = np.array([level is ABSENT for level in second.levels])[second.codes]
    codes = np.where(absent, first.codes, second.codes + len(first.levels)).astype(np.int32)
    return Column(codes=codes, levels=first.levels + second.levels)


def _factor(path: str, column: Column, role: Role) -> Factor:
    """Return a factor with its levels in an order that their content decides; equal ones become one."""
    present = column.compact()
    levels = present.levels
    kinds = set(map(type, levels))
    plain = len(kinds) == 1 and kinds <= {str, int, float} and len(set(levels)) == len(levels)
    if plain:
        order = sorted(range(len(levels)), key=levels.__getitem__)  # type: ignore[arg-type]
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return Factor(path=path, levels=tuple(map(levels.__getitem__, order)), codes=place[present.codes], role=role)
    by_key: dict[tuple[int, float, str], list[int]] = {}
    for code, level in enumerate(levels):
        by_key.setdefault(_order_key(level), []).append(code)
    place = np.empty(len(levels), dtype=np.int64)
    for rank, key in enumerate(sorted(by_key)):
        place[by_key[key]] = rank
    distinct = tuple(levels[by_key[key][0]] for key in sorted(by_key))
    return Factor(path=path, levels=distinct, codes=place[present.codes], role=role)


def _order_key(level: Level) -> tuple[int, float, str]:
    """Return a key that orders levels by kind, then value, and is equal exactly where `level_key` is."""
    if type(level) is float and math.isfinite(level):
        return (0, level, "")
    if type(level) is str:
        return (1, 0.0, level)
    return (2, 0.0, level_key(level))


def assign_roles(factors: Sequence[Factor], blocks: Codes) -> tuple[Factor, ...]:
    """Tell undeclared keys that are held fixed from those that only name runs.

    An undeclared key is DETERMINED if block and declared knobs fix it (a start date, a sleeve id made of knob
    values); an IDENTIFIER if it in turn fixes the declared knobs within a block (a run label): holding it fixed
    would leave nothing to compare. Anything else is a NUISANCE.

    Parameters
    ----------
    factors
        As `read_factors` gives them.
    blocks
        Shape (n_runs,): block of each run.
    """
    declared = combine([blocks, *(factor.codes for factor in factors if factor.role is Role.KNOB)])
    n_declared = _n_distinct(declared)
    result = []
    for factor in factors:
        if factor.role is Role.KNOB:
            result.append(factor)
            continue
        within = combine([blocks, factor.codes])
        both = _n_distinct(combine([declared, factor.codes]))
        if both == n_declared:
            role = Role.DETERMINED
        elif both == _n_distinct(within):
            role = Role.IDENTIFIER
        else:
            role = Role.NUISANCE
        result.append(Factor(path=factor.path, levels=factor.levels, codes=factor.codes, role=role))
    return tuple(result)


def aliases(factors: Sequence[Factor], blocks: Codes) -> tuple[tuple[str, ...], ...]:
    """Return the sets of keys that move together: within every block they split the runs in the same way.

    Only sets that hold a declared knob, and only keys that vary within some block, are returned.
    """
    n_blocks = _n_distinct(blocks)
    partitions: dict[bytes, list[Factor]] = {}
    for factor in factors:
        within = combine([blocks, factor.codes])
        if _n_distinct(within) > n_blocks:
            partitions.setdefault(first_seen(within).tobytes(), []).append(factor)
    groups = (group for group in partitions.values() if len(group) > 1)
    named = (tuple(f.path for f in group) for group in groups if any(f.role is Role.KNOB for f in group))
    return tuple(sorted(named))


def combine(columns: Sequence[Codes]) -> Codes:
    """Return one code per run that is equal exactly where all columns are equal, ordered as their values are."""
    combined, size = np.zeros_like(columns[0]), 1
    for column in columns:
        if size == len(combined) and size > 1:
            break  # all runs are told apart already
        width = int(column.max(initial=0)) + 1
        combined, size = _ranks(combined * width + column, size * width)
    return combined


def _ranks(codes: Codes, size: int) -> tuple[Codes, int]:
    """Return codes without gaps in the same order, and how many there are."""
    if size > 8 * len(codes) + 1024:
        present, ranks = np.unique(codes, return_inverse=True)
        return ranks.astype(np.int64), len(present)
    seen = np.zeros(size, dtype=np.bool_)  # a table is faster than sorting
    seen[codes] = True
    place = np.cumsum(seen, dtype=np.int64)
    return place[codes] - 1, max(int(place[-1]), 1)


def first_seen(codes: Codes) -> Codes:
    """Relabel codes in the order in which they first occur, so that equal partitions become equal arrays."""
    ranks, size = _ranks(codes, int(codes.max(initial=0)) + 1)
    first = np.empty(size, dtype=np.int64)
    first[ranks[::-1]] = np.arange(len(ranks))[::-1]  # the last write is the first occurrence
    order = np.argsort(first, kind="stable")
    place = np.empty(size, dtype=np.int64)
    place[order] = np.arange(size)
    return place[ranks]


def _n_distinct(codes: Codes) -> int:
    return _ranks(codes, int(codes.max(initial=0)) + 1)[1] if len(codes) else 0


Key = TypeVar("Key", bound=str | bytes | tuple[str, float])


def encode(keys: Sequence[Key]) -> tuple[Codes, tuple[Key, ...]]:
    """Return codes and the sorted distinct keys, so that `distinct[codes[i]] == keys[i]`."""
    distinct = sorted(set(keys))
    index = {key: code for code, key in enumerate(distinct)}
    return np.fromiter((index[key] for key in keys), dtype=np.int64, count=len(keys)), tuple(distinct)
