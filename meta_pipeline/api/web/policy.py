"""The policy of a book: the mode over time with the reasons for each change, health, scores, and executors."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.conditions import etag
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.pages import Cursor, number, page
from meta_pipeline.api.web.gauges import gauges
from meta_pipeline.api.web.grid import Cell, Grid, moment
from meta_pipeline.api.web.live import POLICY, Live, moment_text
from meta_pipeline.api.web.mode_chart import mode_chart
from meta_pipeline.api.web.pages import PageRoute, link, show, tile
from meta_pipeline.api.web.tables import facts, health_table, ranking_table
from meta_pipeline.api.web.visitor import Visitor, Visits
from meta_pipeline.counted import counted
from meta_pipeline.policy.evaluate import Halt
from meta_pipeline.report.policy import executors_table, limits_table, reasons_table
from meta_pipeline.report.table import day
from meta_pipeline.store import live_books, policies, policy_inputs, policy_views
from meta_pipeline.store.policies import PolicyRecord

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 15
CHARTED: Final = 400
"""Policies that the chart of the mode shows: at one per half hour, the last eight days."""


DONE: Final = {
    "halted": "Halted. Nothing new is traded from the next time executors read; exits and cancels go on.",
    "resumed": "Resumed. The mode stays DEFENSIVE until the calm has lasted.",
    "evaluated": "A policy was made just now.",
}
Scope = Annotated[str, Query(min_length=1, max_length=64)]


@router.get("/pages/policy")
async def policy(
    context: Ctx,
    visitor: Visits,
    scope: Scope = live_books.LIVE,
    cursor: Cursor = None,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the policy in force, and how it came about."""
    before = number(cursor)
    return await in_thread(lambda: shown(context, visitor, scope, before=before, said=DONE.get(done, "")))


def shown(
    context: Context,
    visitor: Visitor,
    scope: str,
    *,
    before: int | None = None,
    said: str = "",
    fault: str = "",
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Return the page of a book; `fault` and `typed` are of a form that was refused."""
    return show(
        "policy.html",
        title=f"Policy of {scope}",
        place="policy",
        visitor=visitor,
        http_status=status,
        policy=POLICY,
        said=said,
        fault=fault,
        typed=typed or {},
        **_read(context, scope, before),
    )


def _read(context: Context, scope: str, before: int | None) -> dict[str, Any]:
    now = context.now()
    with context.database.connect() as connection:
        status: dict[str, Any] = policy_views.status_json(connection, scope, context.settings, now=now)
        health: dict[str, Any] = policy_views.health_json(connection, scope, now=now)
        ranking: dict[str, Any] = policy_views.strategies_json(connection, scope, context.settings, now=now)
        record = policies.latest_policy(connection, scope)
        charted = policies.history(connection, scope, limit=CHARTED)
        changed = policies.mode_changes(connection, scope, limit=ROWS)
        listed = policies.history(connection, scope, limit=ROWS + 1, before_id=before)
        scopes = [one.scope for one in live_books.list_scopes(connection)]
        halt = policy_inputs.current_halt(connection, scope)
    rows, more = listed[:ROWS], len(listed) > ROWS
    following = page([], (rows[-1].id,) if more else None)["next_cursor"]
    return {
        "scope": scope,
        "there": scope in scopes,
        "scopes": [{"name": one, "href": link("policy", scope=one), "present": one == scope} for one in scopes],
        "status": status,
        "live": _live(status, health, scope, now=now),
        "problems": [*health["problems"], *health["publications_failing"]],
        "halt": halt,
        "halted_at": None if halt is None else day(halt.at),
        "etag": halt_etag(halt),
        "reasons": None if record is None else reasons_table(record.reasons),
        "limits": None if record is None else limits_table(record.body),
        "gauges": gauges(health["metrics"]),
        "health": health_table(health["metrics"]),
        "chart": mode_chart(charted, now=now) if charted else None,
        "changes": _changes_grid(_with_halts(charted, changed)),
        "ranking": ranking_table(ranking["rankings"]),
        "executors": executors_table(status["executors"]),
        "skew": facts(_skew(status["skew"]), title="How far executors are apart"),
        "history": _history_grid(rows),
        "older": None if following is None else link("policy", scope=scope, cursor=str(following)),
    }


@router.get("/pages/policy/live")
async def policy_live(
    context: Ctx, visitor: Visits, scope: Scope = live_books.LIVE, seen: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Return the figures of a policy page that is open, and whether its policy is the newest."""

    def read() -> Live:
        now = context.now()
        with context.database.connect() as connection:
            status: dict[str, Any] = policy_views.status_json(connection, scope, context.settings, now=now)
            health: dict[str, Any] = policy_views.health_json(connection, scope, now=now)
        return _live(status, health, scope, now=now, seen=seen)

    values = await in_thread(read)
    return show("live.html", title="Policy", place="policy", visitor=visitor, live=values)


def _live(
    status: dict[str, Any], health: dict[str, Any], scope: str, *, now: datetime, seen: str | None = None
) -> Live:
    counted = status["policy"]
    present = "none" if counted is None else f"{counted['version']}-{counted['epoch'][:8]}-{counted['expired']}"
    mark = present if seen is None else seen
    return Live(
        address=link("policy/live", scope=scope, seen=mark),
        page=link("policy", scope=scope),
        tiles=_tiles(status, health, now=now),
        as_of=moment_text(now),
        moved=mark != present,
    )


def halt_etag(halt: Halt | None) -> str:
    """Return what names a halt: who ends one says which one was looked at."""
    return "" if halt is None else etag(halt.at.isoformat(), halt.by, halt.reason)


def _tiles(status: dict[str, Any], health: dict[str, Any], *, now: datetime) -> list[tuple[str, ...]]:
    policy = status["policy"]
    running = len(status["executors"])
    if policy is None:
        return [("DEFENSIVE", "mode, for want of a policy"), tile(running, "executor", "executors")]
    ends = datetime.fromisoformat(policy["expires_at"])
    minutes = (ends - now).total_seconds() / 60
    left = f"{minutes:,.0f} min" if minutes > 0 else "expired"
    state = "halted" if policy["halted"] else policy["risk_mode"]
    return [
        (state, "only exits" if policy["halted"] else "mode that counts now"),
        (f"{policy['version']:,}", "version"),
        (left, f"until {day(ends)}"),
        tile(policy["active_strategies_count"], "strategy allowed", "strategies allowed"),
        (health["status"], "health"),
        tile(running, "executor reported within a week", "executors reported within a week"),
    ]


def _skew(skew: dict[str, Any]) -> list[tuple[str, str | None]]:
    behind = skew["most_behind"]
    return [
        ("executors known", f"{skew['executors']:,}, of which {skew['silent']:,} silent"),
        ("versions, of those reporting", _listed(skew["versions"])),
        ("most behind, of those reporting", None if behind is None else counted(behind, "version")),
        ("without the current epoch", f"{skew['without_current_epoch']:,}"),
        ("modes, of those reporting", _listed(skew["modes"])),
    ]


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values)) or "none"


