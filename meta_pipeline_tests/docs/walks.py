"""Walks through the documents: the commands of pages, run in their order, on one database and in one folder."""

import io
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Answer, Shell
from meta_pipeline_tests.docs.command_line import complaint
from meta_pipeline_tests.docs.pages import ROOT, SHELLS, Block, blocks, words

NEWEST_PROPOSAL = """
SELECT proposal_id, body_digest FROM meta_config_proposals
ORDER BY status NOT IN ('PENDING', 'APPROVED', 'APPLIED'), created_at DESC, proposal_id LIMIT 1"""
NEWEST_CHANGE = "SELECT change_id FROM config_change_log ORDER BY applied_at DESC, change_id LIMIT 1"


@dataclass
class Walk:
    """One reader who types what the pages say, and puts the ids that they see in the place of those of the page."""

    database: Database
    shell: Shell
    folder: Path
    patch: pytest.MonkeyPatch
    values: dict[str, str] = field(default_factory=dict)
    actor: str = "ann"
    ran: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What has to be so before the first command that begins with these words, which a page takes for granted."""

    def page(self, name: str) -> None:
        """Run every block of a page that is to be run, and parse the others."""
        for block in blocks(name):
            if block.file:
                (self.folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and block.checked == "run":
                self._python(block)
            elif block.language in SHELLS and not block.run_elsewhere:
                for command in block.commands():
                    self._command(block, command)

    def _command(self, block: Block, command: str) -> None:
        if block.only_parses(command):
            assert not (wrong := complaint(command)), f"{block.place}: {wrong}"
            return
        for start in [start for start in self.before if command.startswith(start)]:
            self.before.pop(start)()
        given = [self._value(word) for word in words(command)]
        told = f"{block.place}: {command}"
        self.ran.append(command)
        if given[0] == "export":
            name, _, value = given[1].partition("=")
            if name == "META_PIPELINE_ACTOR":
                self.actor = value
            else:
                self.patch.setenv(name, value)
        elif given[0] == "meta-pipeline":
            self._ours(told, command, given[1:])
        elif given[0] == "make":
            assert not (wrong := complaint(command)), f"{block.place}: {wrong}"
        else:
            self._other(told, given)

    def _ours(self, told: str, command: str, given: list[str]) -> None:
        target = None
        if ">" in given:
            at = given.index(">")
            given, target = given[:at], given[at + 1]
        # A comment may name an exit code that is as good as 0 there: what it would do is done.
        fine = {0, *map(int, re.findall(r"exit code (\d)", command.partition(" #")[2]))}
        answer: Answer = self.shell.run(*given, actor=self.actor)
        assert answer.code in fine, f"{told}\n{answer.out}\n{answer.err}"
        if target is not None:
            Path(target).write_text(answer.out, encoding="utf-8")

    def _other(self, told: str, given: list[str]) -> None:
        if given[:1] == ["python"]:
            self.patch.setattr(sys, "argv", given[1:])
            runpy.run_path(str(ROOT / given[1]), run_name="__main__")
            return
        done = subprocess.run(given, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{told}\n{done.stdout}\n{done.stderr}"

    def _python(self, block: Block) -> None:
        """Run a block as a program of its own would be, but for the imports, which this process has made already."""
        self.ran.append(block.text)
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
        self.values["<printed>"] = printed.getvalue()

    def _value(self, word: str) -> str:
        """Put what this reader sees in the place of what the page shows."""
        if word in self.values:
            return self.values[word]
        if "$" in word:
            shown = subprocess.run(["sh", "-c", f'printf %s "{word}"'], capture_output=True, text=True, check=True)
            return shown.stdout
        if re.fullmatch(r"prop-[0-9a-f.]+", word):
            return str(self._row(NEWEST_PROPOSAL)[0])
        if re.fullmatch(r"chg-[0-9a-f.]+", word):
            return str(self._row(NEWEST_CHANGE)[0])
        if re.fullmatch(r"[0-9a-f]{8}\.\.\.", word):
            return str(self._row(NEWEST_PROPOSAL)[1])
        return word

    def _row(self, statement: str) -> tuple[object, ...]:
        with self.database.connect() as connection:
            return tuple(connection.execute(text(statement)).one())


def walk_of(database: Database, shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Begin a walk in an empty folder, which is the home too."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("META_PIPELINE_HOME", str(folder / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return Walk(database=database, shell=shell, folder=folder, patch=monkeypatch)
