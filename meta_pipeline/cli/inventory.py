"""`meta-pipeline inventory`: every strategy with its owner, knobs, limits and last change."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meta_pipeline.cli import common
from meta_pipeline.errors import InputError
from meta_pipeline.report.spreadsheet import safe_cell

if TYPE_CHECKING:
    from meta_pipeline.store.inventory import InventoryLine

app = typer.Typer(no_args_is_help=True, help="Every strategy with its owner, knobs, limits and last change.")


@app.callback()
def _group() -> None:
    """Every strategy with its owner, knobs, limits and last change."""


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; left out: standard output.")] = None,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="csv, or json.")] = "csv",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write the inventory. In CSV no cell is taken for a formula, whatever a strategy is called."""
    from meta_pipeline.store.inventory import inventory

    with common.open_database() as database, database.connect() as connection:
        lines = inventory(connection, common.settings())
    text = _as_json(lines) if as_json or form == "json" else as_csv(lines)
    if file is None:
        sys.stdout.write(text)
        return
    try:
        with file.open("x", encoding="utf-8", newline="") as opened:
            opened.write(text)
    except FileExistsError:
        raise InputError(f"{file} is there already; choose another name") from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from error


def as_csv(lines: "list[InventoryLine]") -> str:
    """Write the inventory as CSV (RFC 4180), one strategy per row; lists and knobs are JSON in their cells."""
    written = [line.to_json() for line in lines]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    columns = list(written[0]) if written else ["strategy_id"]
    writer.writerow(columns)
    for line in written:
        writer.writerow([safe_cell(line[column]) for column in columns])
    return out.getvalue()


def _as_json(lines: "list[InventoryLine]") -> str:
    document = common.document({"strategies": [line.to_json() for line in lines]})
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
