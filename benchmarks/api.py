"""Latency of GET /api/msc/status at 200 requests a second, measured from when each request was due.

    python -m benchmarks.api [--rate 200] [--seconds 20]

The load comes from a process of its own, over kept-alive connections, on a fixed timetable: a server that stalls does
not slow the questions down, it lets them pile up, and the wait counts. The rival is the usual way to write the route
(a pydantic response model, and the database asked for every request), served beside it on the same database.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from meta_pipeline.settings import Settings
from meta_pipeline.store.controller import controller_of, evaluate_and_publish
from meta_pipeline.store.database import open_database
from meta_pipeline.store.policies import Request

CONNECTIONS = 20
TIMEOUT = 10.0

RIVAL = """
import sys
from pathlib import Path
import uvicorn
from datetime import UTC, datetime
from fastapi import FastAPI
from meta_pipeline.api.answers import MscStatus
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import open_database
from meta_pipeline.store.policy_views import status_json
settings = Settings(home=Path(sys.argv[1]))
database = open_database(settings)
app = FastAPI()

@app.get("/api/msc/status", response_model=MscStatus)
def status(scope: str = "live"):
    with database.connect() as connection:
        return status_json(connection, scope, settings, now=datetime.now(UTC))

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
"""


async def one_connection(port: int, due: list[float], path: str) -> tuple[list[float], int]:
    """Send a request at each moment it is due; return the seconds from then to the end of its answer, and failures."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    spent: list[float] = []
    failed = 0
    for moment in due:
        await asyncio.sleep(max(moment - time.perf_counter(), 0.0))
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await asyncio.wait_for(reader.readexactly(length), TIMEOUT)
        failed += not head.startswith(b"HTTP/1.1 200")
        spent.append(time.perf_counter() - moment)
    writer.close()
    return spent, failed


async def load(port: int, path: str, rate: float, seconds: float) -> tuple[np.ndarray, int]:
    """Spread the timetable over the connections, and wait for all answers."""
    begin = time.perf_counter() + 0.5
    due = [begin + i / rate for i in range(int(rate * seconds))]
    parts = [due[k::CONNECTIONS] for k in range(CONNECTIONS)]
    found = await asyncio.gather(*(one_connection(port, part, path) for part in parts))
    return np.concatenate([np.array(spent) for spent, _ in found]), sum(failed for _, failed in found)


def child(port: int, path: str, rate: float, seconds: float) -> None:
    """Make the load, in a process of its own, and print what came of it."""
    spent, failed = asyncio.run(load(port, path, rate, seconds))
    quantiles = [1e3 * float(np.quantile(spent, q)) for q in (0.5, 0.9, 0.99, 1.0)]
    sys.stdout.write(json.dumps({"n": len(spent), "failed": failed, "ms": quantiles}) + "\n")


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def measured(name: str, command: list[str], port: int, rate: float, seconds: float, **variables: str) -> float:
    """Start a server, load it, print and return its 99th percentile in milliseconds."""
    server = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)
    path = "/api/msc/status?scope=lab"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        arguments = ["--child", str(port), path, "--rate", str(rate)]
        for length in (2.0, seconds):  # the first warms up
            run = [sys.executable, "-m", "benchmarks.api", *arguments, "--seconds", str(length)]
            out = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout
    finally:
        server.kill()
        server.wait()
    found = json.loads(out)
    p50, p90, p99, worst = found["ms"]
    print(f"{name:<34} {found['n']:>7,} {found['failed']:>7} {p50:>8.1f} {p90:>8.1f} {p99:>8.1f} {worst:>8.1f}")
    return float(p99)


def main() -> None:
    """Run both, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(int(options.child[0]), options.child[1], options.rate, options.seconds)
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        environment = {"META_PIPELINE_HOME": folder, "META_PIPELINE_ACTOR": "bench"}
        with open_database(settings) as database:
            replay = [sys.executable, "-m", "meta_pipeline", "live", "replay"]
            subprocess.run(replay, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True)
            made = controller_of(settings, clock=lambda: datetime.now(UTC), timer=time.perf_counter)
            for _ in range(3):
                evaluate_and_publish(database, "lab", made, Request(trigger="manual", actor="bench"), settings)
            print(f"{options.rate:g} requests a second for {options.seconds:g} s; milliseconds from when each was due")
            print(f"{'':<34} {'n':>7} {'failed':>7} {'p50':>8} {'p90':>8} {'p99':>8} {'worst':>8}")
            port = free_port()
            serve = [sys.executable, "-m", "meta_pipeline", "serve", "--port", str(port)]
            ours = measured("meta-pipeline serve", serve, port, options.rate, options.seconds, **environment)
            port = free_port()
            rival = [sys.executable, "-c", RIVAL, folder, str(port)]
            theirs = measured("a query and a model per request", rival, port, options.rate, options.seconds)
            print(
                f"99th percentile: {ours:.1f} ms, the usual way {theirs:.1f} ms ({theirs / ours:.1f} x). Bound: 10 ms"
            )


if __name__ == "__main__":
    main()
