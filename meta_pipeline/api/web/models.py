"""The meta-model: which one decides, its alarm, and the gate of each trained model."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.web.grid import Cell, Grid, moment
from meta_pipeline.api.web.pages import PageRoute, link, show
from meta_pipeline.api.web.tables import facts
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.counted import counted
from meta_pipeline.report.meta_model import failed_checks
from meta_pipeline.report.table import Column, Kind, Table, day
from meta_pipeline.store import meta_model
from meta_pipeline.store.meta_model import StoredAlarm, StoredVersion

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_ALARM: Final = {
    "n": "outcomes watched",
    "statistic": "statistic now",
    "largest": "statistic at its largest",
    "limit": "alarm above",
    "raised_at": "raised by the outcome of number",
}


@router.get("/pages/models")
async def models(context: Ctx, visitor: Visits) -> Response:
    """Show the champion, its alarm, and the latest trained models."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            champion = meta_model.champion(connection)
            alarm = None if champion is None else meta_model.open_alarm(connection, champion.model_id)
            predictions, outcomes = meta_model.count_inputs(connection)
            versions = meta_model.versions(connection)
        return {
            "champion": champion,
            "tiles": [
                (champion.model_id[:12] if champion else "none", "decides: the champion"),
                ("open" if alarm else "none", "alarm"),
                (f"{predictions:,}", "predictions on record"),
                (f"{outcomes:,}", "outcomes on record"),
            ],
            "alarm": None if alarm is None else facts(_alarm(alarm)),
            "grid": _grid(versions),
        }

    values = await in_thread(read)
    return show("models.html", title="Meta-model", place="models", visitor=visitor, **values)


@router.get("/pages/models/{model_id}")
async def one_model(
    context: Ctx, visitor: Visits, model_id: Annotated[str, Path(min_length=4, max_length=64)]
) -> Response:
    """Show one trained model and every check of its gate."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            found = meta_model.version(connection, model_id)
        return {"found": found, "known": facts(_facts(found)), "checks": _checks_table(found.verdict)}

    values = await in_thread(read)
    return show("model.html", title=f"Meta-model {model_id[:12]}", place="models", visitor=visitor, **values)


def _grid(versions: list[StoredVersion]) -> Grid:
    return Grid(
        name="Trained models",
        headers=("Model", "Horizon", "Status", "Data", "Decisions", "Checks failed", "Trained"),
        rows=tuple(
            (
                Cell(text=one.model_id[:12], href=link(f"models/{one.model_id}"), code=True),
                Cell(text=one.horizon or "-"),
                Cell(text=one.status, chip=True),
                Cell(text=one.data_kind),
                Cell(text=f"{one.n_samples:,}", number=True),
                Cell(text=", ".join(name.replace("_", " ") for name in failed_checks(one.verdict)) or "none"),
                moment(one.created_at),
            )
            for one in versions
        ),
        empty="No meta-model was trained yet: meta-pipeline model train",
    )


def _facts(found: StoredVersion) -> list[tuple[str, str | None]]:
    retired = f"{day(found.retired_at)} by {found.retired_by}: {found.retired_reason}" if found.retired_at else "no"
    return [
        ("address", found.model_id),
        ("horizon", found.horizon or "none is named"),
        ("data", f"{found.data_kind}, {counted(found.n_samples, 'decision')}"),
        ("compared with", found.compared_with or "no champion"),
        ("trained", day(found.created_at)),
        ("promoted", day(found.promoted_at) or "never"),
        ("retired", retired),
    ]


def _alarm(alarm: StoredAlarm) -> list[tuple[str, str | None]]:
    said = [("open since", day(alarm.raised_at))]
    for key, value in alarm.report.items():
        if key == "raised":  # an alarm was
            continue
        said.append(
            (_ALARM.get(key, key.replace("_", " ")), f"{value:,.4g}" if isinstance(value, float) else str(value))
        )
    return said


def _checks_table(verdict: Mapping[str, Any]) -> Table:
    checks = verdict.get("checks", ())
    return Table(
        title="Promotion gate",
        columns=(
            Column(key="name", header="Check"),
            Column(key="passed", header="Passed"),
            Column(key="measured", header="Measured", kind=Kind.NUMBER),
            Column(key="needed", header="Needed", kind=Kind.NUMBER),
            Column(key="said", header="What was found"),
        ),
        rows=tuple(
            {
                "name": str(one["name"]).replace("_", " "),
                "passed": "yes" if one["passed"] else "no",
                "measured": one.get("measured"),
                "needed": one.get("needed"),
                "said": str(one.get("sentence") or "-"),
            }
            for one in checks
        ),
        empty="No check is on record.",
    )
