"""The asset `msc_policy`: the risk policy of every live book, from its trades and its markets."""

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.orchestration.assets import GROUP, HALF_HOURLY, RISK
from meta_pipeline.orchestration.isolation import Outcome, check_result, check_spec, each_strategy
from meta_pipeline.orchestration.metadata import on_the_pages, picture_value, table_value
from meta_pipeline.orchestration.policy_tags import scopes_of, trigger_of
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from meta_pipeline.store.controller import Issued

NAME: Final = "msc_policy"

MAX_PICTURED: Final = 4
MAX_POLICIES: Final = 336
"""Books whose mode is drawn, and policies that each drawing goes back: a week of half hours."""


@dg.asset(
    name=NAME,
    deps=["live_config"],
    group_name=GROUP,
    owners=RISK,
    kinds={"postgresql", "json"},
    freshness_policy=HALF_HOURLY,
    check_specs=[check_spec(NAME)],
    description=(
        "The risk policy of each live book: mode, limits, allowed strategies and their weights, with the reasons. "
        "Every half hour, after trades were closed, and on demand; executors read it signed, and are DEFENSIVE "
        "without it."
    ),
)
def msc_policy(context: dg.AssetExecutionContext, database: dg.ResourceParam[DatabaseResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Evaluate every book, or those that the run names."""
    from meta_pipeline.store.live_books import list_scopes

    with database.connect() as connection:
        known = [one.scope for one in list_scopes(connection)]
    asked = scopes_of(context.run)
    chosen = [scope for scope in known if asked is None or scope in asked]
    outcome = each_strategy(chosen, lambda scope: issue(scope, database, context.run), context.log)
    digests = sorted(f"{scope} {issued.record.digest}" for scope, issued in outcome.done.items())
    return dg.MaterializeResult(
        metadata={
            **_metadata(outcome),
            **_pictures(outcome, database),
            **on_the_pages(database.settings, ((scope, f"policy?{urlencode({'scope': scope})}") for scope in chosen)),
        },
        data_version=dg.DataVersion("; ".join(digests) or "no live book"),
        check_results=[check_result(outcome)],
    )


def issue(scope: str, database: DatabaseResource, run: dg.DagsterRun) -> "Issued":
    """Make and publish one book's policy; a run that is retried makes no second one."""
    from meta_pipeline.proposals.identity import MACHINE_ACTOR
    from meta_pipeline.store.controller import controller_of, evaluate_and_publish
    from meta_pipeline.store.policies import Request

    controller = controller_of(database.settings, clock=database.now, timer=time.perf_counter)
    key = f"dagster:{run.root_run_id or run.run_id}"
    request = Request(trigger=trigger_of(run), actor=MACHINE_ACTOR, idempotency_key=key)
    return evaluate_and_publish(database.opened, scope, controller, request, database.settings)


def _metadata(outcome: "Outcome[Issued]") -> dict[str, Any]:
    from meta_pipeline.report.policy import headline, limits_table, rankings_rows, reasons_table

    shown: dict[str, Any] = {"books": len(outcome.done), "books failed": len(outcome.failed)}
    if not outcome.done and not outcome.failed:
        shown["next"] = "there is no live book yet: meta-pipeline live capital AMOUNT, or meta-pipeline live replay"
    for scope, issued in sorted(outcome.done.items()):
        document = issued.record.body
        shown |= {
            scope: headline(document),
            f"{scope}: why": table_value(reasons_table(document["reasons"])),
            f"{scope}: limits": table_value(limits_table(document)),
            f"{scope}: strategies": table_value(rankings_rows(issued.record.rankings, document["weights"])),
            f"{scope}: allowed strategies": len(document["allowed_strategies"]),
            f"{scope}: version": issued.record.version,
        }
        failed = [f"{one.sink}: {one.error}" for one in issued.publications if one.error is not None]
        if failed:
            shown[f"{scope}: not published"] = "; ".join(failed)
    return shown


def _pictures(outcome: "Outcome[Issued]", database: DatabaseResource) -> dict[str, Any]:
    """Draw how the mode of each book went. What executors make of a policy that expired is not in it."""
    from meta_pipeline.report.pictures import modes_picture
    from meta_pipeline.store.policies import history

    shown = {}
    for scope in sorted(outcome.done)[:MAX_PICTURED]:
        with database.connect() as connection:
            newest_first = history(connection, scope, limit=MAX_POLICIES)
        states = [(one.created_at, "halted" if one.halted else str(one.risk_mode)) for one in reversed(newest_first)]
        picture = modes_picture(
            states, end=database.now(), title=f"{scope}: mode of the last {counted(len(states), 'policy', 'policies')}"
        )
        shown[f"{scope}: mode over time"] = picture_value(picture, says="risk mode over time, halted to aggressive")
    return shown
