"""What starts the policy by itself: the half hour, and trades that were closed since.

A policy only ever computes, so both ship running. MSC_ENABLED=false stops both, and executors then let the last policy
expire; MSC_EVALUATION_INTERVAL_MINUTES says how old a policy may get.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg

from meta_pipeline.orchestration.policy_tags import policy_tags
from meta_pipeline.orchestration.refreshing import UNFINISHED
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.store.controller import Due

LOOK_SECONDS: Final = 30
STUCK_AFTER: Final = timedelta(minutes=10)

policy = dg.define_asset_job(
    "policy",
    selection=dg.AssetSelection.assets("msc_policy"),
    executor_def=dg.in_process_executor,
    description="The risk policy of the live books. Started every half hour, and after trades were closed.",
)


@dg.schedule(
    name="policy_every_half_hour",
    job=policy,
    cron_schedule="*/30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Evaluates every book whose policy is due; MSC_EVALUATION_INTERVAL_MINUTES says how often that is.",
)
def policy_every_half_hour(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.RunRequest | dg.SkipReason:
    """Start an evaluation, or say why not."""
    return _answer(_look(database, scheduled=True), lambda: _in_flight(context.instance, database.now()))


@dg.sensor(
    job=policy,
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Evaluates a book again when trades were closed since its policy was made, and when the schedule missed it or "
        "MSC_EVALUATION_INTERVAL_MINUTES asks for more than every half hour."
    ),
)
def closed_trades(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.RunRequest | dg.SkipReason:
    """Start an evaluation, or say why not."""
    return _answer(_look(database, scheduled=False), lambda: _in_flight(context.instance, database.now()))


def _look(database: DatabaseResource, *, scheduled: bool) -> "list[Due]":
    from meta_pipeline.store.controller import due_evaluations

    with database.connect() as connection:
        return due_evaluations(connection, database.settings, now=database.now(), scheduled=scheduled)


def _answer(found: "Sequence[Due]", in_flight: Callable[[], str | None]) -> dg.RunRequest | dg.SkipReason:
    due = [one for one in found if one.trigger is not None]
    if not found:
        return dg.SkipReason("there is no live book yet")
    if not due:
        return dg.SkipReason("; ".join(f"{one.scope.scope}: {one.why}" for one in found))
    running = in_flight()
    if running is not None:
        return dg.SkipReason(f"{running} evaluates already")
    trigger = "outcomes" if all(one.trigger == "outcomes" for one in due) else "schedule"
    return dg.RunRequest(tags=policy_tags([one.scope.scope for one in due], trigger))


def _in_flight(instance: dg.DagsterInstance, now: datetime) -> str | None:
    """Return words for the evaluation that is queued or running; one that hangs holds nobody up."""
    filters = dg.RunsFilter(job_name=policy.name, statuses=list(UNFINISHED))
    for record in instance.get_run_records(filters, limit=20):
        if now - record.create_timestamp < STUCK_AFTER:
            return f"run {record.dagster_run.run_id[:8]}"
    return None
