"""The three ways in to governance, driven alike: the gate in Dagster, the command line, and the API.

Each method returns why it was refused, in the words that a person sees, or "" if it was done.
"""

import json
import sys
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fastapi.testclient import TestClient

from meta_pipeline.cli import common
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import bearing, client_of, token_of
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.orchestration.builders import failure_of, form, launch
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store.governed import SETTINGS


class WayIn(ABC):
    """One of them. `reason` may be what no reason can be: it is handed on as it is."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database = database
        self.home = home

    @abstractmethod
    def approve(self, record: ProposalRecord, by: str, *, reason: Any = "", **other: Any) -> str:
        """Approve. `other`: what to name instead of its proposal_id or digest."""

    @abstractmethod
    def apply(self, record: ProposalRecord) -> str:
        """Apply, as somebody who may."""


class Gate(WayIn):
    """The jobs in Dagster."""

    def approve(self, record: ProposalRecord, by: str, *, reason: Any = "", **other: Any) -> str:
        line = {"proposal_id": record.proposal_id, "digest": record.body_digest, "decision": "approve", **other}
        return self._run("approve_proposals", form({**line, "reason": reason}, approver=by))

    def apply(self, record: ProposalRecord) -> str:
        return self._run("apply_approved", {"actor": "Dora", "proposal_ids": [record.proposal_id]})

    def _run(self, job: str, config: dict[str, Any]) -> str:
        settings = SETTINGS.model_copy(update={"home": self.home})
        resource = DatabaseResource(self.database, settings=lambda: settings, clock=lambda: NOW)
        try:
            result = launch(job, config, resource)
        except (dg.DagsterInvalidConfigError, dg.DagsterConfigMappingFunctionError) as error:
            return f"no run: {error} {error.__cause__ or ''}"
        return "" if result.success else failure_of(result)


class CommandLine(WayIn):
    """The commands."""

    def __init__(self, database: Database, home: Path, shell: Shell) -> None:
        super().__init__(database, home)
        self.shell = shell

    def approve(self, record: ProposalRecord, by: str, *, reason: Any = "", **other: Any) -> str:
        named = {"proposal_id": record.proposal_id, "digest": record.body_digest, **other}
        said = reason if isinstance(reason, str) else json.dumps(reason)
        return self.run("approve", named["proposal_id"], "--digest", named["digest"], "--reason", said, actor=by)

    def apply(self, record: ProposalRecord) -> str:
        return self.run("apply", record.proposal_id, actor="Dora")

    def run(self, *arguments: str, actor: str = "ann") -> str:
        if "\0" in "".join((actor, *arguments)):
            return "no process can be started with it"
        answer = self.shell.run(*arguments, actor=actor)
        assert "Traceback" not in answer.err + answer.out
        return "" if answer.code == 0 else f"exit code {answer.code}: {answer.err}{answer.out}"


class Api(WayIn):
    """The REST API, as its clients have it."""

    @cached_property
    def client(self) -> TestClient:
        """A client of one app."""
        return client_of(self.database, self.home, clock=lambda: NOW)

    def approve(self, record: ProposalRecord, by: str, *, reason: Any = "", **other: Any) -> str:
        body = {"verdict": "approve", "digest": other.get("digest", record.body_digest), "reason": reason}
        try:
            token = token_of(self.database, "approver", by, now=NOW)
        except MetaPipelineError as error:  # nobody of that name is ever let in
            return str(error)
        return self.post(f"/api/v1/proposals/{other.get('proposal_id', record.proposal_id)}/decisions", token, body)

    def apply(self, record: ProposalRecord) -> str:
        # Whoever applies over HTTP has to hold a token for it; Cleo is on the list.
        token = token_of(self.database, "approver", "Cleo", now=NOW)
        return self.post(f"/api/v1/proposals/{record.proposal_id}/apply", token, {})

    def post(self, address: str, token: str, body: Any) -> str:
        seen = self.client.get(address.rsplit("/", 1)[0], headers=bearing(token))
        headers = {**bearing(token), "If-Match": seen.headers.get("ETag", '"none"'), "Content-Type": "application/json"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.post(address, headers=headers, content=content)
        assert answer.status_code != 500, answer.text
        return "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text}"


def way_in(
    name: str, database: Database, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> WayIn:
    """Return a way in by its name."""
    if name == "gate":
        return Gate(database, home)
    if name == "api":
        return Api(database, home)
    monkeypatch.setenv("META_PIPELINE_HOME", str(home))
    monkeypatch.setattr(common, "now", lambda: NOW)
    monkeypatch.setattr(common, "time_of", lambda _: NOW)
    monkeypatch.setattr(sys, "argv", ["meta-pipeline"])
    return CommandLine(database, home, Shell(database, monkeypatch, capsys))
