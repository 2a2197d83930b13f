"""When the meta-model is trained again: once a week, and when its champion's outcomes are no longer as they were."""

from typing import Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.errors import NothingToDo
from meta_pipeline.orchestration.resources import DatabaseResource

JOB: Final = "retrain_meta_model"
WATCH_SECONDS: Final = 300

retrain_meta_model = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets("meta_model"),
    executor_def=dg.in_process_executor,
    description="Trains the meta-model on what is there and lets its gate decide. Started weekly, and by the alarm.",
)

retrain_weekly = dg.ScheduleDefinition(
    name="retrain_weekly",
    job=retrain_meta_model,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays at 03:00 UTC: a challenger is trained; it decides only if its gate opens.",
)


@dg.sensor(
    job=retrain_meta_model,
    minimum_interval_seconds=WATCH_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Looks at the outcomes of the champion since it was tested. If they are no longer as they were, it raises the "
        "alarm, which keeps the model from deciding, and starts one training."
    ),
)
def exchangeability_alarm(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.SensorResult:
    """Watch the champion, or say why there is nothing to watch."""
    from meta_pipeline.store.retraining import artifact_store, fingerprint, inputs_of, training_of, watch_champion

    settings = database.settings
    inputs = inputs_of(settings)
    with database.connect() as connection:
        seen = fingerprint(connection, inputs)
    if context.cursor == seen:
        return dg.SensorResult(skip_reason="no new outcomes since the last look")
    try:
        version, found, alarm = watch_champion(
            database.opened, artifact_store(settings), inputs, training_of(settings), clock=database.now
        )
    except NothingToDo as sentence:
        return dg.SensorResult(skip_reason=str(sentence), cursor=seen)
    if alarm is None:
        reason = f"{counted(found.n_new, 'outcome')} of {version.model_id[:12]}: as they were when it was tested"
        return dg.SensorResult(skip_reason=reason, cursor=seen)
    context.log.info("the alarm of %s is raised since %s", version.model_id, alarm.raised_at)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"alarm-{alarm.alarm_id}")], cursor=seen)
