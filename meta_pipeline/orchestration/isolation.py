"""One strategy after the other, so that a bad one stops none of the others.

Belongs here: the loop that every asset has in common, and the check that says who was left behind.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import dagster as dg

from meta_pipeline.errors import Unhealthy

T = TypeVar("T")

CHECK_NAME: Final = "every_strategy_went_through"


Watcher = Callable[[int, int, str], None]
"""Told how many strategies are through, of how many, and which one is next."""

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell somebody how far the loops below are: a person at a terminal, for a run in this process."""
    before = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(before)


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T]):
    """What became of each strategy.

    Parameters
    ----------
    done
        Strategy -> what the work returned.
    failed
        Strategy -> what went wrong, in a sentence.
    """

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def each_strategy(strategies: Sequence[str], work: Callable[[str], T], log: dg.DagsterLogManager) -> Outcome[T]:
    """Do the work for each strategy; what one raises is written down and does not reach the others.

    Raises
    ------
    Unhealthy
        If the database itself fails: then nothing can be said about any strategy, and the run fails.
    """
    outcome: Outcome[T] = Outcome()
    watcher = _WATCHER.get()
    for number, strategy in enumerate(strategies):
        if watcher is not None:
            watcher(number, len(strategies), strategy)
        try:
            outcome.done[strategy] = work(strategy)
        except Unhealthy:
            raise
        except Exception as error:  # isolation is the point, and the traceback is kept
            outcome.failed[strategy] = f"{type(error).__name__}: {error}"
            log.error("%s failed and is left as it was:\n%s", strategy, traceback.format_exc())
    return outcome


def check_spec(asset: str) -> dg.AssetCheckSpec:
    """Return the check that fails when a strategy was left behind."""
    return dg.AssetCheckSpec(CHECK_NAME, asset=asset, description="No strategy failed on the way through this asset.")


def check_result(outcome: Outcome[T]) -> dg.AssetCheckResult:
    """Say who went through and who did not."""
    return dg.AssetCheckResult(
        check_name=CHECK_NAME,
        passed=not outcome.failed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(f"{name} was left behind: {why}" for name, why in sorted(outcome.failed.items())) or None,
        metadata={
            "strategies": len(outcome.done) + len(outcome.failed),
            "failed": dg.MetadataValue.json(dict(sorted(outcome.failed.items()))),
        },
    )
