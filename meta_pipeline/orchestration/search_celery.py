"""A search's job on Celery workers, on as many machines as there are.

Its workers are Dagster's own: `dagster-celery worker start -A dagster_celery.app -y celery.yaml`, with the broker and
the settings below in the file, and the database's URL in their environment. It needs the extra `cluster`.

Of a worker process that is killed, the task goes to another at once. Of a machine that is lost, Redis gives it out
again after its `visibility_timeout`: an hour, unless `broker_transport_options` says otherwise. Make that a little more
than the longest batch.
"""

from typing import Any, Final

import dagster as dg
from dagster_celery import celery_executor

from meta_pipeline.orchestration.search_job import WAVES, search_job

NOTHING_LOST: Final[dict[str, Any]] = {
    # A task is done when it is finished, not when it is begun; of a worker that died, another one gets it.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
}
"""Celery's settings under which a worker that is killed costs no more than the evaluation it was at."""


def celery_search_job(name: str = "hyperband_search_celery", *, waves: int = WAVES) -> dg.JobDefinition:
    """Return the job of a search on Dagster's Celery executor.

    The run's configuration names the broker and, under `config_source`, `NOTHING_LOST`; the workers' file has the same.
    """
    return search_job(name, waves=waves, executor=celery_executor)
