"""The job of the loop: its assets with their checks."""

from typing import TYPE_CHECKING

import dagster as dg

from meta_pipeline.orchestration.refreshing import ALL, NIGHTLY, REFRESH

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def nightly_on(executor: dg.ExecutorDefinition) -> "UnresolvedAssetJobDefinition":
    """Return the job on one of Dagster's executors."""
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.assets("backtest_aggregates", "diagnostics_report", "proposals", "change_outcomes")
        | dg.AssetSelection.checks_for_assets("live_config"),
        executor_def=executor,
        tags={REFRESH: ALL},
        description=(
            "Aggregates, diagnostics and proposals for all that is pending, and the outcomes of applied changes. "
            "Started by the sensor, and at night. To refresh some strategies, or one part of them, tag the run: "
            'meta_pipeline/strategies: ["A", "B"], or meta_pipeline/shard: 1/4.'
        ),
    )


nightly = nightly_on(dg.in_process_executor)
