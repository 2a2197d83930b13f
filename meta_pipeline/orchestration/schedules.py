"""What starts by the clock. Only what computes runs by itself."""

import dagster as dg

from meta_pipeline.orchestration.jobs import nightly
from meta_pipeline.orchestration.pruning import prune_runs

nightly_at_two = dg.ScheduleDefinition(
    name="nightly_at_two",
    job=nightly,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 02:00 UTC: what the sensor gave up on is tried again, and what lapsed is settled.",
)

prune_runs_weekly = dg.ScheduleDefinition(
    name="prune_runs_weekly",
    job=prune_runs,
    cron_schedule="0 4 * * 0",
    execution_timezone="UTC",
    # It deletes, so a person switches it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Sundays at 04:00 UTC, once switched on: deletes runs older than 90 days.",
)
