"""The web pages in a headless Chromium that reaches nothing but this machine's loopback."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route

from meta_pipeline.api.app import create_app
from meta_pipeline.api.web import live
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.report.decisions import SHORT_DIGEST
from meta_pipeline.store import governance, proposals, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import context_of, served, settings_of, token_of
from meta_pipeline_tests.api.every_page import addresses
from meta_pipeline_tests.api.seeded_pages import seed
from meta_pipeline_tests.orchestration.browser import keep, page
from meta_pipeline_tests.report.accessibility import sentences_cut_off
from meta_pipeline_tests.store.live_book import NOW

AXE = Path(__file__).parents[1] / "report" / "axe" / "axe.min.js"
WIDEST = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


LOOKED_AT = {(390, "dark"), (1440, "light")}


def _file_name(address: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", address.removeprefix("/pages/").lower())[:60].strip("-")


class Watch:
    """Stops what leaves this machine, and notes it, with what the pages complain of."""

    def __init__(self, browser: Page) -> None:
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        browser.context.route("**/*", self._route)
        browser.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        browser.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _route(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.hostname == "127.0.0.1" or address.scheme == "data":
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()


@pytest.fixture
def seeded(database: Database, tmp_path: Path) -> dict[str, str]:
    return seed(database, settings_of(tmp_path))


def sign_in(browser: Page, address: str, token: str) -> None:
    browser.goto(f"{address}/pages/inbox")
    browser.get_by_label("Token").fill(token)
    browser.get_by_role("button", name="Sign in").click()


def test_a_person_walks_from_the_inbox_to_an_applied_and_reverted_change(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    token = token_of(database, "approver", "Bob")
    with served(context_of(database, tmp_path, open_access=False)) as address, page() as browser:
        watch = Watch(browser)
        sign_in(browser, address, token)
        browser.locator(f'a[href$="{seeded["pending"]}"]').click()
        headings = [text.lstrip("12345678") for text in browser.locator("section > h2").all_inner_texts()[:8]]
        assert headings == [
            *("The change", "Effect", "Downside", "Checks"),
            *("Exact difference", "Track record", "Exit plan", "Who"),
        ]
        browser.get_by_role("link", name="Exactly what will be signed").click()
        assert browser.locator("figure svg").count() >= 1
        assert browser.evaluate("document.styleSheets.length") == 1
        browser.go_back()
        digest = browser.locator("code.digest").inner_text()
        assert len(digest) == SHORT_DIGEST
        browser.get_by_role("radio", name="Approve").check()
        browser.get_by_label("Reason; needed to reject").fill("it holds in every half")
        browser.get_by_label("Type the 8 digits").fill("00000000")
        browser.get_by_role("button", name="Decide as Bob").click()
        assert "not that of this proposal" in browser.get_by_role("alert").inner_text()
        assert browser.get_by_label("Reason; needed to reject").input_value() == "it holds in every half"
        complaints_of_refusal = watch.complaints.copy()
        assert all("422" in one for one in complaints_of_refusal), complaints_of_refusal
        browser.get_by_label("Type the 8 digits").fill(digest)
        browser.get_by_role("button", name="Decide as Bob").click()
        assert "Approved." in browser.get_by_role("status").inner_text()
        browser.get_by_role("button", name="Apply as Bob").click()
        assert "Applied." in browser.get_by_role("status").inner_text()
        assert live_lookback(database) == 50
        browser.get_by_role("complementary").get_by_role("link").click()
        browser.get_by_label("Reason").fill("worse")
        digits = browser.locator("code.digest").inner_text()
        browser.get_by_label("Type the 8 digits").fill(digits)
        browser.get_by_role("button", name="Revert as Bob").click()
        assert "Reverted." in browser.get_by_role("status").inner_text()
        assert live_lookback(database) == 20
        browser.get_by_role("button", name="Sign out").click()
        assert browser.get_by_label("Token").is_visible()
        assert watch.complaints == complaints_of_refusal
        assert watch.elsewhere == []


def test_a_page_that_is_left_open_says_when_it_is_out_of_date_and_moves_nothing_else(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    context = context_of(database, tmp_path)
    with served(context) as address, page() as browser:
        watch = Watch(browser)
        browser.clock.install()
        browser.goto(f"{address}/pages/inbox")
        row = browser.locator(f'a[href$="{seeded["pending"]}"]')
        assert row.is_visible()
        with browser.expect_response("**/inbox/live*"):
            browser.clock.fast_forward(live.SECONDS * 1000)
        assert browser.get_by_text("Load it again").count() == 0
        reject(database, tmp_path, seeded["pending"])
        with browser.expect_response("**/inbox/live*"):
            browser.clock.fast_forward(live.SECONDS * 1000)
        browser.get_by_text("Load it again").wait_for()
        assert browser.locator(".tile b").first.inner_text() == "0"
        assert row.is_visible()
        browser.get_by_text("Load it again").click()
        assert row.count() == 0
        assert watch.complaints == []
        assert watch.elsewhere == []


def reject(database: Database, home: Path, proposal_id: str) -> None:
    with database.connect() as connection:
        digest = proposals.get(connection, proposal_id).body_digest
    decision = Decision(proposal_id=proposal_id, digest=digest, verdict="reject", reason="no")
    settings = settings_of(home)
    done = governance.decide(
        database, [decision], approver="Bob", channel="api", channel_ref="", now=NOW, settings=settings
    )
    assert done[0].error is None


def live_lookback(database: Database) -> Any:
    with database.connect() as connection:
        return strategies.live_config(connection, "TREND").config["lookback"]


def test_every_page_fits_both_widths_in_light_and_dark_and_axe_finds_nothing_serious(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    assert AXE.is_file()
    context = context_of(database, tmp_path)
    urls = [one.url for one in addresses(create_app(context), seeded) if one.is_page and one.path != "/pages/"]
    assert len(urls) >= 15
    with served(context) as address, page() as browser:
        watch = Watch(browser)
        faults = []
        for one in [*urls, f"/pages/proposals/{seeded['applied']}", "/pages/inbox?status=all", "/pages/audit?verify=1"]:
            answer = browser.goto(f"{address}{one}")
            assert answer is not None
            assert answer.status == 200, one
            for width, scheme in ((390, "light"), (390, "dark"), (1440, "dark"), (1440, "light")):
                browser.set_viewport_size({"width": width, "height": 900})
                browser.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                if browser.evaluate(WIDEST) > 0:
                    faults.append(f"{one} at {width}: {browser.evaluate(WIDEST)} px too wide")
                faults += [f"{one} at {width}: cut off: {said}" for said in sentences_cut_off(browser)]
                if (width, scheme) in LOOKED_AT:
                    keep(browser, f"pages/{_file_name(one)}-{width}-{scheme}")
                # In the sandbox of a report axe would wait for ever; report/test_in_a_browser.py runs it on the file.
                if (width, scheme) in LOOKED_AT and "/reports/" not in one:
                    faults += [f"{one} {width} {scheme}: {said}" for said in serious(browser)]
        assert faults == []
        browser.goto(f"{address}/pages/inbox")
        browser.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\">')")
        assert any("image-alt" in one for one in serious(browser))  # it can find something
        assert watch.complaints == []
        assert watch.elsewhere == []


def serious(browser: Page) -> list[str]:
    """Return the serious and critical violations that axe finds."""
    # From the debugger, which no policy of the page binds: the page itself may run no script at all.
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    found = browser.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')[:300]}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
