"""The assets, one per file: call a stage, write through the store, return what a person wants to see.

Belongs here: what they have in common for those who run them: the group, who answers for which, and how old each may
get. An asset that gets older than that is a failure of what should have started it, which no failed run would tell.
"""

from datetime import timedelta
from typing import Final

import dagster as dg

GROUP: Final = "loop"
"""One group for all: the UI draws a single group open, and the loop is short enough to be seen whole."""

RESEARCH: Final = ["team:research"]
RISK: Final = ["team:risk"]
"""Owners: who is asked when the asset is wrong. Teams, as Dagster writes them; map them to people where you are."""

THROUGH_BY_FOUR: Final = dg.FreshnessPolicy.cron(
    deadline_cron="0 4 * * *", lower_bound_delta=timedelta(hours=2), timezone="UTC"
)
"""The night begins at 02:00 UTC, and is through by 04:00; a refresh of the afternoon is no night."""

HALF_HOURLY: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(minutes=60), warn_window=timedelta(minutes=40)
)
"""A policy is made every half hour and lives for one: older, and executors are DEFENSIVE."""

WEEKLY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=15), warn_window=timedelta(days=8))
"""Two weekly trainings in a row were missed; one is a warning."""
