"""The gate as a person meets it: `dagster dev`, the link of a proposal, the Launchpad, a verdict, Launch."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from meta_pipeline.orchestration.evidence_state import DEFAULT_LOCATION
from meta_pipeline.orchestration.open_proposals import OpenLine, decisions_due
from meta_pipeline.store.database import Database
from meta_pipeline_tests.orchestration.browser import page
from meta_pipeline_tests.orchestration.builders import allow, declare_strategy, save_proposal, status_of
from meta_pipeline_tests.orchestration.dagster_dev import dagster_dev

pytestmark = [pytest.mark.browser, pytest.mark.database, pytest.mark.slow]
SECONDS = 1000.0


def test_the_link_fills_the_launchpad_and_launch_waits_for_a_verdict(database: Database, tmp_path: Path) -> None:
    declare_strategy(database)
    allow(database, "Bob")
    proposal = save_proposal(database, now=datetime.now(UTC))
    (claim,) = decisions_due([OpenLine(record=proposal, candidate=None)], location=DEFAULT_LOCATION).values()
    link = claim.partition("](")[2].partition(")")[0]
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    environment = {
        "DAGSTER_HOME": str(tmp_path),
        "META_PIPELINE_HOME": str(tmp_path / "home"),
        "META_PIPELINE_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
    }
    with page() as browser, dagster_dev(environment, log=tmp_path / "dev.log") as address:
        browser.goto(address + link)
        editor = browser.locator(".CodeMirror").first
        expect(editor).to_contain_text(proposal.proposal_id, timeout=60 * SECONDS)
        expect(editor).to_contain_text(proposal.body_digest)
        launch = browser.get_by_role("button", name="Launch Run")
        # Both messages are there: the form was checked, and Launch is disabled for want of a name and a verdict.
        expect(browser.get_by_text('decision must not be None. Expected "Verdict"')).to_be_visible(timeout=60 * SECONDS)
        expect(browser.get_by_text('approver must not be None. Expected "String"')).to_be_visible()
        expect(launch).to_be_disabled()
        _type_after(browser, "approver:", " Bob")
        expect(browser.get_by_text('approver must not be None. Expected "String"')).to_be_hidden(timeout=30 * SECONDS)
        expect(launch).to_be_disabled()
        _type_after(browser, "decision:", " approve")
        expect(launch).to_be_enabled(timeout=30 * SECONDS)
        launch.click()
        deadline = time.monotonic() + 240
        while status_of(database, proposal) != "APPROVED":
            assert time.monotonic() < deadline, (tmp_path / "dev.log").read_text()[-4000:]
            time.sleep(0.5)


def _type_after(browser: Page, word: str, text: str) -> None:
    """Type at the end of the first line of the editor that begins with a word."""
    browser.locator(".CodeMirror-line", has_text=word).first.click()
    browser.keyboard.press("End")
    browser.keyboard.type(text)
    browser.keyboard.press("Escape")  # closes the completions
