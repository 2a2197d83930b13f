"""The coordinator: hands out what the schedule says can be done, and writes down what comes back.

Belongs here: the one loop between ledger, sampler and executor. It keeps nothing that is not in the ledger, so that it
may die at any moment; whoever goes on derives the same next step from what was reported.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from meta_pipeline.errors import Conflict, InsufficientData
from meta_pipeline.hyperband.executors import Executor
from meta_pipeline.hyperband.jobs import Job, JobKey, Outcome
from meta_pipeline.hyperband.ledger import End, Entry, Lease, Ledger
from meta_pipeline.hyperband.progress import Progress, progress_of
from meta_pipeline.hyperband.protocol import Reference
from meta_pipeline.hyperband.sampling import draw
from meta_pipeline.hyperband.schedule import Step, plan
from meta_pipeline.hyperband.slots import LIVE, Slot

HOPELESS = 8
"""So many configurations evaluated, and none with success, are a fault of the evaluator and end the search."""


class Search:
    """Runs a search, from wherever its ledger says it is, to its end. One coordinator at a time: the caller locks.

    Parameters
    ----------
    ledger
        The search's.
    store
        How workers, and the coordinator, build what keeps checkpoints.
    worker
        Who the leases are given to.
    clock
        Returns the seconds since 1970. Only leases are made of it, never a result.
    lease_seconds
        For how long others believe that an evaluation is under way. They issue it again afterwards: the result is
        the same, and the first to report counts.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Reference,
        *,
        worker: str,
        clock: Callable[[], float],
        lease_seconds: float = 600.0,
    ) -> None:
        self.ledger = ledger
        self.settings = ledger.settings
        self._store = store
        self._kept = store.build()
        self._worker = worker
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._entries: dict[Slot, Entry] = {}
        self._issued: set[JobKey] = set()

    def run(self, executor: Executor, *, on_progress: Callable[[Progress], None] | None = None) -> dict[Slot, Entry]:
        """Go on until all is done; return all configurations.

        Raises
        ------
        InsufficientData
            If no configuration can be evaluated; it names the error.
        Conflict
            If the evaluator is another one than the search was begun with.
        """
        self._issued.clear()
        self.refresh()
        for outcome in executor.map_unordered(self._jobs()):
            self.take(outcome)
            if on_progress is not None:
                on_progress(progress_of(self.settings, self._entries, outcome.key))
        return dict(self._entries)

    def ready(self) -> list[Job]:
        """Draw what can be drawn, tell what has ended, and return the jobs that nobody is at work on.

        What others hold a lease on is left to them until it expires; leases of this worker's own name are its own.
        """
        self.refresh()
        return [self.job(*step) for step in self._advance() if self._is_free(step)]

    def lease(self, job: Job) -> None:
        """Write down that this worker is at work on a job."""
        entry = self._entries[job.slot]
        lease = Lease(worker=self._worker, expires=self._clock() + self._lease_seconds)
        self.ledger.lease(entry, job.r_to, lease)
        self._entries[job.slot] = replace(entry, leases={**entry.leases, job.r_to: lease})

    def take(self, outcome: Outcome) -> None:
        """Write an outcome down; one that is there already changes nothing."""
        self._issued.discard(outcome.key)
        entry = self._entries[outcome.slot]
        if outcome.r_to in entry.rungs:
            return
        reported = self.ledger.report(entry, outcome)
        self._entries[outcome.slot] = replace(entry, rungs={**entry.rungs, outcome.r_to: reported})
        if entry.rungs:
            self._kept.discard(outcome.slot, below=outcome.r_to)
        self._refuse_hopeless()

    def refresh(self) -> None:
        """Read the ledger anew: others may have written to it."""
        self._entries = self.ledger.entries()

    @property
    def is_finished(self) -> bool:
        """Whether all is done, as far as was read."""
        return plan(self.settings, self._entries).finished

    @property
    def entries(self) -> Mapping[Slot, Entry]:
        """All configurations, as far as was read."""
        return self._entries

    def _jobs(self) -> Iterator[Job | None]:
        """Yield jobs as they become possible; None where something must come back first."""
        while True:
            steps = self._advance()
            if not steps:
                return
            waiting = [step for step in steps if step.key not in self._issued]
            if not waiting:
                yield None
                continue
            job = self.job(*waiting[0])
            self._issued.add(job.key)
            self.lease(job)
            yield job

    def _advance(self) -> tuple[Step, ...]:
        """Draw and tell until there is nothing to draw; return what can be evaluated."""
        while True:
            now = plan(self.settings, self._entries)
            self._close(now.ends)
            if not now.draw:
                return now.steps
            if now.draw == (LIVE,):
                self.ledger.add({LIVE: self.settings.space.check(self.settings.live_config or {})})
            else:
                seen = [self._entries[slot] for round_ in now.seen for slot in round_.slots if slot in self._entries]
                self.ledger.add(draw(self.settings, now.draw, seen))
            self.refresh()

    def _close(self, ends: Sequence[tuple[Slot, End]]) -> None:
        self.ledger.close((self._entries[slot], end) for slot, end in ends)
        for slot, end in ends:
            self._entries[slot] = replace(self._entries[slot], end=end)

    def job(self, slot: Slot, r_from: int, r_to: int) -> Job:
        """Return the job of one evaluation, complete enough to be done anywhere."""
        return Job(
            slot=slot,
            config=self._entries[slot].config,
            r_from=r_from,
            r_to=r_to,
            evaluator=self.settings.evaluator,
            store=self._store,
            fingerprint=self.settings.fingerprint,
        )

    def _is_free(self, step: Step) -> bool:
        held = self._entries[step.slot].leases.get(step.r_to)
        return held is None or held.worker == self._worker or held.expires <= self._clock()

    def _refuse_hopeless(self) -> None:
        done = [entry.last for entry in self._entries.values() if entry.last is not None]
        if len(done) >= HOPELESS and all(result.error is not None for result in done):
            raise InsufficientData(
                f"none of the first {len(done)} configurations could be evaluated; the last said: {done[-1].error}; "
                "mend that, and begin a new search"
            )


def evaluator_changed(ledger: Ledger, fingerprint: str) -> None:
    """Check that an evaluator is the one a search was begun with.

    Raises
    ------
    Conflict
        If it is not.
    """
    begun = ledger.settings.fingerprint
    if fingerprint != begun:
        raise Conflict(
            f"the search {ledger.settings.name!r} was begun on data and code with the fingerprint {begun[:12]}, and "
            f"these have {fingerprint[:12]}; begin a new search with them"
        )
