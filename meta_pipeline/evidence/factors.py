"""Configurations as factors: which runs have which level of which key.

Belongs here: reading nested configurations by path, typed levels, and which keys are knobs, nuisances or mere
identifiers. Does not belong here: what a knob may be set to (proposals.knobs).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, JsonValue, Level, level_key

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
        kept, codes = np.unique(self.codes[runs], return_inverse=True)
        return Factor(
            path=self.path,
            levels=tuple(self.levels[code] for code in kept),
            codes=codes.astype(np.int64),
            role=self.role,
        )

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
    paths = sorted(set(declared))
    factors = [_factor(path, [level_at(config, path) for config in configs], Role.KNOB) for path in paths]
    leaves: dict[str, dict[int, Level]] = {}
    for run, config in enumerate(configs):
        for path, value in _leaves(config, ""):
            leaves.setdefault(path, {})[run] = value
    for path in sorted(leaves):
        if not any(path == knob or path.startswith(f"{knob}.") for knob in paths):
            values = [leaves[path].get(run, ABSENT) for run in range(len(configs))]
            factors.append(_factor(path, values, Role.NUISANCE))
    return tuple(factors)


_SCALARS: Final = (bool, int, float, str)


def _leaves(node: Config, prefix: str) -> Iterator[tuple[str, Level]]:
    for key, value in node.items():
        path = f"{prefix}{key}"
        if type(value) not in _SCALARS and isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _factor(path: str, values: Sequence[Level], role: Role) -> Factor:
    keys: dict[str, int] = {}
    levels: list[Level] = []
    seen: dict[tuple[type, object], int] = {}  # most values are scalars that come again and again
    codes = np.empty(len(values), dtype=np.int64)
    for run, value in enumerate(values):
        # A float zero is left to the canonical text, which knows that -0.0 is 0.0.
        scalar = type(value) in _SCALARS and not (type(value) is float and value == 0.0)
        code = seen.get((type(value), value)) if scalar else None
        if code is None:
            code = keys.setdefault(level_key(value), len(levels))
            if code == len(levels):
                levels.append(value)
            if scalar:
                seen[type(value), value] = code
        codes[run] = code
    factor = Factor(path=path, levels=tuple(levels), codes=codes, role=role)
    return factor.reordered(sorted(range(len(levels)), key=lambda code: level_key(levels[code])))


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
    """Return one code per run that is equal exactly where all columns are equal."""
    combined = np.zeros_like(columns[0])
    for column in columns:
        _, combined = np.unique(combined * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    return combined.astype(np.int64)


def first_seen(codes: Codes) -> Codes:
    """Relabel codes in the order in which they first occur, so that equal partitions become equal arrays."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def _n_distinct(codes: Codes) -> int:
    return len(np.unique(codes))


Key = TypeVar("Key", bound=str | bytes | tuple[str, float])


def encode(keys: Sequence[Key]) -> tuple[Codes, tuple[Key, ...]]:
    """Return codes and the sorted distinct keys, so that `distinct[codes[i]] == keys[i]`."""
    distinct = sorted(set(keys))
    index = {key: code for code, key in enumerate(distinct)}
    return np.fromiter((index[key] for key in keys), dtype=np.int64, count=len(keys)), tuple(distinct)
