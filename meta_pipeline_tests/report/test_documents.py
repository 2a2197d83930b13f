"""The report files: self-contained, reproducible, in order, and plain text wherever somebody else wrote it."""

import hashlib
import os
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from meta_pipeline.errors import ArtifactBroken, InputError
from meta_pipeline.proposals.drafting import draft
from meta_pipeline.report.drawings import Bar, intervals_drawing
from meta_pipeline.report.files import report_files
from meta_pipeline.report.html import coded, render, style_sheet
from meta_pipeline.report.proposal_report import ProposalReport, proposal_html
from meta_pipeline.report.svg import svg
from meta_pipeline.report.text import visible
from meta_pipeline_tests.report import documents
from meta_pipeline_tests.report.documents import HOSTILE
from meta_pipeline_tests.report.test_approval import RISKY, stored

ROOT = Path(__file__).parents[2]
MAX_BYTES = 1_000_000
TAGS = frozenset(
    {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "section", "span", "footer"),
        *("figure", "figcaption", "details", "summary", "div", "table", "thead", "tbody", "tr", "th", "td", "code"),
        *("svg", "g", "path", "defs", "use", "clippath", "rect", "text", "tspan"),
    }
)
ATTRIBUTES_THAT_LOAD = frozenset({"src", "action", "formaction", "background", "poster", "data", "srcset", "ping"})


