"""What starts by itself: a refresh when new backtests are in, and alerts when something went wrong.

Belongs here: asking the database and Dagster what is the case. Does not belong here: deciding (batching),
delivering (alerts).
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from meta_pipeline.orchestration.alerts import Alert, send
from meta_pipeline.orchestration.batching import Attempts, Debounce, PendingStrategy, decide
from meta_pipeline.orchestration.refreshing import ALL, NIGHTLY, REFRESH, refresh_in_flight, scope_tag
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meta_pipeline.store.backtests import LowWaterMark

TICK_SECONDS = 5
"""How often the sensor looks. With nothing pending a look costs about a millisecond of the database."""


@dg.sensor(
    # By name: on Celery it is another job of that name.
    job_name=NIGHTLY,
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Starts one refresh for all backtests that no evidence has absorbed, once their campaign is closed, was quiet "
        "for a minute, or its oldest run has waited a quarter of an hour. Says why when it does not."
    ),
)
def new_backtests(context: dg.SensorEvaluationContext, database: dg.ResourceParam[DatabaseResource]) -> dg.SensorResult:
    """Start a refresh, or say why not."""
    from meta_pipeline.store.backtests import pending_runs

    now = database.now()
    attempts, mark = _remembered(context, now)
    with database.connect() as connection:
        found = pending_runs(connection, now=now, mark=mark)
        behind = _without_proposals(connection, context.instance, {p.strategy_id for p in found.strategies})
    decision = decide(
        [PendingStrategy(**asdict(waiting)) for waiting in found.strategies] + behind,
        Debounce(
            quiet=timedelta(seconds=database.settings.debounce_seconds),
            longest=timedelta(seconds=database.settings.max_wait_seconds),
        ),
        now=now,
        attempts=attempts,
        in_flight=refresh_in_flight(context.instance, now=now),
    )
    cursor = json.dumps({**decision.attempts.to_json(), "mark": None if found.mark is None else found.mark.to_json()})
    if decision.run_key is None:
        return dg.SensorResult(skip_reason=decision.why, cursor=cursor)
    context.log.info(decision.why)
    request = dg.RunRequest(run_key=decision.run_key, tags={REFRESH: ALL, **scope_tag(decision.strategies)})
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _remembered(context: dg.SensorEvaluationContext, now: datetime) -> "tuple[Attempts, LowWaterMark | None]":
    """Read the cursor; one that was reset, or written by hand and cannot be read, starts over."""
    from meta_pipeline.store.backtests import LowWaterMark

    fresh = Attempts(epoch=f"{now:%Y%m%dT%H%M%S.%f}")
    if not context.cursor:
        return fresh, None
    try:
        memory = json.loads(context.cursor)
        mark = memory["mark"]
        return Attempts.from_json(memory), None if mark is None else LowWaterMark.from_json(mark)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        context.log.warning("the cursor %r cannot be read; starting over", context.cursor[:200])
        return fresh, None


def _without_proposals(
    connection: "Connection", instance: dg.DagsterInstance, pending: set[str]
) -> list[PendingStrategy]:
    """List strategies whose runs are absorbed, but whose refresh died before their proposals were made."""
    from meta_pipeline.store.queries import query

    latest = instance.get_latest_materialization_event(dg.AssetKey("proposals"))
    since = datetime.fromtimestamp(0 if latest is None else latest.timestamp, UTC)
    rows = connection.execute(query("evidence_since"), {"since": since})
    return [
        PendingStrategy(
            strategy_id=row.strategy_id,
            n_runs=0,
            digest=f"aggregation {row.aggregation_id}",
            oldest=row.created_at,
            newest=row.created_at,
            closed=True,
        )
        for row in rows
        if row.strategy_id not in pending
    ]


@dg.run_failure_sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes every failed run to alerts/alerts.jsonl in the home folder, and to the webhook if one is set.",
)
def failed_runs(context: dg.RunFailureSensorContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Alert on a failed run."""
    _alert(context, database, kind="run_failure", subject=context.dagster_run.job_name, message=_reason(context))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A run succeeds although a check in it failed: that is an alert too.",
)
def failed_checks(context: dg.RunStatusSensorContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Alert on checks that failed inside a run that succeeded."""
    logs = context.instance.all_logs(context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    for entry in logs:
        if entry.dagster_event is None:
            continue
        check = entry.dagster_event.asset_check_evaluation_data
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            subject = f"{check.asset_key.to_user_string()}: {check.check_name}"
            message = check.description or "failed"
            _alert(context, database, kind="check_failure", subject=subject, message=message)


def _reason(context: dg.RunFailureSensorContext) -> str:
    """Return the messages of the steps that failed; the run's own says only that a step did."""
    said = []
    for event in context.get_step_failure_events():
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            said.append(failure.user_failure_data.description)
        elif failure.error is not None:
            said.append((failure.error.cause or failure.error).message.strip())
    return "; ".join(said) or context.failure_event.message or "failed"


def _alert(
    context: dg.RunStatusSensorContext, database: DatabaseResource, *, kind: str, subject: str, message: str
) -> None:
    alert = Alert(kind=kind, subject=subject, run_id=context.dagster_run.run_id, message=message, at=datetime.now(UTC))
    context.log.info("%s: %s", alert.text, send(alert, database.settings))
