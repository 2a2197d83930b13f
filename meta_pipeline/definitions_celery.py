"""The list of `definitions`, its nightly job on Celery workers: for where one machine is too small.

Belongs here: which job changes its executor. All else is as everywhere. It needs the extra `cluster`; the workers are
Dagster's own (`deploy/celery`), and read the broker and the database from their environment, as the runs do.
"""

import dagster as dg
from dagster_celery import celery_executor

from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.jobs import nightly_on
from meta_pipeline.orchestration.search_celery import NOTHING_LOST

BROKER = {"env": "META_PIPELINE_CELERY_BROKER"}

on_celery: dg.ExecutorDefinition = celery_executor.configured(
    # Read when a run begins, not when this is loaded: a name of a variable, and no password.
    {"broker": BROKER, "backend": BROKER, "config_source": NOTHING_LOST},
    name="celery_over_redis",
)

defs = build_definitions(nightly=nightly_on(on_celery))
