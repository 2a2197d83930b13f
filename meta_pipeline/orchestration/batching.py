"""When a refresh starts: from what is pending to "now" or to a sentence that says why not. Pure.

Belongs here: the decision of the sensor. Does not belong here: asking the database what is pending, or
Dagster what is running (sensors).

The decision is taken per strategy, so that one strategy whose refresh keeps failing can neither hold up the
others nor make the sensor fire for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from meta_pipeline.canonical import digest
from meta_pipeline.counted import counted

MAX_ATTEMPTS: Final = 5
"""A batch that is still pending after this many refreshes will not get better by itself."""


@dataclass(frozen=True, kw_only=True)
class PendingStrategy:
    """What one strategy has that no evidence has absorbed, or evidence from which nothing was proposed yet.

    Parameters
    ----------
    strategy_id
        The strategy.
    n_runs
        Number of pending runs; 0 if only its proposals are behind its evidence (a refresh died in between).
    digest
        Names exactly these runs: another run more, another digest.
    oldest, newest
        When the first and the last of them came in, UTC.
    closed
        Whether no more is coming: a campaign among them is closed, or no run is pending.
    """

    strategy_id: str
    n_runs: int
    digest: str
    oldest: datetime
    newest: datetime
    closed: bool


@dataclass(frozen=True, kw_only=True)
class Debounce:
    """How long to wait for more.

    Parameters
    ----------
    quiet
        An open campaign is taken once nothing came in for this long.
    longest
        No run waits longer than this, however busy its campaign is.
    """

    quiet: timedelta
    longest: timedelta


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often each strategy's pending runs were tried, as the sensor remembers it.

    Parameters
    ----------
    epoch
        Made when the sensor's cursor is new. It is part of every run key, so that resetting the cursor
        really starts over: Dagster remembers a run key for ever.
    tried
        Strategy -> (digest of what was pending, number of refreshes started for it).
    """

    epoch: str
    tried: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def of(self, pending: PendingStrategy) -> int:
        """Return how many refreshes were started for exactly these runs."""
        known, count = self.tried.get(pending.strategy_id, ("", 0))
        return count if known == pending.digest else 0

    def to_json(self) -> dict[str, Any]:
        """Return the memory as a JSON object."""
        return {"epoch": self.epoch, "tried": {name: list(entry) for name, entry in self.tried.items()}}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Attempts":
        """Read the memory back."""
        return cls(epoch=body["epoch"], tried={name: (entry[0], entry[1]) for name, entry in body["tried"].items()})


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Refresh now, or not and why.

    Parameters
    ----------
    why
        One sentence for the person who looks at the sensor.
    strategies
        Whose runs are due; empty: do not refresh.
    run_key
        Digest of what is due, number of the attempt, epoch; None if nothing is due.
    attempts
        The memory after this decision.
    given_up
        Strategies whose runs stay pending after `MAX_ATTEMPTS` refreshes.
    """

    why: str
    attempts: Attempts
    strategies: tuple[str, ...] = ()
    run_key: str | None = None
    given_up: tuple[str, ...] = ()


def decide(
    pending: Sequence[PendingStrategy],
    debounce: Debounce,
    *,
    now: datetime,
    attempts: Attempts,
    in_flight: str | None = None,
) -> Decision:
    """Decide whether a refresh starts now.

    Parameters
    ----------
    pending
        What is pending, per strategy; order has no influence.
    debounce
        How long to wait for more.
    now
        The time, UTC.
    attempts
        What earlier ticks remember.
    in_flight
        Words for the refresh that is under way, None if none is.
    """
    # Strategies with nothing pending are forgotten: their next runs are a new story.
    attempts = replace(
        attempts, tried={p.strategy_id: attempts.tried[p.strategy_id] for p in pending if attempts.of(p)}
    )
    given_up = tuple(sorted(p.strategy_id for p in pending if attempts.of(p) >= MAX_ATTEMPTS))
    alive = sorted((p for p in pending if p.strategy_id not in given_up), key=lambda p: p.strategy_id)
    due = [p for p in alive if _due(p, debounce, now) is not None]
    if in_flight is not None:
        why = f"{_count_waiting(pending)} for {in_flight}" if pending else f"nothing is pending; {in_flight}"
        return Decision(why=why, attempts=attempts, given_up=given_up)
    if not due:
        why = _why_not(alive, debounce, now) if alive or not given_up else ""
        return Decision(why=_with_given_up(why, given_up), attempts=attempts, given_up=given_up)
    counted = {p.strategy_id: (p.digest, attempts.of(p) + 1) for p in due}
    attempt = max(count for _, count in counted.values())
    key = digest([[p.strategy_id, p.digest, counted[p.strategy_id][1]] for p in due])
    why = f"{_count(due)}: " + "; ".join(f"{p.strategy_id} {_due(p, debounce, now)}" for p in due)
    return Decision(
        why=_with_given_up(why, given_up),
        strategies=tuple(p.strategy_id for p in due),
        run_key=f"{key}:{attempt}:{attempts.epoch}",
        attempts=replace(attempts, tried={**attempts.tried, **counted}),
        given_up=given_up,
    )


def _due(pending: PendingStrategy, debounce: Debounce, now: datetime) -> str | None:
    if pending.closed:
        return "has a closed campaign" if pending.n_runs else "has evidence without proposals"
    if now - pending.newest >= debounce.quiet:
        return f"has been quiet for {_seconds(debounce.quiet)}"
    if now - pending.oldest >= debounce.longest:
        return f"has a run that waited {_seconds(debounce.longest)}"
    return None


def _why_not(alive: Sequence[PendingStrategy], debounce: Debounce, now: datetime) -> str:
    if not alive:
        return "every run is in the evidence; nothing is pending"
    next_due = min(min(p.newest + debounce.quiet, p.oldest + debounce.longest) for p in alive)
    names = ", ".join(p.strategy_id for p in alive)
    return f"{_count_waiting(alive)} for more of {names}; due in {_seconds(next_due - now)} unless more come in"


def _with_given_up(why: str, given_up: Sequence[str]) -> str:
    if not given_up:
        return why
    tired = (
        f"gave up on {', '.join(given_up)} after {MAX_ATTEMPTS} refreshes that left the same runs pending; mend the "
        "cause that those runs name, then reset this sensor's cursor, or materialise the assets by hand"
    )
    return f"{why}. Besides, {tired}" if why else tired


def _count(pending: Sequence[PendingStrategy]) -> str:
    total = sum(p.n_runs for p in pending)
    return counted(total, "pending run")


def _count_waiting(pending: Sequence[PendingStrategy]) -> str:
    return counted(sum(p.n_runs for p in pending), "pending run waits", "pending runs wait")


def _seconds(span: timedelta) -> str:
    return f"{max(span.total_seconds(), 0):.0f} s"
