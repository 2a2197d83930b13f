"""What runs where the loop is deployed, each part a process of its own: nights in shards, searches, and the gate.

One deployment serves all tests of this file (`deployment.py`): starting it costs more than any of them.
"""

import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from meta_pipeline.definitions import build_definitions
from meta_pipeline.hyperband.ledger import ledger_digest
from meta_pipeline.orchestration.refreshing import NIGHTLY
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.orchestration.search_celery import NOTHING_LOST
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database
from meta_pipeline.store.url import Address
from meta_pipeline_tests.hyperband.test_search import done
from meta_pipeline_tests.orchestration import search_jobs
from meta_pipeline_tests.orchestration.browser import keep, page
from meta_pipeline_tests.orchestration.builders import allow
from meta_pipeline_tests.orchestration.deployment import SHARDS, STRATEGIES, WITHIN, Deployment, deployed, rows
from meta_pipeline_tests.orchestration.test_search_job import begun, found, run_config

pytestmark = [pytest.mark.database, pytest.mark.slow]
SECONDS = 1000.0
LOCATION = "/locations/meta_pipeline.definitions"


@pytest.fixture(scope="module")
def deployment(real_server: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    with pytest.MonkeyPatch.context() as patch, deployed(real_server, folder, patch.setenv) as running:
        yield running


def test_a_night_in_shards_on_celery_leaves_the_rows_of_one_run(deployment: Deployment, tmp_path: Path) -> None:
    assert all(any(name in shard for name in STRATEGIES) for shard in SHARDS), "each shard has work to do"
    in_one_run(deployment.alone, tmp_path)
    ours, theirs = deployment.rows_after_the_night, rows(deployment.alone)
    differing = {table: (ours[table][:2], theirs[table][:2]) for table in ours if ours[table] != theirs[table]}
    assert differing == {}
    worked = {who for run in deployment.night for who in celery_workers(deployment.webserver.instance, run)}
    assert {who.split("@")[0] for who in worked} == {"w1", "w2"}
    # Webserver, daemon, code server, two runs and two workers, each with its pool, and never near a server's 100.
    assert deployment.most_connections <= 7 * 4


@pytest.mark.parametrize("check", [("dagster", "api", "grpc-health-check"), ("dagster-daemon", "liveness-check")])
def test_the_health_checks_of_compose_pass(
    deployment: Deployment, check: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ["-p", deployment.code_port] if check[0] == "dagster" else []
    monkeypatch.setattr(sys, "argv", [*check, *port])
    (entry,) = entry_points(group="console_scripts", name=check[0])
    with pytest.raises(SystemExit) as ended:
        entry.load()()
    assert not ended.value.code


def test_a_celery_worker_that_is_killed_in_a_search_costs_nothing_and_the_result_is_the_same(
    deployment: Deployment, tmp_path: Path
) -> None:
    """What is killed is the process of the worker's pool that evaluates; the worker starts another one."""
    died, log = tmp_path / "died", tmp_path / "log"
    settings = begun(deployment.shared, "toy celery", toy={"dies": str(died), "log": str(log)})
    broker = deployment.broker
    result = dg.execute_job(
        dg.reconstructable(search_jobs.small_celery),
        instance=deployment.webserver.instance,
        run_config=run_config("toy celery", broker=broker, backend=broker, config_source=NOTHING_LOST),
    )
    assert result.success
    assert died.exists()
    straight = ledger_digest(done(tmp_path / "straight", resource=3))
    assert found(deployment.shared, "toy celery") == (straight, straight)
    # One evaluation was begun twice: the one at which the worker was killed.
    assert len(log.read_text().splitlines()) == settings.hyperband.evaluations + 1


@pytest.mark.browser
def test_a_person_materialises_follows_the_link_to_the_gate_approves_and_applies(deployment: Deployment) -> None:
    allow(deployment.shared, "Bob")
    with page() as browser:
        the_graph_is_there(browser, deployment)
        an_asset_is_materialised(browser, deployment)
        proposal = the_link_fills_the_launchpad(browser, deployment)
        launch_waits_for_a_name_and_a_verdict(browser)
        wait_for(lambda: status(deployment.shared, proposal) == "APPROVED", deployment)
        browser.goto(f"{deployment.webserver.url}{LOCATION}/jobs/apply_approved/playground")
        browser.locator(".CodeMirror").first.click(timeout=60 * SECONDS)
        browser.keyboard.type("actor: Bob")
        browser.keyboard.press("Escape")
        browser.get_by_role("button", name="Launch Run").click(timeout=60 * SECONDS)
        wait_for(lambda: status(deployment.shared, proposal) == "APPLIED", deployment)


def the_graph_is_there(browser: Page, deployment: Deployment) -> None:
    browser.goto(f"{deployment.webserver.url}/asset-groups")
    for name in ("backtest_aggregates", "diagnostics_report", "proposals", "approvals", "live_config", "msc_policy"):
        expect(browser.get_by_role("button", name=name).first).to_be_visible(timeout=60 * SECONDS)
    expect(browser.get_by_role("button", name="Materialize all")).to_be_visible()
    keep(browser, "dagster/asset-graph")


def an_asset_is_materialised(browser: Page, deployment: Deployment) -> None:
    browser.goto(f"{deployment.webserver.url}/assets/msc_policy")
    browser.get_by_role("button", name="Materialize").first.click(timeout=60 * SECONDS)
    policy = dg.AssetKey("msc_policy")
    wait_for(lambda: deployment.webserver.instance.get_latest_materialization_event(policy) is not None, deployment)


def the_link_fills_the_launchpad(browser: Page, deployment: Deployment) -> str:
    """Follow the link of a proposal of the night, as the asset shows it; return which proposal it is."""
    browser.goto(f"{deployment.webserver.url}/assets/proposals")
    link = browser.get_by_role("link", name="approve or reject").first
    link.wait_for(timeout=60 * SECONDS)
    address = str(link.get_attribute("href"))
    browser.goto(address if address.startswith("http") else deployment.webserver.url + address)
    editor = browser.locator(".CodeMirror").first
    expect(editor).to_contain_text("proposal_id", timeout=60 * SECONDS)
    with deployment.shared.connect() as connection:
        waiting = connection.execute(text("SELECT proposal_id, body_digest FROM meta_config_proposals")).all()
    shown = editor.inner_text()
    (linked,) = [row.proposal_id for row in waiting if row.proposal_id in shown and row.body_digest in shown]
    return str(linked)


def launch_waits_for_a_name_and_a_verdict(browser: Page) -> None:
    launch = browser.get_by_role("button", name="Launch Run")
    # Both messages are there: the form was checked, and Launch is disabled for want of a name and a verdict.
    expect(browser.get_by_text('decision must not be None. Expected "Verdict"')).to_be_visible(timeout=60 * SECONDS)
    expect(browser.get_by_text('approver must not be None. Expected "String"')).to_be_visible()
    keep(browser, "dagster/launchpad")
    expect(launch).to_be_disabled()
    type_after(browser, "approver:", " Bob")
    expect(browser.get_by_text('approver must not be None. Expected "String"')).to_be_hidden(timeout=30 * SECONDS)
    expect(launch).to_be_disabled()
    type_after(browser, "decision:", " approve")
    expect(launch).to_be_enabled(timeout=30 * SECONDS)
    launch.click()


def type_after(browser: Page, word: str, text: str) -> None:
    """Type at the end of the first line of the editor that begins with a word."""
    browser.locator(".CodeMirror-line", has_text=word).first.click()
    browser.keyboard.press("End")
    browser.keyboard.type(text)
    browser.keyboard.press("Escape")  # closes the completions


def wait_for(holds: Callable[[], bool], deployment: Deployment) -> None:
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, deployment.log()
        time.sleep(0.3)


def status(database: Database, proposal_id: str) -> str:
    with database.connect() as connection:
        found_status: str = connection.execute(
            text("SELECT status FROM meta_config_proposals WHERE proposal_id = :id"), {"id": proposal_id}
        ).scalar_one()
    return found_status


def in_one_run(database: Database, home: Path) -> None:
    values: dict[str, Any] = {"_env_file": None, "home": home}
    resource = DatabaseResource(database, settings=lambda: Settings(**values))
    job = build_definitions({"database": resource}).resolve_job_def(NIGHTLY)
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success


def celery_workers(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    said = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    metadata = [event.engine_event_data.metadata for event in said if event is not None]
    return {str(each["Celery worker"].value) for each in metadata if "Celery worker" in each}
