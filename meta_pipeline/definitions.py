"""THE list: everything that Dagster shows, on one page. Loading it connects to nothing and does no work."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from meta_pipeline.orchestration.anchoring import anchor_audit, anchor_nightly
from meta_pipeline.orchestration.assets.backtest_aggregates import backtest_aggregates
from meta_pipeline.orchestration.assets.change_outcomes import change_outcomes
from meta_pipeline.orchestration.assets.diagnostics_report import diagnostics_report
from meta_pipeline.orchestration.assets.external import approvals, live_config
from meta_pipeline.orchestration.assets.hyperband_results import hyperband_results
from meta_pipeline.orchestration.assets.meta_model import meta_model, prediction_logs
from meta_pipeline.orchestration.assets.msc_policy import msc_policy
from meta_pipeline.orchestration.assets.proposals import proposals
from meta_pipeline.orchestration.automation import automatic_application, automation_hourly
from meta_pipeline.orchestration.changes import apply_approved, revert_change
from meta_pipeline.orchestration.checks import REFRESH_CHECKS
from meta_pipeline.orchestration.gate import approve_proposals
from meta_pipeline.orchestration.jobs import nightly as nightly_job
from meta_pipeline.orchestration.meta_model_retraining import exchangeability_alarm, retrain_meta_model, retrain_weekly
from meta_pipeline.orchestration.policy_starts import closed_trades, policy, policy_every_half_hour
from meta_pipeline.orchestration.pruning import prune_runs
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.orchestration.schedules import nightly_at_two, prune_runs_weekly
from meta_pipeline.orchestration.search_cycle import search_weekly, weekly_search
from meta_pipeline.orchestration.search_job import hyperband_search
from meta_pipeline.orchestration.sensors import failed_checks, failed_runs, new_backtests
from meta_pipeline.orchestration.waiting import stale_assets, waiting_approvals


def build_definitions(resources: Mapping[str, Any] | None = None, *, nightly: Any = nightly_job) -> dg.Definitions:
    """List everything.

    Parameters
    ----------
    resources
        Instead of the real ones, by name; tests hand in a database of their own.
    nightly
        The job of the loop, where it runs on another executor.
    """
    return dg.Definitions(
        assets=[
            backtest_aggregates,
            diagnostics_report,
            proposals,
            # decided and applied by people, elsewhere
            approvals,
            live_config,
            # what the applied ones really did
            change_outcomes,
            # what the live books may do
            msc_policy,
            # beside the loop: base models' votes, and the model that may override them
            prediction_logs,
            meta_model,
            # better parameters, searched and judged; a winner is proposed
            hyperband_results,
        ],
        # counts reconcile; nothing NaN; no proposal without evidence; live config cites applied changes only
        asset_checks=REFRESH_CHECKS,
        jobs=[
            nightly,
            policy,
            retrain_meta_model,
            hyperband_search,
            weekly_search,
            # a person acts: these have no schedule and no sensor
            approve_proposals,
            apply_approved,
            revert_change,
            # the machine acts, within its policy: its schedule is for a person to switch on
            automatic_application,
            # housekeeping
            anchor_audit,
            prune_runs,
        ],
        schedules=[
            nightly_at_two,
            anchor_nightly,
            policy_every_half_hour,
            retrain_weekly,
            search_weekly,
            prune_runs_weekly,
            automation_hourly,
        ],
        sensors=[
            new_backtests,
            closed_trades,
            exchangeability_alarm,
            # who tells people
            failed_runs,
            failed_checks,
            waiting_approvals,
            stale_assets,
        ],
        resources={"database": DatabaseResource(), **(resources or {})},
        executor=dg.in_process_executor,
    )


defs = build_definitions()
