import io
import math
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from rich.console import Console

from meta_pipeline.report.table import Cell, Column, Kind, Table, day, interval
from meta_pipeline.report.text import visible
from meta_pipeline_tests.report.test_text import any_text


def table(*cells: Cell, kind: Kind = Kind.TEXT, title: str = "Things", header: str = "Head") -> Table:
    columns = (Column(key="a", header=header, kind=kind), Column(key="b", header="Second"))
    return Table(title=title, columns=columns, rows=tuple({"a": cell, "b": "next"} for cell in cells))


def parsed(markdown: str) -> tuple[list[list[str]], set[str]]:
    """Return the rows a reader sees (header first), and the kinds of blocks and marks outside plain text."""
    rows: list[list[str]] = []
    kinds: set[str] = set()
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        kinds |= {child.type for child in token.children or ()}
        if token.type == "inline" and rows:
            text = "".join(child.content for child in token.children or ())
            rows[-1].append(text.replace("\u00a0", " ").replace("\u2060", ""))
        kinds |= {token.type} - {"inline"} - {f"{tag}_{end}" for tag in TABLE for end in ("open", "close")}
    return rows, kinds


TABLE = ("table", "thead", "tbody", "tr", "th", "td", "paragraph", "heading")


def terminal(shown: Table, *, width: int = 300) -> str:
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor", width=width).print(shown.rich())
    return out.getvalue()


@settings(max_examples=150)
@given(any_text, any_text, any_text)
def test_hostile_cells_headers_and_titles_are_text_in_markdown(cell: str, header: str, title: str) -> None:
    rows, kinds = parsed(table(cell, "plain", title=title, header=header).markdown(heading=3))
    assert rows == [[visible(header), "Second"], [visible(cell), "next"], ["plain", "next"]]
    assert kinds <= {"text", "text_special"}


@settings(max_examples=150)
@given(any_text, any_text)
def test_hostile_cells_and_titles_are_text_on_a_terminal(cell: str, title: str) -> None:
    out = terminal(table(cell, title=title))
    styling = ("\x1b[1m", "\x1b[2m", "\x1b[3m", "\x1b[0m", "\x1b[1;3m", "\x1b[2;3m")
    for code in styling:
        out = out.replace(code, "")
    assert out.replace("\n", "").isprintable()
    flat = "".join(out.split())
    assert "".join(visible(cell).split()) in flat
    assert "".join(visible(title).split()) in flat


def test_rich_markup_in_a_name_is_shown_and_not_obeyed() -> None:
    assert "[red]loss[/red]" in terminal(table("[red]loss[/red]"))


@pytest.mark.parametrize(
    ("kind", "cell", "shown"),
    [
        (Kind.COUNT, 12345, "12,345"),
        (Kind.NUMBER, 1.2345, "1.23"),
        (Kind.SIGNED, 0.5, "+0.50"),
        (Kind.SIGNED, -0.001, "+0.00"),
        (Kind.NUMBER, -0.001, "0.00"),
        (Kind.PERCENT, -0.2, "-20.0 %"),
        (Kind.SIGNED_PERCENT, 0.031, "+3.1 %"),
        (Kind.PROBABILITY, 0.714, "0.71"),
        (Kind.TEXT, True, "True"),
        (Kind.NUMBER, None, "n/a"),
        (Kind.SIGNED, math.nan, "n/a"),
        (Kind.SIGNED, math.inf, "n/a"),
        (Kind.SIGNED, "not identified", "not identified"),
    ],
)
def test_a_cell_is_written_by_the_kind_of_its_column(kind: Kind, cell: Cell, shown: str) -> None:
    assert table(cell, kind=kind).cells() == [[shown, "next"]]


def test_an_empty_table_says_so_on_both_surfaces() -> None:
    nothing = Table(title="Proposals", columns=(Column(key="a", header="A"),), rows=(), empty="No proposals.")
    assert nothing.markdown(heading=2) == "## Proposals\n\nNo proposals\\."
    assert "No proposals." in terminal(nothing)


def test_rows_that_are_cut_off_are_counted() -> None:
    cut = table("1", "2", "3").first(1)
    assert len(cut.rows) == 1
    assert "2 more not shown" in cut.markdown()
    assert "2 more not shown" in terminal(cut)
    assert table("1").first(1).note == ""


def test_a_long_cell_is_folded_and_not_cut_on_a_narrow_terminal() -> None:
    flat = "".join(terminal(table("z" * 200), width=40).split())
    assert flat.count("z") == 200


def test_what_is_read_row_by_row_is_told_from_figures_that_are_compared() -> None:
    said = "exempt, as it reduces risk, from what is in force"
    assert not table("x").is_read_by_row  # it fits
    columns = (*table().columns, *(Column(key=key, header=key * 12, kind=Kind.NUMBER) for key in "cdef"))
    figures: dict[str, Cell] = dict.fromkeys("cdef", 1.0)
    assert not Table(title="", columns=columns, rows=({"a": "knob", "b": "x", **figures},)).is_read_by_row
    assert Table(title="", columns=columns, rows=({"a": "knob", "b": said, **figures},)).is_read_by_row
    words = tuple(Column(key=key, header=key * 12) for key in "cdef")
    assert Table(title="", columns=words, rows=(figures,)).is_read_by_row


def test_times_and_intervals_are_written_for_people() -> None:
    assert day(datetime(2026, 11, 20, 9, 5, tzinfo=UTC)) == "2026-11-20 09:05 UTC"
    assert day(date(2026, 11, 20)) == "2026-11-20"
    assert day(None) is None
    assert interval(-0.05, 0.31) == "[-0.05, +0.31]"
    assert interval(None, 0.31) is None
