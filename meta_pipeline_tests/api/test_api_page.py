"""docs/api.md says what the app does: its tables are the app's, its curl lines are run, its metrics are there."""

import re
import shlex
from pathlib import Path
from string import Template

import pytest
from fastapi.testclient import TestClient

from meta_pipeline.api import guard, strict_json
from meta_pipeline.api.forms import FillsForm, PricesForm, RunsForm
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.api_page import PAGE, TABLES, in_page
from meta_pipeline_tests.api.clients import BASE, client_of, token_of
from meta_pipeline_tests.orchestration.builders import NOW, allow, declare_strategy, save_proposal
from meta_pipeline_tests.store.live_book import calm_policy

TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^curl ((?:.|\n)*?)\s+# (\d{3})$", flags=re.MULTILINE)
OPTIONS = {"-H": "header", "-d": "body", "-X": "method"}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_page_are_those_of_the_app(name: str) -> None:
    again = "run: python -m meta_pipeline_tests.api.api_page --write"
    assert in_page(TEXT, name) == TABLES[name](), again


def run(client: TestClient, line: str, known: dict[str, str]) -> int:
    """Run one line of curl, note what the answer names, and return its status."""
    words = shlex.split(Template(line.replace("\\\n", " ")).substitute(known))
    method, body, headers, address = "GET", None, {}, ""
    waiting = iter(words)
    for word in waiting:
        if word == "-H":
            name, _, value = next(waiting).partition(": ")
            headers[name] = value
        elif word == "-d":
            method, body = "POST", next(waiting)
        elif word == "-X":
            method = next(waiting)
        elif word != "-i":
            address = word
    answer = client.request(method, address, headers=headers, content=body)
    if "ETag" in answer.headers and answer.status_code == 200:
        # Quotes as the shell would need them.
        known["ETAG"] = answer.headers["ETag"].replace('"', '\\"')
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        found = answer.json()
        items = found.get("items") or [found]
        for variable, field in (("ID", "proposal_id"), ("DIGEST", "body_digest"), ("CHANGE", "change_id")):
            if items[0].get(field):
                known[variable] = items[0][field]
    return int(answer.status_code)


def test_every_line_of_curl_answers_as_the_page_says(database: Database, tmp_path: Path) -> None:
    declare_strategy(database)
    allow(database, "Bob")
    save_proposal(database)
    calm_policy(database)
    known = {"API": BASE, "TOKEN": token_of(database, "approver", "Bob")}
    known |= {role.upper(): token_of(database, role) for role in ("operator", "executor")}
    client = client_of(database, tmp_path, clock=lambda: NOW)
    examples = EXAMPLE.findall(TEXT)
    assert len(examples) == TEXT.count("\ncurl ") > 15
    for line, status in examples:
        assert run(client, line, known) == int(status), line


def test_the_metrics_of_the_page_are_those_that_are_there(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path)
    client.get("/healthz")
    there = set(re.findall(r"^# TYPE (\S+) ", client.get("/metrics").text, flags=re.MULTILINE))
    named = {
        name for name in re.findall(r"`((?:msc|meta_pipeline)_[a-z_]+)[{`]", TEXT) if name != "meta_pipeline_tests"
    }
    assert {name for name in there if not name.endswith("_created")} == named


def test_the_limits_of_the_page_are_those_of_the_server() -> None:
    sizes = [guard.LARGEST_BODY, *guard.LARGER_BODIES.values()]
    assert [size // 2**20 for size in sizes] == [1, 8, 32]
    assert "1 MiB; 8 MiB for fills and prices, 32 MiB for backtest runs" in TEXT
    assert f"{strict_json.MOST_VALUES:,} values, {strict_json.MOST_CONTAINERS:,} lists" in TEXT
    assert f"{guard.SLOWEST_BODY:g} seconds, then 408" in TEXT
    longest = [
        form.model_fields[name].metadata[-1].max_length
        for form, name in ((FillsForm, "fills"), (PricesForm, "prices"), (RunsForm, "runs"))
    ]
    assert longest == [10_000, 10_000, 1_000]
    assert "10,000 fills or prices, 1,000 backtest runs" in TEXT
