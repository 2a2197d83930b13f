"""Clients of an app on the test's own database, in this process or over a real socket."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from meta_pipeline.api.app import create_app
from meta_pipeline.api.context import Context
from meta_pipeline.settings import Settings
from meta_pipeline.store.api_tokens import create_token
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.live_book import NOW

BASE = "http://127.0.0.1"


def settings_of(home: Path, **values: Any) -> Settings:
    given: dict[str, Any] = {"_env_file": None, "home": home, **values}
    return Settings(**given)


def context_of(
    database: Database, home: Path, *, clock: Callable[[], datetime] = lambda: NOW, **options: Any
) -> Context:
    given: dict[str, Any] = {"open_access": True, "actor": "Ann", **options}
    return Context(database=database, settings=settings_of(home), clock=clock, **given)


def client_of(database: Database, home: Path, **options: Any) -> TestClient:
    return TestClient(create_app(context_of(database, home, **options)), base_url=BASE)


def token_of(
    database: Database, role: str, name: str = "Bob", *, actor: str = "ann", now: datetime = NOW, days: float = 1.0
) -> str:
    with database.begin() as connection:
        text, _ = create_token(connection, name=name, role=role, lifetime=timedelta(days=days), actor=actor, now=now)
    return text


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def served(context: Context) -> Iterator[str]:
    """Serve an app over a real socket, in a thread; yield its address."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(create_app(context), host="127.0.0.1", port=port, log_level="error", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def serving_process(home: Path, url: str, **variables: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run `meta-pipeline serve` as users do; yield its address and its process."""
    environment = {
        **os.environ,
        "META_PIPELINE_HOME": str(home),
        "META_PIPELINE_DATABASE_URL": url,
        "META_PIPELINE_ACTOR": "Ann",
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "meta_pipeline", "serve", "--port", "0", "--json"],
        env=environment,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = _address_of(process)
        wait_for(address + "/healthz", process)
        yield address, process
    finally:
        process.kill()
        process.wait()


def _address_of(process: "subprocess.Popen[str]") -> str:
    """Return the address that the server says it has."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if line.startswith("{"):
            document = json.loads(line)
            assert document["schema"] == "meta-pipeline/serve/1"
            assert document["access"] == "open"
            return str(document["address"])
    raise AssertionError(f"the server ended: {''.join(said)}")


def wait_for(url: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {process.stdout.read() if process.stdout else ''}")
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{url} never answered")
