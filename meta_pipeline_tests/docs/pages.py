"""The documents of the project as tests read them: pages, fenced blocks, links, and the commands in them.

A block may be preceded by a comment that says how it is checked, where that is not by running it:

<!-- checked: parsed only, REASON -->               its commands are held against the command line's own parser
<!-- checked: all but `WORDS`, REASON -->           the same for the commands that begin with these words
<!-- checked: run by meta_pipeline_tests/..., -->   another test reads this page and runs the block
<!-- checked: run -->                               a block of Python that is run, not only compiled
<!-- file: NAME -->                                 its text is a file that the commands after it read
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# Written from the commands themselves; meta_pipeline_tests/cli/test_main.py holds it against them.
GENERATED: Final = {"docs/cli.md"}
SHELLS: Final = {"sh", "bash", "console"}
PROGRAMS: Final = ("meta-pipeline ", "make ", "dagster ", "dg ", "pip ", "curl ", "source ")
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- checked: ((?:(?!-->).)+?) -->\s*\Z", re.DOTALL)
_FILE = re.compile(r"<!-- file: ([\w.-]+) -->\s*\Z")
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_LINK = re.compile(r"(?<!\\)(!?)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    checked: str
    file: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def parsed_only(self) -> bool:
        return self.checked.startswith("parsed only, ")

    @property
    def run_elsewhere(self) -> str:
        """The test that runs it; empty if none is named."""
        found = re.match(r"run by (meta_pipeline_tests/[\w/.]+)", self.checked)
        return found[1] if found else ""

    def only_parses(self, command: str) -> bool:
        """Tell whether a command of this block is one that is not run."""
        words = re.findall(r"`([^`]+)`", self.checked) if self.checked.startswith("all but ") else []
        return self.parsed_only or any(f"{command} ".removeprefix("meta-pipeline ").startswith(w) for w in words)

    def commands(self) -> Iterator[str]:
        """Give the command lines, continued ones joined, without what a console answered."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        for line in joined.splitlines():
            if self.language not in SHELLS:
                if not self.language and line.startswith(PROGRAMS):
                    yield line
                continue
            if self.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]  # noqa: PLW2901 -- the prompt is no part of the command
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


def pages() -> list[str]:
    """Return the paths of all documents, from the root of the project."""
    return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    text = text_of(page)
    made = []
    for fence in _FENCE.finditer(text):
        marker, file = (found.search(text[: fence.start()]) for found in (_MARKER, _FILE))
        made.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start()) + 1,
                language=fence[1],
                text=fence[2],
                checked=" ".join(marker[1].split()) if marker else "",
                file=file[1] if file else "",
            )
        )
    return made


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def inline_commands(page: str) -> list[str]:
    """Return what stands in single backquotes and begins with `meta-pipeline` and a command."""
    named = (" ".join(code.split()) for code in _INLINE.findall(prose(page)))
    return [code for code in named if code.startswith("meta-pipeline ")]


def links(page: str) -> list[tuple[bool, str]]:
    """Return (is it an image, its target) of each link of a page, code left out."""
    bare = _INLINE.sub("", prose(page))
    return [(bool(image), target) for image, target in _LINK.findall(bare)]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as the forges make them."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = found.get(slug, 0)
        found[slug] = number + 1
        names.add(f"{slug}-{number}" if number else slug)
    return names


def words(command: str) -> list[str]:
    """Split a command as a shell does, comments left out."""
    return shlex.split(command, comments=True)
