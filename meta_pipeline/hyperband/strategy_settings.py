"""What is fixed in a search of the four-model strategy, beside the configuration.

Belongs here: the settings, read from JSON and checked. Does not belong here: what they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bar_files import read_bars
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.lab_bars import lab_bars
from meta_pipeline.hyperband.vote_sums import ladder


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where bars come from: a file, or the lab's markets. There is no third: parameters are found on real prices.

    Parameters
    ----------
    path
        Of a parquet or CSV; None: the lab.
    symbols
        Which symbols of the file, or markets of the lab; None: all.
    periods_per_year, max_gap_days
        Declared for the file's bars; None: inferred.
    origin
        Who recorded the file's prices, in words: "Binance klines, downloaded 2026-11-20". None: nobody has said.
    until
        Day (as 2026-11-20) after which bars are left out; None: all are used.
    """

    path: str | None = None
    symbols: tuple[str, ...] | None = None
    periods_per_year: float | None = None
    max_gap_days: float | None = None
    origin: str | None = None
    until: str | None = None

    def bars(self) -> tuple[Bars, ...]:
        """Read and check the bars."""
        if self.path is None:
            return self._known_then(lab_bars(self.symbols))
        return self._known_then(
            read_bars(
                Path(self.path),
                symbols=self.symbols,
                periods_per_year=self.periods_per_year,
                max_gap_days=self.max_gap_days,
            )
        )

    def _known_then(self, bars: tuple[Bars, ...]) -> tuple[Bars, ...]:
        if self.until is None:
            return bars
        try:
            end = np.datetime64(date.fromisoformat(self.until) + timedelta(days=1), "s")
        except ValueError as error:
            raise InputError(f"until is {self.until!r}; it is a day, as 2026-11-20") from error
        kept = [int((series.times < end).sum()) for series in bars]
        return tuple(
            series if number == len(series) else series.cut(0, number)
            for series, number in zip(bars, kept, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class StrategySettings:
    """Settings of the four-model strategy.

    Parameters
    ----------
    data
        Where bars come from.
    max_resource, eta
        Hyperband's R and eta: they say at how many units pieces of forests end.
    rungs
        Units at which pieces end, increasing, the last one `max_resource`; None: R over the powers of eta.
    engine
        "auto", "intelex", "extra_trees" or "random_forest".
    seed
        Root of all seeds.
    horizon
        Bars that labels look ahead, and after which a position is closed.
    barrier
        Distance of the entry label's barriers, in standard deviations over the horizon.
    stop_loss, take_profit
        Distances from the fill, in standard deviations over the horizon; None: none.
    target_volatility
        Annual volatility that a position of full size is scaled to.
    leverage_cap
        Most that the scale may be.
    allow_short
        Whether short positions are opened.
    fee, slippage
        Fractions of the traded value, and of the price, per fill.
    n_folds, train_bars, anchored, embargo, holdout_share
        See `walk_forward.split`; `train_bars` None: two fifths of the bars before the holdout.
    sample_share
        See `forests.TreeShape`.
    objective
        Name of a preset of `objective.OBJECTIVES`.
    """

    data: Data = field(default_factory=Data)
    max_resource: int = 81
    eta: int = 3
    rungs: tuple[int, ...] | None = None
    engine: str = "auto"
    seed: int = 0
    horizon: int = 12
    barrier: float = 1.0
    stop_loss: float | None = 1.0
    take_profit: float | None = 1.5
    target_volatility: float = 0.20
    leverage_cap: float = 1.0
    allow_short: bool = True
    fee: float = 0.0005
    slippage: float = 0.0002
    n_folds: int = 5
    train_bars: int | None = None
    anchored: bool = False
    embargo: int = 12
    holdout_share: float = 0.2
    sample_share: float = 0.4
    objective: str = "documented"

    def __post_init__(self) -> None:
        """Check what no other module checks.

        Raises
        ------
        InputError
            If a number is out of range.
        """
        for name in ("barrier", "stop_loss", "take_profit", "target_volatility", "leverage_cap"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} is {value!r}; it must be a positive number")
        for name in ("fee", "slippage"):
            if not 0 <= getattr(self, name) < 0.5:
                raise InputError(f"{name} is {getattr(self, name)!r}; it is a fraction, for instance 0.0005")
        for name, top in (("holdout_share", 0.5), ("sample_share", 1.0)):
            if not 0 < getattr(self, name) <= top:
                raise InputError(f"{name} is {getattr(self, name)!r}; it lies above 0 and is at most {top}")
        steps = self.pieces_end
        if list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] != self.max_resource:
            raise InputError(
                f"rungs are {list(steps)}; they increase from 1 or more to max_resource {self.max_resource}"
            )

    @property
    def pieces_end(self) -> tuple[int, ...]:
        """Units at which pieces of forests end."""
        return self.rungs if self.rungs is not None else ladder(self.max_resource, self.eta)

    @property
    def round_trip_cost(self) -> float:
        """Cost of opening and closing a position, as a fraction of its value."""
        return 2.0 * (self.fee + self.slippage)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "StrategySettings":
        """Read settings; what is not given has its default.

        Raises
        ------
        InputError
            If a name is unknown, or a value of the wrong type or out of range.
        """
        values = _checked(cls, given, "settings")
        if "data" in values:
            data = _checked(Data, values["data"], "data")
            values["data"] = Data(**_with_tuples(data, "symbols"))
        return cls(**_with_tuples(values, "rungs"))


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "str": (str,),
    "tuple[str, ...]": (list, tuple),
    "tuple[int, ...]": (list, tuple),
    "Data": (dict,),
}


def _checked(kind: type[Any], given: object, name: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{name} is {given!r}; it is an object of names and values")
    declared = {item.name: str(getattr(item.type, "__name__", item.type)) for item in fields(kind)}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise InputError(f"{name} has no {', '.join(map(str, unknown))}; it has {', '.join(declared)}")
    for key, value in given.items():
        allowed = declared[key].removesuffix(" | None")
        optional = value is None and declared[key].endswith("| None")
        right = isinstance(value, _TYPES[allowed]) and isinstance(value, bool) == (allowed == "bool")
        if not (optional or right):
            raise InputError(f"{name} has {key} = {value!r}; it is of type {declared[key]}")
    return {
        key: float(value) if type(value) is int and "float" in declared[key] else value for key, value in given.items()
    }


def _with_tuples(values: dict[str, Any], name: str) -> dict[str, Any]:
    return values | {name: tuple(values[name])} if values.get(name) is not None else values
