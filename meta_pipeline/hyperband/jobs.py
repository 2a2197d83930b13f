"""One job: bring one configuration from one resource to the next. Stateless, so any process can run it.

Belongs here: what travels to a worker, what it does there, and what comes back. The order is: checkpoint first,
then report; a job that finds its checkpoint already written computes nothing.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import Conflict, DatabaseUnavailable
from meta_pipeline.hyperband.checkpoints import CheckpointStore, EvaluationRecord, Moments
from meta_pipeline.hyperband.protocol import Evaluator, ParameterValue, Reference
from meta_pipeline.hyperband.slots import Slot

_log = logging.getLogger(__name__)

# Not the configuration's fault: the same job may well succeed elsewhere, or once more.
_PASSING: Final = (MemoryError, OSError, Conflict, DatabaseUnavailable)


class JobKey(NamedTuple):
    """Which evaluation: whose, and up to which resource."""

    slot: Slot
    r_to: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """One evaluation to be made.

    Parameters
    ----------
    slot
        Whose.
    config
        The configuration, in the space's order.
    r_from, r_to
        Units of the resource it has had, and shall have.
    evaluator, store
        How the worker builds what evaluates, and what keeps checkpoints.
    fingerprint
        What the evaluator's must be.
    """

    slot: Slot
    config: Mapping[str, ParameterValue]
    r_from: int
    r_to: int
    evaluator: Reference
    store: Reference
    fingerprint: str

    @property
    def key(self) -> JobKey:
        """What tells this job from every other of its search."""
        return JobKey(self.slot, self.r_to)

    @property
    def units(self) -> int:
        """Units of the resource this job spends."""
        return self.r_to - self.r_from

    def to_json(self) -> dict[str, JsonValue]:
        """Return the job as JSON, for executors that carry no pickles."""
        return {
            "slot": list(self.slot),
            "config": dict(self.config),
            "r_from": self.r_from,
            "r_to": self.r_to,
            "evaluator": self.evaluator.to_json(),
            "store": self.store.to_json(),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Job":
        """Read a job that `to_json` wrote."""
        read = {
            "slot": Slot(*given["slot"]),
            "evaluator": Reference.from_json(given["evaluator"]),
            "store": Reference.from_json(given["store"]),
        }
        return cls(**{**given, **read})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job came to; small, because returns and checkpoint stay in the store.

    Parameters
    ----------
    slot, r_to
        Of the job.
    value
        The evaluation's; minus infinity if it failed.
    metrics, constraints
        The evaluation's.
    moments
        Of the out-of-sample returns; None if it failed or there are too few.
    error
        Why the evaluation failed; None if it did not.
    checkpoint
        The sha256 of the record in the store.
    cpu_seconds
        Processor time spent; None if the record was there already.
    """

    slot: Slot
    r_to: int
    value: float
    metrics: Mapping[str, float | None]
    constraints: Mapping[str, float]
    moments: Moments | None
    error: str | None
    checkpoint: str
    cpu_seconds: float | None

    @property
    def key(self) -> JobKey:
        """The job's."""
        return JobKey(self.slot, self.r_to)


def run_job(job: Job) -> Outcome:
    """Evaluate, write the checkpoint, and return the outcome; find the checkpoint instead if it is there.

    An evaluation that raises is an outcome as well: deterministic, it would raise again. What is not the
    configuration's fault (memory, disk, a database, another version of the code) is raised.

    Raises
    ------
    Conflict
        If the evaluator here has another fingerprint: other data, or another version of the code.
    """
    store = _store(canonical_json(job.store.to_json()))
    if (found := store.find(job.slot, job.r_to)) is not None:
        return _outcome(*found, cpu_seconds=None)
    evaluator = _evaluator(canonical_json(job.evaluator.to_json()))
    if evaluator.fingerprint != job.fingerprint:
        raise Conflict(
            f"{job.evaluator.target} has the fingerprint {evaluator.fingerprint[:12]} here, and the search was begun "
            f"with {job.fingerprint[:12]}: its data, code or settings are others; begin a new search with these"
        )
    started = _cpu_seconds()
    record = _evaluate(job, evaluator, store)
    saved = store.save(record)
    return _outcome(saved, record, cpu_seconds=_cpu_seconds() - started)


def _evaluate(job: Job, evaluator: Evaluator, store: CheckpointStore) -> EvaluationRecord:
    r_from, checkpoint = job.r_from, None
    if r_from > 0:
        before = store.find(job.slot, r_from)
        # A lost or damaged checkpoint costs its units again, never the result.
        r_from, checkpoint = (r_from, before[1].checkpoint) if before is not None else (0, None)
    try:
        done = evaluator.evaluate(job.config, r_from, job.r_to, checkpoint)
    except _PASSING:
        raise
    except Exception as error:
        _log.warning("configuration %s failed at %s units: %s: %s", job.slot, job.r_to, type(error).__name__, error)
        _log.debug("where it failed", exc_info=True)
        return EvaluationRecord.of_failure(job.slot, job.r_to, f"{type(error).__name__}: {error}")
    return EvaluationRecord.of_evaluation(job.slot, job.r_to, done)


def _outcome(saved: str, record: EvaluationRecord, *, cpu_seconds: float | None) -> Outcome:
    return Outcome(
        slot=record.slot,
        r_to=record.r,
        value=record.value,
        metrics=record.metrics,
        constraints=record.constraints,
        moments=record.moments,
        error=record.error,
        checkpoint=saved,
        cpu_seconds=cpu_seconds,
    )


@cache
def _evaluator(reference: str) -> Evaluator:
    """Build an evaluator once per process: reading data may take longer than a job."""
    import json

    built: Evaluator = Reference.from_json(json.loads(reference)).build()
    return built


@cache
def _store(reference: str) -> CheckpointStore:
    import json

    built: CheckpointStore = Reference.from_json(json.loads(reference)).build()
    return built


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system
