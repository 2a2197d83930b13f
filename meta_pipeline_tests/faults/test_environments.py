"""The whole flow at the shell where the host's clock, zone or locale is another, or the home has an odd path.

Each runs in a process of its own, all of them at once; what is compared is what the database has on record.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from meta_pipeline.store.embedded import EmbeddedServer, stop_server

pytestmark = pytest.mark.database

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
HOUR = 3600
SKEWED = {"PYTHONPATH": str(HERE / "skewed_clock")}
GERMAN = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "LANGUAGE": "de"}
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "an hour fast, in Kathmandu": {
        **SKEWED,
        "META_PIPELINE_TESTS_CLOCK_OFFSET": str(HOUR),
        "TZ": "Asia/Kathmandu",
        "META_PIPELINE_TESTS_WAY": "api",
        # By the clock of this host it would have lapsed before it is applied.
        "META_PIPELINE_APPROVAL_HOURS": "0.5",
    },
    "an hour slow, in German": {
        **SKEWED,
        "META_PIPELINE_TESTS_CLOCK_OFFSET": str(-HOUR),
        **GERMAN,
        "META_PIPELINE_TESTS_WAY": "gate",
    },
    "odd path": {},
}
EMBEDDED = "odd path"
"""Its home is a folder whose name has spaces, an umlaut and a quote, and it runs the embedded server there."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a process said, and the times that the database has on record of it."""

    flow: dict[str, Any]
    place: dict[str, Any]
    began: datetime
    times: tuple[datetime, ...]


@pytest.fixture(scope="module")
def ran(
    postgres_server: EmbeddedServer,
    administration: Engine,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Ran]]:
    folders = {name: tmp_path_factory.mktemp("home") / f"{name} 'ü" for name in ENVIRONMENTS}
    began = datetime.now(UTC)
    children: dict[str, subprocess.Popen[str]] = {}
    databases: dict[str, str] = {}
    for number, (name, changes) in enumerate(ENVIRONMENTS.items()):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("META_PIPELINE", "LC_"))}
        environment |= {"META_PIPELINE_HOME": str(folders[name]), **changes}
        if name != EMBEDDED:
            databases[name] = f"environment_{number}"
            with administration.connect() as connection:
                connection.execute(
                    text(f"CREATE DATABASE {databases[name]} TEMPLATE {template_database} STRATEGY file_copy")
                )
            url = postgres_server.address(databases[name]).url().render_as_string(hide_password=False)
            environment["META_PIPELINE_DATABASE_URL"] = url
        children[name] = subprocess.Popen(
            [sys.executable, "-m", "meta_pipeline_tests.faults.whole_flow", str(folders[name])],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    try:
        found = {}
        for name, child in children.items():
            out, err = child.communicate(timeout=120)
            assert child.returncode == 0, (name, err)
            said = json.loads(out)
            found[name] = Ran(flow=said["flow"], place=said["place"], began=began, times=times_of(said["flow"]))
        yield found
    finally:
        for child in children.values():
            child.kill()
            child.wait()
        stop_server(folders[EMBEDDED], force=True)
        with administration.connect() as connection:
            for database in databases.values():
                connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))


def times_of(answers: Any) -> tuple[datetime, ...]:
    """Return every time in what was answered, wherever it stands."""
    if isinstance(answers, dict):
        return tuple(one for value in answers.values() for one in times_of(value))
    if isinstance(answers, list):
        return tuple(one for value in answers for one in times_of(value))
    if isinstance(answers, str) and len(answers) >= len("2026-11-20T12:00") and answers[4:5] == "-":
        try:
            return (datetime.fromisoformat(answers),)
        except ValueError:
            return ()
    return ()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_whole_flow_succeeds(ran: dict[str, Ran], name: str) -> None:
    flow = ran[name].flow
    failed = [(step, one) for step, one in flow.items() if one["code"] and step != "doctor"]
    assert not failed, json.dumps(failed)[:5000]
    assert flow["approve"]["answer"]["outcome"] == "approved"
    assert flow["apply"]["answer"]["outcome"] == "applied"
    assert flow["revert"]["answer"]["outcome"] == "reverted"
    assert flow["declare"]["answer"]["strategy_id"] == "Größe 1"


@pytest.mark.parametrize(("name", "way"), [("an hour fast, in Kathmandu", "api"), ("an hour slow, in German", "gate")])
def test_what_is_decided_through_api_and_gate_has_the_databases_time_too(
    ran: dict[str, Ran], name: str, way: str
) -> None:
    kept = ran[name].flow[way]["answer"]
    assert kept["channel"] == way
    decided = datetime.fromisoformat(kept["decided_at"])
    assert abs(decided - ran[name].began) < timedelta(minutes=5)
    lifetime = timedelta(hours=0.5 if way == "api" else 72)
    assert datetime.fromisoformat(kept["expires_at"]) - decided == lifetime


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_time_that_is_shown_is_the_databases_or_a_lifetime_after_it(ran: dict[str, Ran], name: str) -> None:
    one, patience = ran[name], timedelta(minutes=5)
    lifetimes = [timedelta(days=days) for days in (0, 1, 3, 14, 0.5 / 24)]
    assert len(one.times) > 5
    for moment in one.times:
        assert moment.tzinfo is not None, moment
        assert any(-patience < moment - one.began - lifetime < patience for lifetime in lifetimes), moment


@pytest.mark.parametrize(("name", "offset"), [("an hour fast, in Kathmandu", HOUR), ("an hour slow, in German", -HOUR)])
def test_a_host_whose_clock_is_wrong_is_told_so_and_by_how_much(ran: dict[str, Ran], name: str, offset: int) -> None:
    there = datetime.fromisoformat(ran[name].place["now"])
    assert abs((there - ran[name].began).total_seconds() - offset) < 300
    (clock,) = (one for one in ran[name].flow["doctor"]["answer"]["diagnoses"] if one["what"] == "clock")
    assert clock["level"] == "FAIL"
    assert ran[name].flow["doctor"]["code"] == 7


def test_the_zone_is_the_one_that_was_asked_for(ran: dict[str, Ran]) -> None:
    assert ran["an hour fast, in Kathmandu"].place["zone"] == "+0545"
    assert ran["an hour slow, in German"].place["lc_all"] == "de_DE.UTF-8"
