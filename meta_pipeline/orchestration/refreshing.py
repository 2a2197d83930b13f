"""What the refreshes have in common: their tags, their scope, and whether one is under way.

Belongs here: how a run says which strategies it is about. Does not belong here: when to start one (batching).
"""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster import DagsterRun, DagsterRunStatus

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NIGHTLY: Final = "nightly"
FIRST_ASSET: Final = dg.AssetKey("backtest_aggregates")

REFRESH: Final = "meta_pipeline/refresh"
"""Tag of every refresh; `dagster.yaml` lets those with it take turns."""

STRATEGIES: Final = "meta_pipeline/strategies"
"""Tag with a JSON list of strategy ids: the refresh is about these only. Without it, about all."""

UNFINISHED: Final = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)

STUCK_AFTER: Final = timedelta(minutes=30)
"""A refresh that is older and has not ended does not hold up the next: its process may be long dead."""


def scope_tag(strategies: "Sequence[str]") -> dict[str, str]:
    """Return the tag that limits a run to some strategies."""
    return {STRATEGIES: json.dumps(sorted(strategies), ensure_ascii=False)}


def scope_of(run: DagsterRun) -> tuple[str, ...] | None:
    """Return the strategies a run is about, None for all.

    Raises
    ------
    InputError
        If the tag was written by hand and is not a JSON list of texts.
    """
    tag = run.tags.get(STRATEGIES)
    if tag is None:
        return None
    try:
        names = json.loads(tag)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'the tag {STRATEGIES} is {tag!r}; write a JSON list of strategy ids, like ["A", "B"]')
    return tuple(sorted(set(names)))


def refresh_in_flight(instance: dg.DagsterInstance, *, now: datetime) -> str | None:
    """Return words for the refresh that is queued or running, None if there is none."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED)), limit=100):
        run = record.dagster_run
        refreshes = run.job_name == NIGHTLY or FIRST_ASSET in (run.asset_selection or ())
        if refreshes and now - record.create_timestamp < STUCK_AFTER:
            return f"run {run.run_id[:8]}, which is {run.status.value.lower().replace('_', ' ')}"
    return None
