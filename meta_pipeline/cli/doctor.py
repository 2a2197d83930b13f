"""`meta-pipeline doctor`: what is wrong with this installation, and what mends it."""

from typing import TYPE_CHECKING

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.errors import Unhealthy

if TYPE_CHECKING:
    from rich.console import Console


def doctor(as_json: AsJson = False) -> None:
    """Look at database, migrations, clock, audit log, schedules, approvers, disk and permissions.

    Exit code 7 if anything FAILs. Nothing is changed.
    """
    from meta_pipeline.store.doctor import examine, worst

    found = examine(common.settings(), clock=common.now)
    level = worst(found)

    def human(console: "Console") -> None:
        from meta_pipeline.report.table import Column, Table

        table = Table(
            title="Doctor",
            columns=(
                Column(key="what", header="What"),
                Column(key="level", header="Level"),
                Column(key="text", header="Found"),
                Column(key="mend", header="What mends it"),
            ),
            rows=tuple(
                {"what": one.what, "level": one.level, "text": one.text, "mend": one.mend or "-"} for one in found
            ),
        )
        console.print(table.rich())

    payload: JsonValue = {"level": level, "diagnoses": [one.to_json() for one in found]}
    common.emit(payload, as_json=as_json, human=human)
    if level == "FAIL":
        raise typer.Exit(Unhealthy.exit_code)
