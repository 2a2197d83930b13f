"""Dagster's own webserver on `meta_pipeline.definitions`, in this process, asked over HTTP."""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import uvicorn
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.webserver import DagsterWebserver

LOCATION = "meta_pipeline.definitions"

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message causes { message } }
  }
}
"""

VALIDATE = """
query Validate($job: PipelineSelector!, $config: RunConfigData!) {
  isPipelineConfigValid(pipeline: $job, runConfigData: $config, mode: "default") {
    __typename
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""

RE_EXECUTE = """
mutation Again($run: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: ALL_STEPS}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True, kw_only=True)
class Webserver:
    """A running webserver, and the instance behind it."""

    url: str
    instance: dg.DagsterInstance

    def ask(self, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> dict[str, Any]:
        """Send one GraphQL request, and return the one field it asked for."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:  # a PythonError comes with status 500
            answer = json.load(error)
        (field,) = answer["data"].values()
        assert isinstance(field, dict)
        return field

    def launch(
        self,
        job: str,
        config: Any,
        headers: Mapping[str, str] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Launch a run as the Launchpad does, tags that were typed in by hand included."""
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "jobName": job},
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]},
        }
        return self.ask(LAUNCH, headers, params=params)

    def validate(self, job: str, config: Any) -> dict[str, Any]:
        """Validate a form as the Launchpad does while a person types."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": job}
        return self.ask(VALIDATE, job=selector, config=config)


@contextmanager
def serve(folder: Path, **configuration: Any) -> Iterator[Webserver]:
    """Serve the code location; `configuration` is what `dagster.yaml` would say."""
    overrides = {"telemetry": {"enabled": False}, "nux": {"enabled": False}, **configuration}
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=LOCATION), location_name=LOCATION
    )
    with (
        dg.DagsterInstance.local_temp(str(folder), overrides=overrides) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
    ):
        application = DagsterWebserver(workspace).create_asgi_app()
        server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not server.started:
                assert time.monotonic() < deadline, "the webserver did not start within 30 s"
                time.sleep(0.02)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield Webserver(url=f"http://127.0.0.1:{port}", instance=instance)
        finally:
            server.should_exit = True
            thread.join(timeout=10)
