"""Templates -> HTML: the one renderer behind the report files and the web pages.

Belongs here: how a text becomes HTML. Every text that a template writes is escaped, and made of characters that can
be seen, without the template asking for it. Does not belong here: what a page says.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meta_pipeline.report.drawings import Drawing
from meta_pipeline.report.svg import svg
from meta_pipeline.report.table import Table
from meta_pipeline.report.text import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES: Final = Path(__file__).parent / "templates"

_TONES: Final = {
    "good": (
        *("APPLIED", "KEPT", "APPROVED", "KEEP", "passed", "reduces", "reduces risk", "yes", "A", "champion"),
        *("finished", "healthy", "active", "allowed", "winner", "in force"),
        *("good", "excellent", "ok", "bullish", "intact", "held", "passes", "reporting"),
    ),
    "bad": (
        *("FAILED", "FAILS", "REJECTED", "REVERTED", "REVERT", "raises", "raises risk", "D", "no", "critical"),
        *("BREACHED", "HALTED", "halted", "refused", "bearish", "alarm", "silent", "expired"),
    ),
    "warn": (
        *("STALE", "EXPIRED", "SUPERSEDED", "INCONCLUSIVE", "INSUFFICIENT_DATA", "unknown", "C", "warning"),
        *("degraded", "DEFENSIVE", "no winner", "not known", "running", "flat", "frozen"),
    ),
    "info": ("PENDING", "NORMAL", "AGGRESSIVE", "B", "candidate", "neutral", "neutral to risk"),
}
_TONE_OF: Final = {word: tone for tone, words in _TONES.items() for word in words}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing on a page, with what it shows in words, and the table of its figures under it."""

    title: str
    says: str
    svg: "Markup"
    table: Table


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a document: a heading, sentences, charts and tables.

    Parameters
    ----------
    anchor
        Its address on the page: lower case letters and hyphens.
    lead
        Whether the first sentence is what the page is about.
    """

    heading: str
    anchor: str
    sentences: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    lead: bool = False


def chart(drawing: Drawing, *, name: str, title: str, says: str, table: Table) -> Chart:
    """Make a chart of a drawing; `name` is its own on its page."""
    from markupsafe import Markup

    drawn = svg(drawing, name=name, says=visible(says))
    return Chart(title=title, says=says, svg=Markup(drawn), table=table)  # noqa: S704  # our own SVG, texts escaped


def render(template: str, **values: Any) -> str:
    """Return a template filled in; a name that it needs and does not get is an error."""
    return _environment().get_template(template).render(**values)


def document(*, title: str, subtitle: str, parts: Sequence[Part], footer: Sequence[str] = ()) -> bytes:
    """Return a self-contained document: no script, nothing loaded, and a policy that forbids both."""
    from markupsafe import Markup

    style = style_sheet()
    written = render(
        "report.html",
        title=title,
        subtitle=subtitle,
        parts=parts,
        footer=footer,
        style=Markup(style),  # noqa: S704  # our own file
        style_hash=Markup(style_source(style.encode())),  # noqa: S704  # a hash
    )
    return written.encode("utf-8")


def style_source(style: bytes) -> str:
    """Return how a content security policy names a style sheet: by its hash, without the quotes."""
    return "sha256-" + b64encode(hashlib.sha256(style).digest()).decode()


@cache
def style_sheet() -> str:
    """Return the style sheet of pages and reports."""
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def tone(text: str) -> str:
    """Return how a status is coloured: "good", "bad", "warn", "info", or "" for none. Its text says it, too."""
    return _TONE_OF.get(text, "")


def coded(text: str) -> "Markup":
    """Return a sentence, escaped, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    pieces = visible(text).split("`")
    if len(pieces) % 2 == 0:  # one of them has no partner
        return escape("`".join(pieces))
    return Markup().join(Markup("<code>{}</code>").format(one) if i % 2 else one for i, one in enumerate(pieces))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        auto_reload=False,
    )
    environment.globals["tone"] = tone
    environment.filters["coded"] = coded
    return environment


def _seen(value: Any) -> Any:
    from markupsafe import Markup

    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
