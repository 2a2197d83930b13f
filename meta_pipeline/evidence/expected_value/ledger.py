"""The outcome ledger in memory: what was seen of each change, and what became of it.

Belongs here: the rows as arrays, in an order that only their content decides; the walk-forward cut. Does not belong
here: what is learned from them (history, learning), or the table (store).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]
Texts = NDArray[np.object_]
Flags = NDArray[np.bool_]

_TEXTS: Final = ("family", "campaign", "knob", "low", "high")
_DAYS: Final = ("evidence_end", "outcome_end")
_NUMBERS: Final = ("years", "contrast", "standard_error", "surface", "claimed", "probability", "main", "incumbent")
_FLAGS: Final = ("pseudo", "dead")
_OPTIONAL: Final = ("incumbent", "surface", "claimed", "probability")
_KEY: Final = (*_TEXTS, *_DAYS, "pseudo")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One change of one knob: what the evidence said, and what later days said.

    Parameters
    ----------
    family, campaign
        What shares a history; and what was decided together: one incumbent, one evidence window.
    knob, low, high
        The change of a knob from level `low` to `high`, as `canonical.level_key` writes levels.
    evidence_end, outcome_end
        Last day of the evidence, and of the outcome, which lies after it.
    years
        Length of the evidence.
    contrast, standard_error
        The effect in the evidence, averaged over the other knobs.
    main, incumbent
        The effect in the outcome: averaged over other knobs, and at the incumbent's own configuration. NaN: not known;
        at least one is.
    surface
        What the response surface said as of the end of the evidence; NaN: there was none.
    claimed, probability
        What was claimed then, and with what probability to be positive; NaN: nothing was.
    pseudo
        Whether it comes from splitting the campaign's own window.
    dead
        Whether the change moved no return at all: such rows are kept, and left out of all that is learned.
    """

    family: str
    campaign: str
    knob: str
    low: str
    high: str
    evidence_end: np.datetime64
    outcome_end: np.datetime64
    years: float
    contrast: float
    standard_error: float
    main: float
    incumbent: float = float("nan")
    surface: float = float("nan")
    claimed: float = float("nan")
    probability: float = float("nan")
    pseudo: bool = False
    dead: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Ledger:
    """Outcomes as arrays, each of shape (n,); fields as in `Outcome`.

    Build it with `Ledger.of` (records) or `Ledger.from_columns` (arrays): both put rows into canonical order and drop
    repetitions. Two rows repeat each other if family, campaign, knob, levels, days and kind are the same; of rows
    that do and differ in their figures the one with the smallest figures is kept, whichever came first.

    Raises
    ------
    InputError
        If columns differ in length, an outcome does not end after its evidence, or knows no effect.
    """

    family: Texts
    campaign: Texts
    knob: Texts
    low: Texts
    high: Texts
    evidence_end: Days
    outcome_end: Days
    years: Floats
    contrast: Floats
    standard_error: Floats
    main: Floats
    incumbent: Floats
    surface: Floats
    claimed: Floats
    probability: Floats
    pseudo: Flags
    dead: Flags

    def __len__(self) -> int:
        return len(self.knob)

    @classmethod
    def of(cls, rows: Iterable[Outcome]) -> "Ledger":
        """Build a ledger from records."""
        held = list(rows)
        return cls.from_columns(**{field.name: [getattr(row, field.name) for row in held] for field in fields(cls)})

    @classmethod
    def from_columns(cls, **columns: Any) -> "Ledger":
        """Build a ledger from one sequence per field; those that `Outcome` has a default for may be left out."""
        n = len(columns["knob"])
        missing: dict[str, Any] = dict.fromkeys(_OPTIONAL, np.full(n, np.nan))
        columns = missing | dict.fromkeys(_FLAGS, np.zeros(n, dtype=bool)) | columns
        arrays: dict[str, NDArray[Any]] = {}
        for names, kind in ((_TEXTS, np.object_), (_DAYS, "datetime64[D]"), (_NUMBERS, np.float64), (_FLAGS, np.bool_)):
            for name in names:
                arrays[name] = np.asarray(columns[name], dtype=kind)
                if arrays[name].shape != (n,):
                    raise InputError(f"{name} has shape {arrays[name].shape}; give one entry for each of {n} outcomes")
        _check(arrays)
        order = _canonical_order(arrays)
        return cls(**{name: array[order] for name, array in arrays.items()})

    def take(self, rows: NDArray[Any]) -> "Ledger":
        """Return some of the rows: a mask or increasing indices."""
        return Ledger(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def ended_by(self, day: np.datetime64) -> "Ledger":
        """Return what a decision on a day may know: outcomes that ended on it or before."""
        return self.take(self.outcome_end <= day)

    def plus(self, other: "Ledger") -> "Ledger":
        """Return the rows of both, each once."""
        names = [field.name for field in fields(self)]
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        return Ledger.from_columns(**both)

    @property
    def scored(self) -> "Ledger":
        """The rows that anything may be learned from: those of dead knobs flatter every score, and are left out."""
        return self.take(~self.dead)

    @property
    def target(self) -> Floats:
        """The effect at the incumbent where it is known, else the one averaged over other knobs."""
        return np.where(np.isfinite(self.incumbent), self.incumbent, self.main)

    @property
    def average(self) -> Floats:
        """The effect averaged over other knobs where it is known, else the one at the incumbent."""
        return np.where(np.isfinite(self.main), self.main, self.incumbent)


def keys_of(*columns: Sequence[str] | Texts) -> list[tuple[str, ...]]:
    """Return one tuple of texts per row."""
    return list(zip(*columns, strict=True))


def _check(arrays: dict[str, NDArray[Any]]) -> None:
    early = np.flatnonzero(~(arrays["outcome_end"] > arrays["evidence_end"]))
    if len(early):
        row = int(early[0])
        raise InputError(
            f"the outcome of {arrays['knob'][row]} in {arrays['campaign'][row]} ends on {arrays['outcome_end'][row]}, "
            f"not after its evidence ({arrays['evidence_end'][row]}); an outcome is measured on later days"
        )
    unknown = np.flatnonzero(~np.isfinite(arrays["main"]) & ~np.isfinite(arrays["incumbent"]))
    if len(unknown):
        row = int(unknown[0])
        raise InputError(
            f"the outcome of {arrays['knob'][row]} in {arrays['campaign'][row]} has neither a main effect nor one at "
            "the incumbent; leave out what is not known"
        )


def _canonical_order(arrays: dict[str, NDArray[Any]]) -> NDArray[np.intp]:
    """Return the rows to keep, in order of their keys."""
    numbers = zip(*(np.nan_to_num(arrays[name], nan=np.inf).tolist() for name in _NUMBERS), strict=True)
    keys = zip(*(arrays[name].tolist() for name in _KEY), strict=True)
    first: dict[tuple[Any, ...], int] = {}
    for row, (key, _) in sorted(enumerate(zip(keys, numbers, strict=True)), key=lambda item: item[1]):
        first.setdefault(key, row)
    return np.fromiter(first.values(), dtype=np.intp, count=len(first))


EMPTY: Final = Ledger.from_columns(
    **dict.fromkeys((*_TEXTS, *_DAYS, "years", "contrast", "standard_error", "main"), ())
)
"""A ledger without rows: the very first campaign."""
