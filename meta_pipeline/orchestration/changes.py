"""Jobs that act on the live configuration: `apply_approved` and `revert_change`.

Belongs here: carrying the act from Dagster to the service that guards it. Both ship without a schedule and
without a sensor: nothing that acts on an approval starts by itself.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.orchestration.acting import ACTING, person_of
from meta_pipeline.orchestration.metadata import table_value
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meta_pipeline.proposals.decision import ApplyResult, RevertResult
    from meta_pipeline.report.table import Table

LIVE_CONFIG: Final = "live_config"
"""The external asset that stands for the live configurations in the lineage."""

APPLY_FORM: Final = {
    "actor": dg.Field(str, description="Who applies: your name."),
    "proposal_ids": dg.Field(
        [str], is_required=False, description="Only these proposals. Left out: all that are approved."
    ),
    "dry_run": dg.Field(bool, default_value=False, description="Execute the real transactions and roll them back."),
}

REVERT_FORM: Final = {
    "actor": dg.Field(str, description="Who reverts: your name."),
    "change_id": dg.Field(str, description="Which change."),
    "reason": dg.Field(str, description="Why."),
    "dry_run": dg.Field(bool, default_value=False, description="Execute the real transaction and roll it back."),
}


@dg.config_mapping(config_schema=APPLY_FORM)
def apply_form(values: dict[str, Any]) -> dict[str, Any]:
    """Hand the flat form to the op."""
    return {"ops": {"apply": {"config": values}}}


@dg.config_mapping(config_schema=REVERT_FORM)
def revert_form(values: dict[str, Any]) -> dict[str, Any]:
    """Hand the flat form to the op."""
    return {"ops": {"revert": {"config": values}}}


@dg.op(config_schema=APPLY_FORM, out=dg.Out(dg.Nothing), description="Apply approved proposals, one by one.")
def apply(context: dg.OpExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Apply each approved proposal in a transaction of its own; fail at the end if any was refused."""
    from meta_pipeline.report.decisions import applies_table
    from meta_pipeline.store import governance

    form = context.op_config
    results = governance.apply_approved(
        database.opened,
        actor=person_of(context, form["actor"], database.settings),
        now=database.now(),
        settings=database.settings,
        dry_run=form["dry_run"],
        proposal_ids=form.get("proposal_ids"),
    )
    _conclude(context, results, applies_table(results), dry_run=form["dry_run"])


@dg.op(config_schema=REVERT_FORM, out=dg.Out(dg.Nothing), description="Restore the state before a change.")
def revert(context: dg.OpExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Revert one change in one transaction; a key that was changed since is not touched."""
    from meta_pipeline.report.decisions import reverts_table
    from meta_pipeline.store import governance

    form = context.op_config
    actor = person_of(context, form["actor"], database.settings)
    try:
        result = governance.revert(
            database.opened,
            form["change_id"],
            actor=actor,
            reason=form["reason"],
            now=database.now(),
            settings=database.settings,
            dry_run=form["dry_run"],
        )
    except MetaPipelineError as refusal:
        raise dg.Failure(str(refusal), allow_retries=False) from None
    _conclude(context, [result], reverts_table([result]), dry_run=form["dry_run"])


def _conclude(
    context: dg.OpExecutionContext,
    results: "Sequence[ApplyResult | RevertResult]",
    table: "Table",
    *,
    dry_run: bool,
) -> None:
    refused = [result for result in results if result.outcome == "refused"]
    for result in results:
        (context.log.error if result in refused else context.log.info)(result.message)
    metadata: dict[str, Any] = {"changes": table_value(table), **Counter(result.outcome for result in results)}
    if len(refused) < len(results) and not dry_run:
        context.log_event(dg.AssetMaterialization(asset_key=LIVE_CONFIG, metadata=metadata))
    if refused:
        raise dg.Failure(
            f"{len(refused)} of {len(results)} refused: " + "; ".join(result.message for result in refused),
            metadata=metadata,
            allow_retries=False,
        )
    if not results:
        context.log.info("no proposal is approved; nothing to apply")
    context.add_output_metadata(metadata)


@dg.job(
    name="apply_approved",
    config=apply_form,
    executor_def=dg.in_process_executor,
    tags={ACTING: "apply", "dagster/max_retries": "0"},
    description="Apply approved proposals to the live configuration, each in one transaction. Never starts by itself.",
)
def apply_approved() -> None:
    """Apply what is approved."""
    apply()


@dg.job(
    name="revert_change",
    config=revert_form,
    executor_def=dg.in_process_executor,
    tags={ACTING: "revert", "dagster/max_retries": "0"},
    description="Restore the exact state before one change. Never starts by itself.",
)
def revert_change() -> None:
    """Revert one change."""
    revert()
