"""Tables and pictures of `report`, as Dagster's metadata. Thin: figures and words come from elsewhere."""

from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import dagster as dg

if TYPE_CHECKING:
    from meta_pipeline.report.table import Table
    from meta_pipeline.settings import Settings

MAX_ROWS: Final = 40
"""Rows of a table that the UI still shows readably; the whole is in the database and on the command line."""

MAX_PICTURE: Final = 64 * 1024


def table_value(
    table: "Table", *, max_rows: int = MAX_ROWS, only: Collection[str] | None = None
) -> dg.MetadataValue[Any]:
    """Return a table that the UI draws in place, cut to its first rows with a note that says so.

    Cells are texts as `report` writes them. (The UI folds Markdown of more than a thousand characters behind a
    click, so a table is no Markdown.)

    Parameters
    ----------
    only
        Keys of the columns to keep; None: all. A table that is wider than the page is cut off by the UI.
    """
    shown = table.first(max_rows)
    if only is not None:
        shown = replace(shown, columns=tuple(column for column in shown.columns if column.key in only))
    if not shown.rows:
        return dg.MetadataValue.text(shown.empty)
    names = [column.header for column in shown.columns]
    records = [dg.TableRecord(dict(zip(names, cells, strict=True))) for cells in shown.cells()]
    if shown.note:
        records.append(dg.TableRecord({name: shown.note if name == names[0] else "" for name in names}))
    return dg.MetadataValue.table(records)


def picture_value(png: bytes, *, says: str) -> dg.MarkdownMetadataValue:
    """Return a picture inside the metadata itself, so that nothing has to be served or kept beside it.

    Parameters
    ----------
    png
        A PNG of at most `MAX_PICTURE` bytes.
    says
        What it shows, for those who cannot see it.

    Raises
    ------
    ValueError
        If the picture is larger: the event log keeps it for ever.
    """
    if len(png) > MAX_PICTURE:
        raise ValueError(f"the picture has {len(png)} bytes; draw it in at most {MAX_PICTURE}")
    return dg.MetadataValue.md(f"![{says}](data:image/png;base64,{b64encode(png).decode()})")


def on_the_pages(settings: "Settings", links: Iterable[tuple[str, str]]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return metadata that leads to the web pages; none where their address is not set.

    Parameters
    ----------
    links
        What is to be seen, and the address of its page below `/pages/`, quoted. Links beyond `MAX_ROWS` are left out.
    """
    from meta_pipeline.report.text import markdown

    where = settings.pages_url.rstrip("/")
    lines = [f"- [{markdown(what)}]({where}/pages/{address})" for what, address in links][:MAX_ROWS]
    return {"on the pages": dg.MetadataValue.md("\n".join(lines))} if where and lines else {}


def strategy_pages(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what `on_the_pages` takes for strategies: each has a page with its report and its configuration."""
    return ((name, f"strategy?{urlencode({'id': name})}") for name in names)


def commands_value(*commands: str) -> dg.MarkdownMetadataValue:
    """Return commands to copy."""
    return dg.MetadataValue.md("```\n" + "\n".join(commands) + "\n```")
