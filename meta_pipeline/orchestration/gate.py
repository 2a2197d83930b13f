"""The gate: the op job `approve_proposals`, through which a person approves or rejects.

Belongs here: carrying a decision from Dagster to the service that guards it. Does not belong here: the form
(decision_form), who acts (acting), the rules (store.governance).

It is a job and not an asset: "materialise all", backfills and schedules must never approve anything. Without
a form it cannot be launched at all.
"""

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.acting import ACTING, person_of
from meta_pipeline.orchestration.decision_form import FORM, GATE_JOB, DecisionForm, read_form
from meta_pipeline.orchestration.metadata import commands_value, table_value
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.proposals.decision import DecisionResult

APPROVALS: Final = "approvals"
"""The external asset that stands for decisions in the lineage."""


@dg.config_mapping(config_schema=FORM)
def decision_form(values: dict[str, Any]) -> dict[str, Any]:
    """Check the form before a run exists; what is refused here leaves no run behind."""
    read_form(values)
    return {"ops": {"decide": {"config": values}}}


@dg.op(config_schema=FORM, out=dg.Out(dg.Nothing), description="Hand each verdict to the governance service.")
def decide(context: dg.OpExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> None:
    """Carry out every decision; fail at the end if any was refused, with the message of each refusal."""
    form = read_form(context.op_config)
    results = _hand_over(
        form, approver=person_of(context, form.approver, database.settings), run_id=context.run_id, database=database
    )
    for result in results:
        (context.log.error if result.outcome == "refused" else context.log.info)(result.message)
    metadata = {**_metadata(results), **_track_record(database)}
    refused = [result for result in results if result.outcome == "refused"]
    if len(refused) < len(results):
        context.log_event(dg.AssetMaterialization(asset_key=APPROVALS, metadata=metadata))
    if refused:
        raise dg.Failure(
            f"{len(refused)} of {counted(len(results), 'decision')} refused: "
            + "; ".join(f"{result.proposal_id}: {result.message}" for result in refused),
            metadata=metadata,
            allow_retries=False,
        )
    context.add_output_metadata(metadata)


def _hand_over(form: DecisionForm, *, approver: str, run_id: str, database: DatabaseResource) -> "list[DecisionResult]":
    from meta_pipeline.proposals.decision import Decision
    from meta_pipeline.store import governance

    decisions = [
        Decision(
            proposal_id=line.proposal_id,
            digest=line.digest,
            verdict=line.decision,
            reason=line.reason,
            signature=line.signature,
        )
        for line in form.decisions
    ]
    return governance.decide(
        database.opened,
        decisions,
        approver=approver,
        channel="gate",
        channel_ref=run_id,
        now=database.now(),
        settings=database.settings,
    )


def _metadata(results: "list[DecisionResult]") -> dict[str, Any]:
    from meta_pipeline.report.decisions import checks_table, decisions_table

    approved = [result.proposal_id for result in results if result.outcome != "refused" and result.verdict == "approve"]
    counted = dict.fromkeys(("approved", "rejected", "already", "refused"), 0)
    for result in results:
        counted[result.outcome] += 1
    metadata: dict[str, Any] = {"decisions": table_value(decisions_table(results)), **counted}
    for result in results:
        if result.checks:
            metadata[f"checks of {result.proposal_id}"] = table_value(checks_table(result.checks))
    if approved:
        # Dagster carries the decision; applying it is another act, by whoever may.
        metadata["next"] = commands_value(
            *(f"meta-pipeline apply {proposal} --dry-run" for proposal in approved),
            *(f"meta-pipeline apply {proposal}" for proposal in approved),
        )
    return metadata


def _track_record(database: DatabaseResource) -> dict[str, Any]:
    """Show, beside the verdicts, what earlier proposals of each type claimed and brought."""
    from meta_pipeline.report.outcomes import scorecard_table
    from meta_pipeline.store.scorecards import scorecard

    with database.connect() as connection:
        return {"track record": table_value(scorecard_table(scorecard(connection)))}


@dg.job(
    name=GATE_JOB,
    config=decision_form,
    executor_def=dg.in_process_executor,
    tags={ACTING: "gate", "dagster/max_retries": "0"},
    description=(
        "The gate. Open it from the link that the asset `proposals` shows: the form is filled in but for your name "
        "and your verdicts. Approving does not apply anything."
    ),
)
def approve_proposals() -> None:
    """Approve or reject proposals, each bound to the digest of what was read."""
    decide()
