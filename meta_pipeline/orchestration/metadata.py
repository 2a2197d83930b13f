"""Tables and pictures of `report`, as Dagster's metadata. Thin: figures and words come from elsewhere."""

from base64 import b64encode
from typing import TYPE_CHECKING, Final

import dagster as dg

if TYPE_CHECKING:
    from meta_pipeline.report.table import Table

MAX_ROWS: Final = 40
"""Rows of a table that the UI still shows readably; the whole is in the database and on the command line."""

MAX_PICTURE: Final = 64 * 1024


def table_value(table: "Table", *, max_rows: int = MAX_ROWS) -> dg.MarkdownMetadataValue:
    """Return a table as Markdown, cut to its first rows with a note that says so."""
    return dg.MetadataValue.md(table.first(max_rows).markdown())


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


def commands_value(*commands: str) -> dg.MarkdownMetadataValue:
    """Return commands to copy."""
    return dg.MetadataValue.md("```\n" + "\n".join(commands) + "\n```")
