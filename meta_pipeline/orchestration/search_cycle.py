"""When a search runs by itself: once a week, and on demand for a strategy and an as-of day.

It ships switched on, by the rule for all that only computes: it ends in a verdict and, rarely, in a proposal that
people decide on. What it may cost is bounded: one iteration of R = 81 is 206 evaluations, some minutes of the cores of
the machine, on Sunday at 05:00 UTC, after the meta-model's training. Where the data have not changed since the week
before, the search is the same one, and nothing is evaluated again.
"""

from typing import Final

import dagster as dg

JOB: Final = "weekly_search"

weekly_search = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets("hyperband_results"),
    executor_def=dg.in_process_executor,
    description=(
        "Searches better parameters for FOREST_LAB, or for the strategy and the as-of day that the run's configuration "
        "names, judges the best, and proposes a winner. Nothing goes live by it."
    ),
)

search_weekly = dg.ScheduleDefinition(
    name="search_weekly",
    job=weekly_search,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays at 05:00 UTC: one iteration of Hyperband; some minutes of the machine's cores.",
)
