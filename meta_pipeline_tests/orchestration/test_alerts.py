"""What goes wrong is written down, and handed to a webhook that may itself go wrong."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from meta_pipeline.orchestration.alerts import ALERTS_FILE, Alert, send
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.orchestration.sensors import failed_checks, failed_runs
from meta_pipeline.settings import Settings

ALERT = Alert(
    kind="run_failure", subject="nightly", run_id="r1", message="no disk", at=datetime(2026, 11, 20, tzinfo=UTC)
)


class Listener(BaseHTTPRequestHandler):
    heard: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body))
        self.send_response(500 if self.path.startswith("/broken") else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def webhook() -> Iterator[str]:
    Listener.heard.clear()
    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def settings(home: Path, webhook: str | None = None) -> Settings:
    values: dict[str, Any] = {"_env_file": None, "home": home, "alert_webhook": webhook}
    return Settings(**values)


def written(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / ALERTS_FILE).read_text().splitlines()]


def test_an_alert_is_a_line_in_the_file(tmp_path: Path) -> None:
    send(ALERT, settings(tmp_path))
    send(ALERT, settings(tmp_path))
    assert [line["message"] for line in written(tmp_path)] == ["no disk", "no disk"]
    assert written(tmp_path)[0]["at"] == "2026-11-20T00:00:00+00:00"


def test_an_alert_is_handed_to_the_webhook_as_text(tmp_path: Path, webhook: str) -> None:
    assert "sent to the webhook" in send(ALERT, settings(tmp_path, webhook))
    assert Listener.heard == [{"text": "meta_pipeline run_failure: nightly: no disk (run r1)"}]


@pytest.mark.parametrize(
    ("path", "said"), [("/broken", "HTTP 500"), ("nowhere", "neither https:// nor http://"), ("closed", "URLError")]
)
def test_a_webhook_that_fails_loses_no_alert_and_shows_no_address(
    path: str, said: str, tmp_path: Path, webhook: str
) -> None:
    address = {"/broken": webhook + "/broken?token=hunter2", "nowhere": "ftp://hunter2"}.get(
        path, "http://127.0.0.1:1/hunter2"
    )
    answer = send(ALERT, settings(tmp_path, address))
    assert said in answer
    assert [line["kind"] for line in written(tmp_path)] == ["run_failure", "webhook_failure"]
    assert "hunter2" not in answer + (tmp_path / ALERTS_FILE).read_text()


@dg.op
def breaks() -> None:
    raise ValueError("the disk is full")


@dg.op
def refuses() -> None:
    raise dg.Failure("1 of 1 refused")


@dg.job
def broken_job() -> None:
    breaks()
    refuses()


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="doubtful"), dg.AssetCheckSpec("meh", asset="doubtful")])
def doubtful() -> dg.MaterializeResult:  # type: ignore[type-arg]
    warning = dg.AssetCheckResult(check_name="meh", passed=False, severity=dg.AssetCheckSeverity.WARN)
    return dg.MaterializeResult(
        check_results=[dg.AssetCheckResult(check_name="sound", passed=False, description="2 faults"), warning]
    )


def test_a_failed_run_is_an_alert_that_says_why(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = broken_job.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
        ).for_run_failure()
        failed_runs(context, database=DatabaseResource(settings=lambda: settings(tmp_path)))
    (line,) = written(tmp_path)
    assert (line["kind"], line["subject"], line["run_id"]) == ("run_failure", "broken_job", result.run_id)
    assert sorted(line["message"].split("; ")) == ["1 of 1 refused", "ValueError: the disk is full"]


def test_a_check_that_failed_inside_a_run_that_succeeded_is_an_alert_too(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([doubtful], instance=instance)
        assert result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_checks",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_success_event(),
        )
        failed_checks(context, database=DatabaseResource(settings=lambda: settings(tmp_path)))
    (line,) = written(tmp_path)
    assert (line["kind"], line["subject"], line["message"]) == ("check_failure", "doubtful: sound", "2 faults")
