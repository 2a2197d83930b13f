"""Old runs are deleted: Dagster keeps every run for ever.

Belongs here: which runs may go. Runs in which a person acted stay: approvals and changes refer to them. So do
the runs of the latest materialisation of each asset, whose metadata the catalog shows.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from meta_pipeline.orchestration.acting import ACTING

PRUNE_JOB: Final = "prune_runs"
PAGE: Final = 200
FINISHED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def prunable(instance: dg.DagsterInstance, *, before: datetime) -> Iterator[str]:
    """Yield the ids of finished runs older than a time that nothing refers to.

    Parameters
    ----------
    instance
        Dagster's instance.
    before
        UTC. Runs created later stay.
    """
    kept = _runs_of_latest_materializations(instance)
    cursor = None
    while True:
        page = instance.get_run_records(
            dg.RunsFilter(statuses=list(FINISHED), created_before=before), limit=PAGE, cursor=cursor, ascending=False
        )
        for record in page:
            run = record.dagster_run
            if run.run_id not in kept and ACTING not in run.tags:
                yield run.run_id
        if len(page) < PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _runs_of_latest_materializations(instance: dg.DagsterInstance) -> frozenset[str]:
    records = instance.get_asset_records(instance.all_asset_keys()) if instance.all_asset_keys() else []
    latest = (record.asset_entry.last_materialization_record for record in records)
    return frozenset(found.run_id for found in latest if found is not None)


@dg.op(
    config_schema={
        "keep_days": dg.Field(dg.Int, default_value=90, description="Runs younger than this stay."),
        "dry_run": dg.Field(dg.Bool, default_value=False, description="Only say how many would go."),
    },
    out=dg.Out(dg.Nothing),
)
def delete_old_runs(context: dg.OpExecutionContext) -> None:
    """Delete finished runs, with their logs."""
    keep_days, dry_run = context.op_config["keep_days"], context.op_config["dry_run"]
    if keep_days < 1:
        raise dg.Failure(f"keep_days is {keep_days}; give at least 1 day", allow_retries=False)
    # The list is complete before the first deletion, so that pages do not shift while they are read.
    old = list(prunable(context.instance, before=datetime.now(UTC) - timedelta(days=keep_days)))
    if not dry_run:
        for run_id in old:
            context.instance.delete_run(run_id)
    fate = "would be" if dry_run else "were"
    context.log.info("%d runs older than %d days %s deleted", len(old), keep_days, fate)
    context.add_output_metadata({"runs": len(old), "deleted": 0 if dry_run else len(old)})


@dg.job(name=PRUNE_JOB, executor_def=dg.in_process_executor, description="Delete old runs and their logs.")
def prune_runs() -> None:
    """Delete finished runs older than `keep_days` that no approval, change or latest materialisation refers to."""
    delete_old_runs()
