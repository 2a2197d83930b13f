"""Noting the audit head down outside the database: at the end of every refresh, and by a job of its own every night.

Belongs here: when it is done. Does not belong here: what an anchor is and where it is kept (store.anchors).
"""

from typing import Final

import dagster as dg

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.orchestration.resources import DatabaseResource

ANCHORED: Final = "audit_log_is_anchored"
ENTRY: Final = "audit log anchored at entry"


def anchor_check(database: DatabaseResource, *, asset: str) -> dg.AssetCheckResult:
    """Anchor the head, and say so as a check: one that fails is told, and stops nothing that was done before it."""
    from meta_pipeline.store import anchors

    try:
        with database.connect() as connection:
            anchor = anchors.anchor_head(connection, database.settings, now=database.now())
    except MetaPipelineError as error:
        return dg.AssetCheckResult(
            check_name=ANCHORED, asset_key=asset, passed=False, severity=dg.AssetCheckSeverity.ERROR,
            description=f"the audit head was not anchored: {error}",
        )  # fmt: skip
    return dg.AssetCheckResult(
        check_name=ANCHORED, asset_key=asset, passed=True, metadata={ENTRY: anchor.seq, "anchor": anchor.name()}
    )


@dg.op(out=dg.Out(dg.Nothing), description="Verify what is new in the audit log, and note its head down.")
def anchor_head(context: dg.OpExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Anchor the head; fail, so that the failure is told, where the log does not verify or is a fork."""
    from meta_pipeline.store import anchors

    try:
        with database.connect() as connection:
            anchor = anchors.anchor_head(connection, database.settings, now=database.now())
    except MetaPipelineError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    context.log.info("anchored entry %d", anchor.seq)
    context.add_output_metadata({"entry": anchor.seq, "hash": anchor.entry_hash, "name": anchor.name()})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Verify the audit log since its last anchor, and anchor its head outside the database.",
)
def anchor_audit() -> None:
    """Anchor the audit log."""
    anchor_head()


anchor_nightly = dg.ScheduleDefinition(
    name="anchor_nightly",
    job=anchor_audit,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    # It decides nothing and changes nothing in the database, so it runs by itself.
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 02:30 UTC, also where the refresh, which anchors at its end, did not run or failed.",
)
