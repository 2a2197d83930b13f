"""Schemathesis against a server on a real socket and a real PostgreSQL: examples, coverage, fuzzing, stateful.

It takes ten seconds, and must not be able to hang: a request that is not answered fails after `REQUEST_SECONDS`, a role
ends with the first failures, and what has not ended after `PHASES_SECONDS` is ended, with the stacks of both processes.
"""

import faulthandler
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import context_of, served, token_of
from meta_pipeline_tests.orchestration.builders import allow, declare_strategy, save_proposal
from meta_pipeline_tests.store.live_book import NOW, calm_policy

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "negative_data_rejection", "unsupported_method"),
)


REQUEST_SECONDS = 5
PHASES_SECONDS = 120
# The command line of schemathesis, in a process that ends itself and says where it was.
RUN = f"""
import faulthandler
faulthandler.dump_traceback_later({PHASES_SECONDS}, exit=True)
from schemathesis.cli import schemathesis
schemathesis()
"""

# Role -> the routes it is tried on; an operator may do all but decide.
ROUTES = {"operator": "/", "approver": "/api/v1/(proposals|changes|decisions)"}


def bounded(
    command: list[str], folder: Path, *, seconds: float = PHASES_SECONDS, grace: float = 20.0
) -> "subprocess.CompletedProcess[str]":
    """Run a command; where it does not end in time, say where the server in this process stands."""
    with (folder / "stacks.txt").open("w+") as stacks:
        faulthandler.dump_traceback_later(seconds, file=stacks)
        try:
            return subprocess.run(
                command, capture_output=True, text=True, cwd=folder, timeout=seconds + grace, check=False
            )
        except subprocess.TimeoutExpired as hung:
            stacks.seek(0)
            pytest.fail(f"not ended after {seconds:g} s\n{hung.stdout!s:.6000}\nthe server stands at:\n{stacks.read()}")
        finally:
            faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("role", ROUTES)
def test_no_request_makes_the_server_fail_or_answer_what_is_not_documented(
    database: Database, tmp_path: Path, role: str
) -> None:
    calm_policy(database)
    declare_strategy(database)
    allow(database, "Bob")
    for value in (30, 40):
        save_proposal(database, proposed=value)
    token = token_of(database, role)
    context = context_of(database, tmp_path, clock=lambda: NOW, agent=MetaAgent(None))
    with served(context) as address:
        done = bounded(
            [
                *(sys.executable, "-c", RUN, "run", f"{address}/openapi.json", "--wait-for-schema", "10"),
                *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "3", "--seed", "20261120"),
                *("--checks", ",".join(CHECKS), "--request-timeout", str(REQUEST_SECONDS), "--max-failures", "10"),
                *("--no-color", "-H", f"Authorization: Bearer {token}", "--include-path-regex", ROUTES[role]),
            ],
            tmp_path,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert re.search(rf"✅\s+{phase}", done.stdout), done.stdout[-3000:]
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated is not None
    assert int(generated[1].replace(",", "")) > (1000 if role == "operator" else 200)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM msc_policies")).scalar_one() >= 10


def test_a_run_that_hangs_is_ended_and_says_where_it_stood(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"not ended after 0\.2 s(.|\n)*test_schemathesis\.py"):
        bounded([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, seconds=0.2, grace=0.5)
