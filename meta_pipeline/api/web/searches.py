"""Searches: how far each is, its best configurations, and the gates of its verdict."""

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.web.grid import Cell, Grid, figure, moment
from meta_pipeline.api.web.pages import PageRoute, link, show
from meta_pipeline.api.web.tables import facts
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.report.search import gates_table
from meta_pipeline.report.table import Column, Kind, Table, day
from meta_pipeline.store import search
from meta_pipeline.store.search import StoredSearch

router = APIRouter(route_class=PageRoute, include_in_schema=False)

TOP: Final = 20
_KINDS: Final = {"sharpe_ratio": Kind.NUMBER, "profit_factor": Kind.NUMBER, "max_drawdown": Kind.PERCENT}


@router.get("/pages/searches")
async def list_searches(context: Ctx, visitor: Visits) -> Response:
    """List searches, the newest first."""

    def read() -> Grid:
        with context.database.connect() as connection:
            found = search.list_searches(connection)
        return Grid(
            name="Searches",
            headers=("Search", "State", "Evaluations", "Failures", "Best value", "Verdict", "Started", "Last written"),
            rows=tuple(_row(one) for one in found),
            empty="None yet: meta-pipeline search run",
        )

    return show("searches.html", title="Search", place="searches", visitor=visitor, grid=await in_thread(read))


@router.get("/pages/search")
async def one_search(
    context: Ctx, visitor: Visits, name: Annotated[str, Query(min_length=1, max_length=128)]
) -> Response:
    """Show one search: its best configurations, and why they are or are not a winner."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            found = search.get(connection, name)
            best = search.top(connection, name, limit=TOP)
        return {
            "found": found,
            "verdict": verdict_of(found),
            "summary": str((found.verdict or {}).get("summary", "")),
            "gates": None if not found.verdict else gates_table({"gates": [], **found.verdict}),
            "known": facts(_facts(found)),
            "top": _top_table(best),
        }

    values = await in_thread(read)
    return show("search.html", title=f"Search {name}", place="searches", visitor=visitor, **values)


def verdict_of(found: StoredSearch) -> str:
    """Say in a word what the gates decided."""
    if not found.verdict:
        return "not judged"
    return "winner" if found.verdict.get("winner") is True else "no winner"


def _row(found: StoredSearch) -> tuple[Cell, ...]:
    done = _progress(found)
    return (
        Cell(text=found.search_name, href=link("search", name=found.search_name)),
        Cell(text=found.status, chip=True),
        Cell(text=f"{done.get('evaluations', '?')} of {done.get('evaluations_planned', '?')}"),
        figure(done.get("failures"), ",.0f"),
        figure(done.get("best_value"), "z.3f"),
        Cell(text=verdict_of(found), chip=True),
        moment(found.started_at),
        moment(found.updated_at),
    )


def _progress(found: StoredSearch) -> dict[str, Any]:
    progress = found.summary.get("progress", found.summary)
    return dict(progress) if isinstance(progress, dict) else {}


def _facts(found: StoredSearch) -> list[tuple[str, str | None]]:
    plain = {key: value for key, value in _progress(found).items() if isinstance(value, str | int | float | bool)}
    reason = plain.pop("reason", None) or found.summary.get("reason")
    for key in ("evaluations", "units"):
        if f"{key}_planned" in plain:
            plain[key] = f"{_plain(plain.get(key, 0))} of {_plain(plain.pop(f'{key}_planned'))} planned"
    shown = [(name, _plain(plain.pop(key))) for key, name in _FACTS.items() if key in plain]
    shown += [(key.replace("_", " "), _plain(value)) for key, value in plain.items()]
    return [
        ("started", day(found.started_at)),
        ("last written", day(found.updated_at)),
        ("digest", found.digest),
        *shown,
        *([("no candidate", str(reason))] if reason else []),
    ]


_FACTS: Final = {
    "finished": "finished",
    "configurations": "configurations",
    "evaluations": "evaluations",
    "units": "units of the resource",
    "failures": "failures",
    "best_value": "best value",
    "live_value": "value of what is live",
    "cpu_seconds": "processor time, s",
}
"""Figure of a search -> what it is called, in the order shown; others follow under their own names."""


def _plain(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _top_table(rows: list[dict[str, Any]]) -> Table:
    known = [name for name in _KINDS if any(name in row["metrics"] for row in rows)]
    return Table(
        title="Best configurations",
        columns=(
            Column(key="rank", header="Rank", kind=Kind.COUNT),
            Column(key="slot", header="Slot"),
            Column(key="value", header="Value", kind=Kind.NUMBER),
            *(Column(key=name, header=name.replace("_", " ").capitalize(), kind=_KINDS[name]) for name in known),
            Column(key="feasible", header="Viable"),
            Column(key="config", header="Configuration"),
        ),
        rows=tuple(
            {
                "rank": row["rank"],
                "slot": row["slot"],
                "value": row["value"],
                **{name: row["metrics"].get(name) for name in known},
                "feasible": "yes" if row["feasible"] else "no",
                "config": ", ".join(
                    f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in sorted(row["config"].items())
                ),
            }
            for row in rows
        ),
        empty="None has had the whole resource yet.",
    )
