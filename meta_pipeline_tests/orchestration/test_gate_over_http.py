"""The gate through Dagster's webserver: what the Launchpad disables, and what `launchRun` refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.acting import FORWARDED_USER
from meta_pipeline.orchestration.decision_form import OpenProposal, blank_form
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.builders import (
    allow,
    declare_strategy,
    form,
    save_proposal,
    status_of,
    verdict,
)
from meta_pipeline_tests.orchestration.webserver import RE_EXECUTE, Webserver, serve

GATE = "approve_proposals"
LINE = {"proposal_id": "p", "digest": "0" * 64, "decision": "approve", "reason": ""}

QUEUE = {
    "module": "meta_pipeline.orchestration.forwarded_user",
    "class": "ForwardedUserRunCoordinator",
}


@pytest.fixture(scope="module")
def queueing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """A webserver whose runs wait in the queue: what is refused here is refused before a run exists."""
    with serve(tmp_path_factory.mktemp("queueing"), run_coordinator=QUEUE) as webserver:
        yield webserver


REFUSED: list[tuple[Any, str]] = [
    ({}, "Missing required config entries ['approver', 'decisions']"),
    (form({**LINE, "decision": "maybe"}), "not in enum type Verdict got maybe"),
    ({**form(LINE), "approver": {"env": "HOME"}}, "Invalid scalar at path root:approver"),
    (form({**LINE, "reason": {"env": "HOME"}}), "Invalid scalar at path root:decisions[0]:reason"),  # type: ignore[dict-item]
    (blank_form([OpenProposal(proposal_id="p", digest="0" * 64, summary="s")]), "must not be None"),
]


@pytest.mark.parametrize(("config", "said"), REFUSED)
def test_the_launchpad_disables_launch_and_launching_all_the_same_is_refused(
    config: Any, said: str, queueing: Webserver
) -> None:
    checked = queueing.validate(GATE, config)
    assert checked["__typename"] == "RunConfigValidationInvalid"
    assert any(said in error["message"] for error in checked["errors"])
    launched = queueing.launch(GATE, config)
    assert launched["__typename"] == "RunConfigValidationInvalid"
    assert any(said in error["message"] for error in launched["errors"])
    assert queueing.instance.get_runs_count() == 0


def test_what_pydantic_refuses_leaves_no_run_behind_either(queueing: Webserver) -> None:
    launched = queueing.launch(GATE, form({**LINE, "digest": "0123"}))
    assert launched["__typename"] == "PythonError"
    assert "'0123' is no digest; copy the 64 hexadecimal digits" in launched["causes"][0]["message"]
    assert queueing.instance.get_runs_count() == 0


def test_who_the_proxy_signed_in_is_written_down_and_cannot_be_forged(tmp_path: Path) -> None:
    with serve(tmp_path, run_coordinator=QUEUE) as webserver:
        for headers, written in (({"X-Forwarded-User": "ann"}, "ann"), ({}, "")):
            launched = webserver.launch(GATE, form(LINE), headers, tags={FORWARDED_USER: "bob"})
            run = webserver.instance.get_run_by_id(launched["run"]["runId"])
            assert run is not None
            assert run.tags[FORWARDED_USER] == written


@pytest.mark.database
def test_an_approval_launched_over_http_counts_and_its_re_execution_does_not(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_strategy(database)
    allow(database, "Bob")
    first, second = save_proposal(database, proposed=50), save_proposal(database, proposed=60)
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.engine.url.render_as_string(hide_password=False))
    with serve(tmp_path, run_coordinator=QUEUE) as webserver:
        launched = webserver.launch(GATE, form(verdict(first, "reject", reason="too early")))
        assert launched["__typename"] == "LaunchRunSuccess", launched
        assert start(webserver, launched["run"]["runId"]) == "SUCCESS"
        assert status_of(database, first) == "REJECTED"
        again = webserver.ask(RE_EXECUTE, run=launched["run"]["runId"])
        assert start(webserver, again["run"]["runId"]) == "FAILURE"
        logs = webserver.instance.all_logs(again["run"]["runId"])
        assert any("a replayed form is nobody's decision" in str(entry.dagster_event) for entry in logs)
    assert status_of(database, second) == "PENDING"


def start(webserver: Webserver, run_id: str) -> str:
    """Take a run out of the queue and carry it out, as the daemon lets the code server do; return how it ended."""
    queued = webserver.instance.get_run_by_id(run_id)
    assert queued is not None
    assert queued.status is dg.DagsterRunStatus.QUEUED
    starting = dg.DagsterEvent(event_type_value=dg.DagsterEventType.PIPELINE_STARTING.value, job_name=GATE)
    webserver.instance.report_dagster_event(starting, run_id=run_id)
    run = webserver.instance.get_run_by_id(run_id)
    assert run is not None
    execute_run(InMemoryJob(build_definitions().resolve_job_def(GATE)), run, webserver.instance)
    ended = webserver.instance.get_run_by_id(run_id)
    assert ended is not None
    return ended.status.value
