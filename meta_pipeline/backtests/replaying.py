"""Replays: a registered backtest that returns what a configuration would have earned on given days.

Belongs here: what such a function takes and returns, how one is named and found, and what is checked of its answer.
Does not belong here: what is concluded from it (outcomes, the ledger).
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

Days = NDArray[np.datetime64]
Returns = NDArray[np.float64]

_HOW: Final = "write it as 'package.module:function', and see that it can be imported where the pipeline runs"


class Replay(Protocol):
    """A backtest that can be asked for any days: the lab's `meta_pipeline.lab.replay.replay` is one."""

    def __call__(
        self, strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date, /
    ) -> tuple[Days, Returns]:
        """Return what a configuration earned from `start` to `end`, both inclusive.

        Returns
        -------
        dates, returns
            Both of shape (n_days,): datetime64[D], strictly increasing, only days that are over, and the simple net
            return of each as a fraction, after costs. A replay whose data end before `end` returns the days it has.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayed:
    """What a replay returned, checked.

    Parameters
    ----------
    dates
        Shape (n_days,), datetime64[D], strictly increasing, inside the window. May be empty.
    returns
        Shape (n_days,), simple net returns, finite and above -1.
    """

    dates: Days
    returns: Returns


def load_replay(target: str) -> Replay:
    """Import a replay named as "module:function".

    Raises
    ------
    InputError
        If the name is not of that form, the module cannot be imported, or the function is not there.
    """
    module, separator, function = target.partition(":")
    if not separator or not all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
        raise InputError(f"the replay {target!r} names no function; {_HOW}")
    try:
        found: object = importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises while it is imported
        raise InputError(
            f"the replay {target!r} cannot be imported: {type(error).__name__}: {error}; {_HOW}"
        ) from error
    for part in function.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise InputError(f"the replay {target!r}: {module} has no function {function!r}; {_HOW}")
    replay: Replay = found
    return replay


def parse_replays(setting: str) -> tuple[tuple[str, str], ...]:
    """Read the setting `replays`: "pattern=module:function", separated by commas.

    A pattern is a strategy id in which `*` and `?` stand for any characters; the first that matches counts.

    Returns
    -------
    tuple of (pattern, target)

    Raises
    ------
    InputError
        If an entry has no pattern or no target.
    """
    entries = []
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        pattern, separator, target = (part.strip() for part in entry.partition("="))
        if not pattern or not separator or ":" not in target:
            raise InputError(
                f"replays has the entry {entry!r}; write strategy_pattern=package.module:function, separated by commas"
            )
        entries.append((pattern, target))
    return tuple(entries)


def replay_named(strategy_id: str, setting: str) -> str | None:
    """Return the target ("module:function") registered for a strategy, or None if none matches.

    Raises
    ------
    InputError
        As `parse_replays`.
    """
    return next((target for pattern, target in parse_replays(setting) if fnmatchcase(strategy_id, pattern)), None)


def replay_for(strategy_id: str, setting: str) -> Replay | None:
    """Return the replay registered for a strategy, or None if there is none.

    Parameters
    ----------
    setting
        As `Settings.replays`.

    Raises
    ------
    InputError
        As `parse_replays` and `load_replay`.
    """
    target = replay_named(strategy_id, setting)
    return None if target is None else load_replay(target)


def replayed(
    replay: Replay, strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date
) -> Replayed:
    """Call a replay and check its answer.

    Raises
    ------
    InputError
        If the window ends before it starts, or the answer cannot be used: not two arrays of one length, days not
        sorted, repeated or outside the window, a return that is not finite or loses all there is. Names the first.
    """
    what = f"the replay of {strategy_id} in {market} from {start} to {end}"
    if end < start:
        raise InputError(f"{what} ends before it starts; swap the days")
    answer: object = replay(strategy_id, config, market, start, end)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise InputError(f"{what} returned a {type(answer).__name__}; it must return two arrays, dates and returns")
    try:
        dates = np.asarray(answer[0]).astype("datetime64[D]")
        returns = np.asarray(answer[1], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} returned what are no days and numbers: {error}") from error
    objection = _objection(dates, returns, start, end)
    if objection is not None:
        raise InputError(f"{what} {objection}")
    return Replayed(dates=dates, returns=returns)


def _objection(dates: Days, returns: Returns, start: date, end: date) -> str | None:
    if dates.ndim != 1 or dates.shape != returns.shape:
        return f"returned dates of shape {dates.shape} and returns of shape {returns.shape}; give one return per day"
    if np.isnat(dates).any():
        return "returned a day that is no date (NaT); drop it"
    back = np.flatnonzero(np.diff(dates) <= np.timedelta64(0, "D"))
    if len(back):
        return f"returned {dates[back[0] + 1]} after {dates[back[0]]}; sort the days, each once"
    if len(dates) and (dates[0] < np.datetime64(start, "D") or dates[-1] > np.datetime64(end, "D")):
        return f"returned days from {dates[0]} to {dates[-1]}; return none outside the window"
    bad = np.flatnonzero(~(np.isfinite(returns) & (returns > -1.0)))
    if len(bad):
        return f"returned {returns[bad[0]]} for {dates[bad[0]]}; a return is a finite fraction above -1"
    return None
