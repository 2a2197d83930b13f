"""What the loop leads to and does not materialise by itself: decisions of people, and live configurations."""

import dagster as dg

from meta_pipeline.orchestration.assets import GROUP, RISK
from meta_pipeline.orchestration.changes import LIVE_CONFIG
from meta_pipeline.orchestration.gate import APPROVALS

approvals = dg.AssetSpec(
    APPROVALS,
    deps=["proposals"],
    group_name=GROUP,
    owners=RISK,
    kinds={"postgresql", "human"},
    description=(
        "Decisions of people. Recorded by the gate (job `approve_proposals`), the command line and the API; "
        "never by materialising anything."
    ),
)

live_config = dg.AssetSpec(
    LIVE_CONFIG,
    deps=[APPROVALS],
    group_name=GROUP,
    owners=RISK,
    kinds={"postgresql", "json"},
    description="What each strategy runs with. Every version cites the change that made it, and can be reverted.",
)
