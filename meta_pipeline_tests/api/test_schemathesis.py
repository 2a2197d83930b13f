"""Schemathesis against a server on a real socket and a real PostgreSQL: examples, coverage, fuzzing, stateful."""

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


# Role -> the routes it is tried on; an operator may do all but decide.
ROUTES = {"operator": "/", "approver": "/api/v1/(proposals|changes|decisions)"}


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
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
                *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "3", "--seed", "20261120"),
                *("--checks", ",".join(CHECKS), "--request-timeout", "20", "--no-color"),
                *("-H", f"Authorization: Bearer {token}", "--include-path-regex", ROUTES[role]),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert re.search(rf"✅\s+{phase}", done.stdout), done.stdout[-3000:]
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated is not None
    assert int(generated[1].replace(",", "")) > (1000 if role == "operator" else 200)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM msc_policies")).scalar_one() >= 10
