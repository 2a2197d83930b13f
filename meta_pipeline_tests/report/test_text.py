import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

from meta_pipeline.report.text import markdown, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "</svg><script>",
    "{{7*7}} ${7*7} $x^2$",
    "=cmd()",
    "a|b\\|c\\\\|d",
    "`code` ``x`` ```",
    "**bold** _it_ ~~gone~~ # head",
    "![x](http://evil.example/p.png) [go](javascript:alert(1))",
    "http://evil.example www.evil.example someone@evil.example <http://evil.example>",
    "0.5 \u202e52.0",
    "zero\u200bwidth\u2060join\ufeff",
    "line\nnext\r\nrow\t|",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07",
    "[red]not red[/red] [link=http://evil.example]x[/link]",
    "&lt;script&gt; &#60;b&#62; &nbsp;",
    " two  spaces ",
    "- item\n1. item\n> quote\n---\n",
    "\x00\x7f\x85\u2028\u2029",
    "",
]
any_text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=40),
    st.text(alphabet="\\`*_{}[]()#+-.!|<>&~$:=@/w hp\n\x1b\u202e", max_size=40),
)


def shown_by_markdown(source: str) -> tuple[str, set[str]]:
    """Return the text a reader sees, and the kinds of tokens a parser with HTML and tables makes of it."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    text, kinds = "", set()
    for token in parser.parse(f"| head |\n| --- |\n| x{source}x |"):
        kinds |= {token.type} if token.type in {"html_block", "fence", "heading_open"} else set()
        if token.type == "inline" and token.content != "head":
            for child in token.children or ():
                kinds.add(child.type)
                text += child.content
    return text[1:-1].replace("\u00a0", " ").replace("\u2060", ""), kinds


@given(any_text)
def test_visible_text_holds_no_character_that_is_not_seen(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown


@given(any_text)
def test_markdown_shows_any_text_as_text_in_a_table_cell(text: str) -> None:
    shown, kinds = shown_by_markdown(markdown(text))
    assert shown == visible(text)
    assert kinds <= {"text", "text_special"}


@pytest.mark.parametrize("text", ["http://evil.example", "https://evil.example", "WWW.evil.example", "a@evil.example"])
def test_addresses_are_shown_but_cannot_become_links(text: str) -> None:
    shown = markdown(text).replace("\\", "").lower()
    assert text.lower() not in shown
    assert "&#8288;" in shown


def test_numbers_can_be_copied_from_markdown_without_a_hidden_character() -> None:
    assert "&#8288;" not in markdown("0.25 at 12:30")


@given(any_text)
def test_a_terminal_gets_the_text_and_no_escape_sequence(text: str) -> None:
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor", width=400).print(Text(visible(text)))
    assert "\x1b" not in out.getvalue()
    assert "".join(out.getvalue().split()) == "".join(visible(text).split())


def test_what_is_legible_is_left_alone() -> None:
    assert visible("Größe 日本 0.25 → 0.30 'x' \\d") == "Größe 日本 0.25 → 0.30 'x' \\d"
    assert visible("a\u202eb\x1bc\nd") == "a\\u202eb\\x1bc\\nd"