def _why(record: PolicyRecord) -> str:
    return "; ".join(reason["text"] for reason in record.reasons) or "no reason is on record"


def _state(record: PolicyRecord) -> str:
    return "halted" if record.halted else str(record.risk_mode)


def _with_halts(charted: Sequence[PolicyRecord], changed: Sequence[PolicyRecord]) -> list[tuple[str, PolicyRecord]]:
    """Return what changed, the newest first, each with the state before it: halts and their ends, too.

    Before the policies that are charted only changes of the mode are known.
    """
    near = [(_state(before), one) for one, before in pairwise(charted) if _state(one) != _state(before)]
    oldest = charted[-1].id if charted else 0
    return [*near, *((str(one.previous_mode), one) for one in changed if one.id <= oldest)][:ROWS]


def _changes_grid(records: Sequence[tuple[str, PolicyRecord]]) -> Grid:
    return Grid(
        name="Changes of the mode",
        headers=("When", "From", "To", "Why", "Trigger", "By"),
        rows=tuple(
            (
                moment(one.created_at),
                Cell(text=before, chip=True),
                Cell(text=_state(one), chip=True),
                Cell(text=_why(one)),
                Cell(text=one.trigger),
                Cell(text=one.actor),
            )
            for before, one in records
        ),
        empty="The mode has never changed.",
    )


def _history_grid(records: Sequence[PolicyRecord]) -> Grid:
    return Grid(
        name="Policies",
        headers=("Version", "Made", "Mode", "Strategies", "Trigger", "By", "First reason"),
        rows=tuple(
            (
                Cell(text=f"{one.version:,}", number=True),
                moment(one.created_at),
                Cell(text=_state(one), chip=True),
                Cell(text=", ".join(one.allowed_strategies) or "none"),
                Cell(text=one.trigger),
                Cell(text=one.actor),
                Cell(text=one.reasons[0]["text"] if one.reasons else "-"),
            )
            for one in records
        ),
        empty="No policy was made yet.",
    )