class Seen(HTMLParser):
    """What a browser would make of a document: tags, attributes, and the text that a reader sees."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []
        self.feed(document.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@cache
def strategy() -> bytes:
    return documents.strategy_document()


@cache
def proposal() -> bytes:
    return documents.proposal_document()


@cache
def hostile() -> tuple[bytes, bytes]:
    return documents.hostile_strategy_document(), documents.proposal_document(" ".join(HOSTILE))


def headings(document: bytes) -> list[str]:
    found = re.findall(r'<span class="number">\d+</span>([^<]+)</h2>', document.decode("utf-8"))
    return [str(name) for name in found]


def test_the_approval_report_has_its_eight_parts_in_the_order_of_a_decision() -> None:
    whole = ["The change", "Effect", "Downside", "Checks", "Exact difference", "Track record", "Exit plan", "Who"]
    assert headings(proposal()) == whole
    assert headings(documents.proposal_document(whole=False)) == whole


def test_the_diagnostics_report_begins_with_the_data_and_ends_with_what_to_run_next() -> None:
    assert headings(strategy()) == [
        "Data health",
        "Performance",
        "Effect of each knob",
        "Knob by regime",
        "Incumbent against challenger",
        "Overfitting",
        "Stability over time",
        "Reliability of past proposals",
        "Redundant and aliased knobs",
        "Underperformers",
        "Why no proposal",
        "What to run next",
    ]


def test_what_is_not_known_says_so_and_why() -> None:
    text = " ".join(Seen(documents.strategy_document(whole=False)).text)
    assert "Not known: no day carries a regime label." in text
    assert "Not known: the return series were not at hand." in text
    assert "Not known yet: no proposal has been applied and judged." in text
    assert "None yet: no proposal of the type" in " ".join(Seen(documents.proposal_document(whole=False)).text)


@pytest.mark.parametrize("make", [strategy, proposal])
def test_a_report_loads_nothing_runs_nothing_and_its_policy_says_so(make) -> None:  # type: ignore[no-untyped-def]
    document: bytes = make()
    seen = Seen(document)
    assert set(seen.tags) <= TAGS
    assert not [name for _, name, _ in seen.attributes if name in ATTRIBUTES_THAT_LOAD or name.startswith("on")]
    assert not [tag for tag, name, _ in seen.attributes if name == "style"]
    links = [value for _, name, value in seen.attributes if name in {"href", "xlink:href"}]
    assert all(value is not None and value.startswith("#") for value in links)
    policy = next(value for tag, name, value in seen.attributes if tag == "meta" and value and "default-src" in value)
    (style,) = re.findall(rb"<style>(.*?)</style>", document, re.DOTALL)
    expected = b64encode(hashlib.sha256(style).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{expected}'; base-uri 'none'; form-action 'none'"
    assert b"url(" not in style
    assert b"@import" not in style


@pytest.mark.parametrize("make", [strategy, proposal])
def test_every_chart_is_told_in_words_and_has_its_figures_in_a_table_under_it(make) -> None:  # type: ignore[no-untyped-def]
    text = make().decode("utf-8")
    figures = re.findall(r"<figure>(.*?)</figure>", text, re.DOTALL)
    assert len(figures) >= 4
    for figure in figures:
        assert re.search(r'<svg [^>]*role="img"[^>]*aria-label="[^"]{20,}"', figure) or 'aria-label="Interval' in figure
        assert re.search(r"<figcaption>[^<]{15,}</figcaption>", figure)
        assert "<table" in figure.partition("<details>")[2]
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_reports_are_small() -> None:
    assert max(len(strategy()), len(proposal())) < MAX_BYTES


def test_another_process_with_another_hash_seed_locale_and_time_zone_writes_the_same_bytes() -> None:
    other = {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "Asia/Kathmandu"}
    command = [sys.executable, "-m", "meta_pipeline_tests.report.documents"]
    done = subprocess.run(command, env={**os.environ, **other}, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == strategy() + proposal()


def test_hostile_text_is_text_in_every_name_and_reason() -> None:
    for document in hostile():
        seen = Seen(document)
        assert set(seen.tags) <= TAGS
        assert not [name for _, name, _ in seen.attributes if name.startswith("on") or name in {"src", "style"}]
        shown = "".join(seen.text)
        assert visible(" ".join(HOSTILE)) in shown
        assert "\u202e" not in document.decode("utf-8")
        assert "{{7*7}}" in shown
        assert "alert(1)" in shown


def test_what_changes_later_is_not_in_the_file_that_the_digest_names() -> None:
    made = stored(draft(RISKY, strategy_id="S", base_version=1, evidence_digest="e" * 64))
    one = proposal_html(ProposalReport(record=made))
    assert made.body_digest.encode() not in one
    other = replace(made, body_digest="f" * 64, status_reason="x")
    assert proposal_html(ProposalReport(record=other)) == one


def test_a_report_file_is_named_by_its_sha256_and_another_content_is_noticed(tmp_path: Path) -> None:
    files = report_files(tmp_path)
    name = files.put(proposal())
    assert name == hashlib.sha256(proposal()).hexdigest()
    assert files.put(proposal()) == name
    assert files.get(name) == proposal()
    path = tmp_path / "reports" / f"{name}.html"
    path.write_bytes(proposal() + b" ")
    with pytest.raises(ArtifactBroken, match="was changed or cut"):
        files.get(name)
    with pytest.raises(InputError, match="not the sha256"):
        files.get("../" + name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("with `meta-pipeline revert`, at once", "with <code>meta-pipeline revert</code>, at once"),
        ("`<b>`<i>", "<code>&lt;b&gt;</code>&lt;i&gt;"),
        ("5 ` and <b>", "5 ` and &lt;b&gt;"),
        ("\u202e", "\\u202e"),
    ],
)
def test_what_stands_between_backticks_is_code_and_text_all_the_same(text: str, expected: str) -> None:
    assert str(coded(text)) == expected


def test_a_template_that_is_not_given_what_it_needs_fails_instead_of_leaving_it_out() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("report.html", title="t", style=style_sheet(), style_hash="", parts=(), footer=())


def test_a_chart_needs_a_name_that_can_stand_in_an_id() -> None:
    drawing = intervals_drawing([Bar(label="a", value=1.0)], title="t", axis="x")
    with pytest.raises(ValueError, match="is no name of a chart"):
        svg(drawing, name='x" onload="', says="s")
