"""Fixtures of the command line's tests."""

import pytest

from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell


@pytest.fixture
def shell(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell on a fresh migrated database."""
    return Shell(database, monkeypatch, capsys)
