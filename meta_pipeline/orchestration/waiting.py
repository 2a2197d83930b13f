"""Alerts on what does not happen: nobody decides, nobody applies, nothing is materialised.

Belongs here: asking what waits, and remembering what was told. Does not belong here: delivering (alerts). A failed run
tells of itself; these are the failures that leave no run behind.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.alerts import Alert, send
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.orchestration.open_proposals import OpenLine

LOOK_SECONDS: Final = 300


@dg.sensor(
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells, once each, of proposals that wait for a decision for longer than META_PIPELINE_WAITING_ALERT_HOURS, "
        "and of proposals and approvals that lapse within that time."
    ),
)
def waiting_approvals(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.SensorResult:
    """Alert on what waits for a person."""
    from meta_pipeline.orchestration.open_proposals import read_open

    now = database.now()
    with database.connect() as connection:
        lines = read_open(connection, now=now)
    patience = timedelta(hours=database.settings.waiting_alert_hours)
    found = {key: alert for line in lines for key, alert in _waits(line, now=now, patience=patience)}
    return _tell_once(context, found, database, nothing="nothing waits for a person")


def _waits(line: "OpenLine", *, now: datetime, patience: timedelta) -> "Iterable[tuple[str, Alert]]":
    """Return what is to be told of one proposal, each under a key of its own."""
    record, left = line.record, line.holds_until - now
    what = f"{record.draft.strategy_id}: {line.change}"
    command = f"meta-pipeline proposals show {record.proposal_id}"
    if not line.is_pending:
        command = f"meta-pipeline apply {record.proposal_id} --dry-run"
    stage = "pending" if line.is_pending else "approved"

    def alert(kind: str, message: str) -> "tuple[str, Alert]":
        text = f"{what} {message}; {command}"
        return f"{record.proposal_id} {stage} {kind}", Alert(
            kind=kind, subject=record.proposal_id, run_id=None, message=text, at=now
        )

    if left <= patience:
        fate = "lapses undecided" if line.is_pending else "is approved, not applied, and its approval lapses"
        yield alert("approval_lapses", f"{fate} in {_hours(left)}")
    elif line.is_pending and now - record.created_at >= patience:
        yield alert("approval_waiting", f"has waited {_hours(now - record.created_at)} for a decision")


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h"


@dg.sensor(
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells, once each time, of assets that are older than their freshness policy allows.",
)
def stale_assets(context: dg.SensorEvaluationContext, database: dg.ResourceParam[DatabaseResource]) -> dg.SensorResult:
    """Alert on assets that what should have made them did not make."""
    from dagster._core.definitions.freshness import FreshnessState

    now = database.now()
    keys = [] if context.repository_def is None else _with_a_policy(context.repository_def)
    states = context.instance.get_freshness_state_records(keys) if keys else {}
    found = {}
    for key, state in states.items():
        if state.freshness_state is FreshnessState.FAIL:
            name = key.to_user_string()
            found[name] = Alert(
                kind="stale_asset",
                subject=name,
                run_id=None,
                message=(
                    "is older than its freshness policy allows: what should have made it did not run, or failed; "
                    "look at its schedule and its last run, and at `meta-pipeline doctor`"
                ),
                at=now,
            )
    return _tell_once(context, found, database, nothing="every asset is as fresh as its policy asks")


def _with_a_policy(repository: dg.RepositoryDefinition) -> list[dg.AssetKey]:
    graph = repository.asset_graph
    return [key for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy is not None]


def _tell_once(
    context: dg.SensorEvaluationContext, found: dict[str, Alert], database: DatabaseResource, *, nothing: str
) -> dg.SensorResult:
    """Send what was not sent before; what is no longer the case is forgotten, so that it is told when it comes back."""
    told = _remembered(context)
    new = [alert for key, alert in found.items() if key not in told]
    for alert in new:
        context.log.info("%s: %s", alert.text, send(alert, database.settings))
    said = f"{counted(len(new), 'alert')} sent; {len(found)} stand" if found else nothing
    return dg.SensorResult(skip_reason=said, cursor=json.dumps(sorted(found)))


def _remembered(context: dg.SensorEvaluationContext) -> set[str]:
    """Read the cursor; one that cannot be read starts over: told twice is better than never."""
    try:
        return set(json.loads(context.cursor or "[]"))
    except (ValueError, TypeError):
        context.log.warning("the cursor %r cannot be read; starting over", (context.cursor or "")[:200])
        return set()
