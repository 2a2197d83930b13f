"""The asset `change_outcomes`: what applied changes really did, judged every night against the old configuration."""

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.orchestration.anchoring import ANCHORED, anchor_check
from meta_pipeline.orchestration.assets import GROUP, RISK, THROUGH_BY_FOUR
from meta_pipeline.orchestration.metadata import picture_value, table_value
from meta_pipeline.orchestration.refreshing import scope_of
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.store.experiments import ExperimentLook
    from meta_pipeline.store.judging import Night

NAME: Final = "change_outcomes"
JUDGED: Final = "every_change_was_judged"
NO_REVERT: Final = "no_change_calls_for_a_revert"


@dg.asset(
    name=NAME,
    deps=["proposals", "live_config"],
    group_name=GROUP,
    owners=RISK,
    kinds={"postgresql", "numpy"},
    freshness_policy=THROUGH_BY_FOUR,
    check_specs=[
        dg.AssetCheckSpec(JUDGED, asset=NAME, description="The days of every change that is due could be replayed."),
        dg.AssetCheckSpec(NO_REVERT, asset=NAME, description="No change in force has the verdict REVERT."),
        dg.AssetCheckSpec(
            ANCHORED, asset=NAME, description="The audit log verifies, and its head is noted down outside the database."
        ),
    ],
    description=(
        "Each applied change against the old configuration on the same days, by the rule fixed when it was approved: "
        "effect with an interval that holds at every look, guardrails, verdict. Shadow experiments are looked at too. "
        "Last of a refresh, it anchors the audit log."
    ),
)
def change_outcomes(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Look at every change and experiment that is due."""
    from meta_pipeline.store import experiments, judging

    now, settings = database.now(), database.settings
    scope = scope_of(context.run)
    # A refresh of some strategies judges them all; only where other runs judge the others, it is left to them.
    part = None if scope is None else scope.shard
    night = judging.judge_all(database.opened, now=now, settings=settings, strategies=part, say=context.log.debug)
    for change, why in night.failed.items():
        context.log.error("%s could not be judged: %s", change, why)
    for followed in night.recommendations:
        # The failing check below is what reaches the alert.
        (context.log.info if followed.reverted else context.log.warning)(followed.text)
    looked = experiments.look_at_all(
        database.opened, until=judging.yesterday(now), now=now, settings=settings, strategies=part
    )
    return dg.MaterializeResult(
        metadata=_metadata(night, looked, database),
        # The last asset of a refresh: what the whole of it recorded is anchored here, whoever started it.
        check_results=[_judged(night, looked), _no_revert(night), anchor_check(database, asset=NAME)],
    )


def _metadata(night: "Night", looked: "list[ExperimentLook]", database: DatabaseResource) -> dict[str, Any]:
    from meta_pipeline.report.outcomes import judged_table, judged_with, scorecard_table
    from meta_pipeline.store.scorecards import scorecard

    follows = {one.change_id: one.text for one in night.recommendations}
    said = {one.change_id: follows.get(one.change_id, "kept" if one.kept else "") for one in night.judged}
    rows = [
        (one.strategy_id, one.look, "; ".join(filter(None, [said[one.change_id], judged_with(one)])))
        for one in night.judged
    ]
    with database.connect() as connection:
        scores = scorecard(connection)
    return {
        "outcomes": table_value(judged_table(rows)),
        "picture of the outcomes": picture_value(_picture(night), says="effect of each judged change, with interval"),
        "scorecard": table_value(scorecard_table(scores)),
        "changes looked at": sum(one.outcome == "judged" for one in night.judged),
        "changes kept": len(night.kept),
        "changes reverted by themselves": sum(one.reverted for one in night.recommendations),
        "reverts recommended": sum(not one.reverted for one in night.recommendations),
        "changes that could not be judged": len(night.failed),
        "experiments looked at": len(looked),
    }


def _picture(night: "Night") -> bytes:
    from meta_pipeline.report.pictures import Bar, intervals_picture

    looks = [(one.strategy_id, one.look) for one in night.judged if one.look is not None]
    bars = [
        Bar(
            label=f"{strategy}  {look.change_id[:12]}  {look.verdict}",
            value=look.estimate,
            lower=look.lower_bound,
            upper=look.upper_bound,
            marked=look.verdict in {"KEEP", "REVERT"},
        )
        for strategy, look in looks
    ]
    return intervals_picture(
        bars,
        title="Outcomes of changes, new against old configuration",
        axis="difference in the metric of the rule, valid at every look",
        marked="decided",
        unmarked="not decided",
    )


def _judged(night: "Night", looked: "list[ExperimentLook]") -> dg.AssetCheckResult:
    failed = {**night.failed, **{one.experiment_id: one.error for one in looked if one.error is not None}}
    return dg.AssetCheckResult(
        check_name=JUDGED,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(f"{name}: {why}" for name, why in sorted(failed.items())) or None,
        metadata={"failed": dg.MetadataValue.json(dict(sorted(failed.items())))},
    )


def _no_revert(night: "Night") -> dg.AssetCheckResult:
    waiting = [one for one in night.recommendations if not one.reverted]
    return dg.AssetCheckResult(
        check_name=NO_REVERT,
        passed=not waiting,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(one.text for one in waiting) or None,
        metadata={"changes": dg.MetadataValue.json([one.change_id for one in waiting])},
    )
