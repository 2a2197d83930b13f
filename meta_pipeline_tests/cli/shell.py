"""The command line as a person at a shell has it, in this process: arguments in; exit code and both streams out."""

import atexit
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from meta_pipeline.cli.main import main
from meta_pipeline.store.database import Database

_NUMBERS = count(1)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the shell sees of one command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


class Shell:
    """Runs commands against one database, as whoever is named."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        url = database.address.url().render_as_string(hide_password=False)
        monkeypatch.setenv("META_PIPELINE_DATABASE_URL", url)
        if "META_PIPELINE_HOME" not in os.environ:  # else reports would land in the folder that the tests run in
            monkeypatch.setenv("META_PIPELINE_HOME", str(_homes() / str(next(_NUMBERS))))
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str, actor: str = "ann") -> Answer:
        self._monkeypatch.setenv("META_PIPELINE_ACTOR", actor)
        self._monkeypatch.setattr(sys, "argv", ["meta-pipeline", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Answer(code=int(ended.value.code or 0), out=out, err=err)

    def ask(self, *arguments: str, actor: str = "ann") -> Any:
        """Run with --json, which must succeed, and return the document."""
        answer = self.run(*arguments, "--json", actor=actor)
        assert answer.code == 0, answer
        assert answer.document["schema_version"] == 1
        return answer.document


@cache
def _homes() -> Path:
    """Return a folder for the homes of all shells, gone when the tests end."""
    folder = tempfile.mkdtemp(prefix="meta-pipeline-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
