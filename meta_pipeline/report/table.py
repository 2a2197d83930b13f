"""A table as data, and its two renderings: Markdown and rich.

Belongs here: how a cell is written and escaped. Does not belong here: what is in a table (tables, approval).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from meta_pipeline.report.text import markdown, visible

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

Cell: TypeAlias = "str | int | float | bool | None"

MISSING: Final = "n/a"
"""How a figure that is not known is shown. It is never a zero, and never an empty cell."""


class Kind(StrEnum):
    """How the cells of a column are written."""

    TEXT = "text"
    COUNT = "count"
    NUMBER = "number"
    SIGNED = "signed"
    PERCENT = "percent"
    SIGNED_PERCENT = "signed_percent"
    PROBABILITY = "probability"


WHOLE: Final = 24
"""Characters up to which a cell is never broken over lines in a terminal."""

NARROW: Final = 44
"""Characters that stand beside each other on a telephone."""

_FORMATS: Final[Mapping[Kind, Callable[[float], str]]] = {
    Kind.COUNT: lambda value: f"{value:,.0f}",
    Kind.NUMBER: lambda value: f"{value:z.2f}",
    Kind.SIGNED: lambda value: f"{value:+z.2f}",
    Kind.PERCENT: lambda value: f"{100 * value:z.1f} %",
    Kind.SIGNED_PERCENT: lambda value: f"{100 * value:+z.1f} %",
    Kind.PROBABILITY: lambda value: f"{value:z.2f}",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: the key of its cells in each row, its header, and how cells are written.

    Parameters
    ----------
    under
        Key of a column beside which a terminal has no room for this one: its text then stands under that
        column's, dimmed. Markdown shows it as a column of its own.
    """

    key: str
    header: str
    kind: Kind = Kind.TEXT
    under: str | None = None

    def text(self, cell: Cell) -> str:
        """Write one cell, visibly and on one line; None, NaN and the infinities are `MISSING`."""
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            return MISSING
        if self.kind is Kind.TEXT or isinstance(cell, bool | str):
            return visible(str(cell))
        return _FORMATS[self.kind](float(cell))

    @property
    def is_number(self) -> bool:
        """Whether cells stand to the right."""
        return self.kind is not Kind.TEXT


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain values under typed columns.

    Parameters
    ----------
    title
        What the table shows.
    columns
        In the order shown. A row may hold more keys than there are columns.
    rows
        Values as they are, so that a program can read them; `Column.text` writes them.
    note
        A sentence under the table, for instance how many rows are not shown.
    empty
        The sentence shown instead of a table without rows.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]
    note: str = ""
    empty: str = "None."

    def cells(self) -> list[list[str]]:
        """Return the written cells, row by row."""
        return [[column.text(row[column.key]) for column in self.columns] for row in self.rows]

    @property
    def is_read_by_row(self) -> bool:
        """Whether a telephone shows each row as a card: too wide for it, and of words more than of figures.

        A wide table of figures is compared down its columns; it is moved sideways beside its first one.
        """
        longest = [max(map(len, column), default=0) for column in zip(*self.cells(), strict=True)]
        widths = [max(len(column.header), n) for column, n in zip(self.columns, longest, strict=False)]
        words = sum(not column.is_number for column in self.columns[1:])
        in_words = max(longest[1:], default=0) > WHOLE or 2 * words > len(self.columns) - 1
        return in_words and sum(widths) + 2 * len(widths) > NARROW

    def first(self, n_rows: int) -> "Table":
        """Return the table cut to its first rows, with a note that says how many are left out."""
        hidden = len(self.rows) - n_rows
        if hidden <= 0:
            return self
        note = f"{self.note} {hidden:,} more not shown.".strip()
        return Table(title=self.title, columns=self.columns, rows=self.rows[:n_rows], note=note, empty=self.empty)

    def markdown(self, *, heading: int = 0) -> str:
        """Return the table in GitHub's Markdown.

        Parameters
        ----------
        heading
            Level of the heading with the title, 1 to 6; 0 leaves it out.
        """
        lines = [f"{'#' * heading} {markdown(self.title)}", ""] if heading else []
        if not self.rows:
            return "\n".join([*lines, markdown(self.empty)])
        lines.append("| " + " | ".join(markdown(column.header) for column in self.columns) + " |")
        lines.append("| " + " | ".join("---:" if column.is_number else "---" for column in self.columns) + " |")
        lines += ["| " + " | ".join(markdown(cell) for cell in cells) + " |" for cells in self.cells()]
        if self.note:
            lines += ["", markdown(self.note)]
        return "\n".join(lines)

    def rich(self) -> "Group":
        """Return title, table and note for a terminal. Cells are literal: markup in them stays text."""
        from rich.console import Group
        from rich.text import Text

        return Group(Text(visible(self.title), style="bold"), self.body())

    def body(self) -> "Group":
        """Return the table and its note for a terminal, without the title."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        if not self.rows:
            return Group(Text(visible(self.empty)))
        shown = RichTable(box=SIMPLE_HEAD)
        beside = [column for column in self.columns if column.under is None]
        for column in beside:
            longest = max(len(column.text(row[column.key])) for row in self.rows)
            shown.add_column(
                Text(visible(column.header)),
                justify="right" if column.is_number else "left",
                overflow="fold",
                # Names and figures stay whole; sentences share what is left of the line.
                no_wrap=longest <= WHOLE,
            )
        for row in self.rows:
            shown.add_row(*(self._cell(column, row) for column in beside))
        return Group(shown, *([Text(visible(self.note), style="dim")] if self.note else []))

    def _cell(self, column: Column, row: Mapping[str, Cell]) -> "Text":
        from rich.text import Text

        cell = Text(column.text(row[column.key]))
        for other in self.columns:
            if other.under == column.key:
                cell.append(f"\n{other.text(row[other.key])}", style="dim")
        return cell


def day(moment: datetime | date | None) -> str | None:
    """Write a time as a person reads it, to the minute and in its own zone; None stays None."""
    if moment is None:
        return None
    if isinstance(moment, datetime):
        return moment.strftime("%Y-%m-%d %H:%M %Z").strip()
    return moment.isoformat()


def interval(lower: float | None, upper: float | None) -> str | None:
    """Write an interval as "[-0.05, +0.31]"; None if either end is not known."""
    return None if lower is None or upper is None else f"[{lower:+z.2f}, {upper:+z.2f}]"
