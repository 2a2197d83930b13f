"""Handing runs in from Python: one run or ten thousand, through the quality gate, into a sink.

Belongs here: batches, the summary, and what a sink must do. Does not belong here: SQL; the sink
that writes into the database is `meta_pipeline.store.backtests.RunStore`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from meta_pipeline.backtests.inspected import InspectedBatch
from meta_pipeline.backtests.quality import Calendars, inspect
from meta_pipeline.backtests.reading import count_of
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.canonical import JsonValue

BATCH_BYTES: Final = 64 * 2**20
BATCH_RUNS: Final = 4096
"""A batch ends at whichever comes first; two batches and the source are what is held in memory."""


@dataclass(frozen=True, kw_only=True)
class IngestSummary:
    """What became of the runs that were handed in.

    Parameters
    ----------
    accepted
        New runs with returns that stood every check.
    metrics_only
        New runs without returns, with a usable reported Sharpe ratio.
    quarantined
        New runs in quarantine, by reason code.
    examples
        By reason code: the first such run, and the sentence that was stored with it.
    duplicates
        Runs whose content was stored before, whatever its state; nothing was added for them.
    undeclared
        Strategies among them that have no declared knobs, so that no proposal can come of them yet.
    reopened
        Closed campaigns, as (strategy, campaign), that new runs opened again.
    """

    accepted: int = 0
    metrics_only: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    duplicates: int = 0
    undeclared: frozenset[str] = frozenset()
    reopened: frozenset[tuple[str, str]] = frozenset()

    @property
    def n_quarantined(self) -> int:
        """New runs in quarantine."""
        return sum(self.quarantined.values())

    @property
    def added(self) -> int:
        """New rows, whatever their state."""
        return self.accepted + self.metrics_only + self.n_quarantined

    @property
    def total(self) -> int:
        """All runs that were handed in."""
        return self.added + self.duplicates

    @property
    def hints(self) -> tuple[str, ...]:
        """What the sender should know, one sentence each."""
        undeclared = tuple(
            f"strategy {name!r} has no declared knobs: its runs are evidence, but no proposal comes of them "
            "before `meta-pipeline strategies declare`"
            for name in sorted(self.undeclared)
        )
        reopened = tuple(
            f"campaign {campaign!r} of {strategy!r} was closed and is open again, as new runs came"
            for strategy, campaign in sorted(self.reopened)
        )
        return undeclared + reopened

    def __add__(self, other: "IngestSummary") -> "IngestSummary":
        return IngestSummary(
            accepted=self.accepted + other.accepted,
            metrics_only=self.metrics_only + other.metrics_only,
            quarantined=dict(sorted((Counter(self.quarantined) + Counter(other.quarantined)).items())),
            examples={**other.examples, **self.examples},
            duplicates=self.duplicates + other.duplicates,
            undeclared=self.undeclared | other.undeclared,
            reopened=self.reopened | other.reopened,
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the summary as a JSON object."""
        return {
            "accepted": self.accepted,
            "metrics_only": self.metrics_only,
            "quarantined": dict(self.quarantined),
            "examples": dict(self.examples),
            "duplicates": self.duplicates,
            "added": self.added,
            "total": self.total,
            "hints": list(self.hints),
        }


class RunSink(Protocol):
    """Where inspected runs go."""

    def write(self, batches: Iterable[InspectedBatch]) -> IngestSummary:
        """Write all batches or none; writing the same again adds nothing."""
        ...


def record(runs: BacktestRun | Iterable[BacktestRun], *, into: RunSink) -> IngestSummary:
    """Hand in backtest runs: they pass the quality gate and are written in one transaction.

    Parameters
    ----------
    runs
        One run, or any iterable of runs; an iterator is read once, batch by batch.
    into
        Where to, e.g. `meta_pipeline.store.backtests.RunStore(database, actor="ada")`.

    Returns
    -------
    IngestSummary
        How many were accepted, quarantined (by reason code), or known before.

    Raises
    ------
    InputError
        If a run names no strategy or campaign that can be stored; nothing is written then.
    """
    return into.write(inspected_batches([runs] if isinstance(runs, BacktestRun) else runs))


def inspected_batches(runs: Iterable[BacktestRun]) -> Iterator[InspectedBatch]:
    """Pass runs through the quality gate, batch by batch, in their order."""
    calendars = Calendars()
    batch: list[BacktestRun] = []
    size = 0
    for run in runs:
        batch.append(run)
        size += 8 * count_of(run.returns)
        if size >= BATCH_BYTES or len(batch) >= BATCH_RUNS:
            yield inspect(batch, calendars=calendars)
            batch, size = [], 0
    if batch:
        yield inspect(batch, calendars=calendars)
