"""The job of the loop: its assets with their checks."""

import dagster as dg

from meta_pipeline.orchestration.refreshing import NIGHTLY, REFRESH

nightly = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.assets("backtest_aggregates", "diagnostics_report", "proposals", "change_outcomes")
    | dg.AssetSelection.checks_for_assets("live_config"),
    executor_def=dg.in_process_executor,
    tags={REFRESH: "yes"},
    description=(
        "Aggregates, diagnostics and proposals for all that is pending, and the outcomes of applied changes. Started "
        "by the sensor, and at night."
    ),
)
