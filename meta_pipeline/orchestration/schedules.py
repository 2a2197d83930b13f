"""What starts by the clock. Only what computes runs by itself."""

import dagster as dg

from meta_pipeline.orchestration.pruning import prune_runs
from meta_pipeline.orchestration.refreshing import NIGHTLY, Shard, shard_tags
from meta_pipeline.orchestration.resources import DatabaseResource


@dg.schedule(
    name="nightly_at_two",
    # By name: on Celery it is another job of that name.
    job_name=NIGHTLY,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Every night at 02:00 UTC: what the sensor gave up on is tried again, and what lapsed is settled. In as many "
        "runs side by side as META_PIPELINE_NIGHTLY_SHARDS says, each about its part of the strategies."
    ),
)
def nightly_at_two(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[DatabaseResource]
) -> list[dg.RunRequest]:
    """Start one run, or one per shard."""
    night, shards = context.scheduled_execution_time.isoformat(), database.settings.nightly_shards
    if shards == 1:
        return [dg.RunRequest(run_key=night)]
    parts = [Shard(number=number, of=shards) for number in range(1, shards + 1)]
    return [dg.RunRequest(run_key=f"{night} {part}", tags=shard_tags(part)) for part in parts]


prune_runs_weekly = dg.ScheduleDefinition(
    name="prune_runs_weekly",
    job=prune_runs,
    cron_schedule="0 4 * * 0",
    execution_timezone="UTC",
    # It deletes, so a person switches it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Sundays at 04:00 UTC, once switched on: deletes runs older than 90 days.",
)
