"""Many JSON objects with mostly the same keys, kept by key: configurations, and reported metrics.

Belongs here: the container. Does not belong here: what a key means to the design (factors).

A hundred thousand dictionaries take hundreds of megabytes; the same by key take one code
per object and key, and each distinct value once. An object is put together again when it is asked for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json

RecordCodes = NDArray[np.int32]

SCALARS: Final = frozenset({bool, int, float, str, type(None), type(ABSENT)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """The values of one key.

    Parameters
    ----------
    codes
        Shape (n,): index into `levels` per object.
    levels
        Distinct values in the order in which they first occur, `ABSENT` among them where an object lacks the key.
        Typed: `True`, `1` and `1.0` are three.
    """

    codes: RecordCodes
    levels: tuple[Level, ...]

    def take(self, chosen: NDArray[np.intp]) -> "Column":
        """Return the column of a selection of objects; values that none has any more are dropped."""
        return Column(codes=self.codes[chosen], levels=self.levels).compact()

    def compact(self) -> "Column":
        """Return the column without values that no object has."""
        present = np.zeros(len(self.levels), dtype=np.bool_)
        present[self.codes] = True
        if present.all():
            return self
        place = np.cumsum(present, dtype=np.int32) - 1
        return Column(codes=place[self.codes].astype(np.int32), levels=tuple(compress(self.levels, present)))

    def numbers(self) -> NDArray[np.float64]:
        """Return the values as floats, shape (n,); NaN where there is no number (a truth value is none)."""
        known = [float(level) if type(level) in {int, float} else np.nan for level in self.levels]  # type: ignore[arg-type]
        return np.asarray(known, dtype=np.float64)[self.codes]

    def mapped(self, change: Callable[[Level], Level]) -> "Column":
        """Return the column with every value replaced by a function of it; equal results are not merged."""
        return Column(codes=self.codes, levels=tuple(change(level) for level in self.levels))


class Records(Sequence[Mapping[str, JsonValue]]):
    """A sequence of JSON objects.

    Parameters
    ----------
    n
        How many.
    columns
        By key.
    """

    def __init__(self, n: int, columns: Mapping[str, Column]) -> None:
        self._n = n
        self.columns: Final = dict(columns)

    @classmethod
    def of(cls, objects: Sequence[Mapping[str, JsonValue]]) -> "Records":
        """Return the objects as records; records as they are."""
        if isinstance(objects, Records):
            return objects
        builder = RecordsBuilder()
        builder.extend(objects)
        return builder.finish()

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Mapping[str, JsonValue]: ...
    @overload
    def __getitem__(self, index: slice) -> "Records": ...
    def __getitem__(self, index: int | slice) -> "Mapping[str, JsonValue] | Records":
        if isinstance(index, slice):
            return self.take(np.arange(self._n)[index])
        if not -self._n <= index < self._n:
            raise IndexError(f"there are {self._n} objects, and none has the index {index}")
        found: dict[str, JsonValue] = {}
        for key, column in self.columns.items():
            level = column.levels[column.codes[index]]
            if level is not ABSENT:
                found[key] = level
        return found

    def __iter__(self) -> Iterator[Mapping[str, JsonValue]]:
        return (self[index] for index in range(self._n))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != self._n:
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to any sequence of equal objects

    def take(self, chosen: NDArray[np.intp]) -> "Records":
        """Return a selection of the objects, in its order."""
        return Records(len(chosen), {key: column.take(chosen) for key, column in self.columns.items()})

    def texts(self) -> list[str]:
        """Return each object as canonical JSON. Each distinct value is written once."""
        parts: list[list[str]] = []
        for key in sorted(self.columns):
            column, name = self.columns[key], canonical_json(key)
            written = ["" if v is ABSENT else f"{name}:{canonical_json(v)}" for v in column.levels]
            parts.append(list(map(written.__getitem__, column.codes.tolist())))
        if not parts:
            return ["{}"] * self._n
        return [f"{{{','.join(filter(None, members))}}}" for members in zip(*parts, strict=True)]

    def numbers(self, key: str) -> NDArray[np.float64]:
        """Return the numbers of one key, shape (n,); NaN where an object has none."""
        column = self.columns.get(key)
        return np.full(self._n, np.nan) if column is None else column.numbers()


class RecordsBuilder:
    """Records while objects come in, some at a time."""

    def __init__(self) -> None:
        self._n = 0
        self._keys: dict[str, _Encoder] = {}

    def extend(self, objects: Sequence[Mapping[str, JsonValue]]) -> None:
        """Add objects. Values that are not scalars are told apart by their canonical JSON."""
        shapes = dict.fromkeys(map(tuple, objects))
        if len(shapes) == 1:
            (keys,) = shapes
            flat: list[Level] = list(chain.from_iterable(one.values() for one in objects))
            by_key = {key: flat[place :: len(keys)] for place, key in enumerate(keys)}
        else:
            union = dict.fromkeys(key for shape in shapes for key in shape)
            by_key = {key: [one.get(key, ABSENT) for one in objects] for key in union}
        for key, values in by_key.items():
            self._encoder(key).extend(values)
        self._n += len(objects)
        for encoder in self._keys.values():
            encoder.pad(self._n)

    def finish(self) -> Records:
        """Return what has come in."""
        return Records(self._n, {key: encoder.column() for key, encoder in self._keys.items()})

    def _encoder(self, key: str) -> "_Encoder":
        if key not in self._keys:
            self._keys[key] = _Encoder()
            self._keys[key].pad(self._n)
        return self._keys[key]


class _Encoder:
    """One key: the distinct values so far, and codes piece by piece."""

    def __init__(self) -> None:
        self._index: dict[type, dict[object, int]] = {}  # by type first: True, 1 and 1.0 are equal to Python
        self._levels: list[Level] = []
        self._pieces: list[RecordCodes] = []
        self._n = 0

    def extend(self, values: Sequence[Level]) -> None:
        kinds = set(map(type, values))
        if len(kinds) == 1 and kinds <= SCALARS:
            (kind,) = kinds
            codes = self._scalars(kind, values)
        else:
            codes = [self._one(value) for value in values]
        self._pieces.append(np.array(codes, dtype=np.int32))
        self._n += len(values)

    def _scalars(self, kind: type, values: Sequence[Level]) -> list[int]:
        index, levels = self._index.setdefault(kind, {}), self._levels
        codes = list(map(index.get, values))
        if None not in codes:
            return codes  # type: ignore[return-value]  # no None is left
        for value in dict.fromkeys(values):
            if value not in index:
                index[value] = len(levels)
                levels.append(value)
        if kind is float and 0.0 in index:
            levels[index[0.0]] = 0.0  # negative zero is zero
        return [index[value] for value in values]

    def _one(self, value: Level) -> int:
        if type(value) in SCALARS:
            return self._scalars(type(value), (value,))[0]
        index, key = self._index.setdefault(dict, {}), canonical_json(value)  # type: ignore[arg-type]
        if key not in index:
            index[key] = len(self._levels)
            self._levels.append(value)
        return index[key]

    def pad(self, n: int) -> None:
        """Say that objects up to `n` lack the key."""
        if n > self._n:
            code = self._one(ABSENT)
            self._pieces.append(np.full(n - self._n, code, dtype=np.int32))
            self._n = n

    def column(self) -> Column:
        codes = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int32)
        return Column(codes=codes, levels=tuple(self._levels))
