"""The report files as a person meets them: opened from disk, narrow and wide, light and dark, without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from meta_pipeline_tests.orchestration.browser import ARGUMENTS, chromium_path
from meta_pipeline_tests.report import documents
from meta_pipeline_tests.report.accessibility import sentences_cut_off, serious_violations, wider_than_the_window

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium here; .ci/run installs it, or name one with CHROMIUM=/path/to/chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    written = {
        "strategy": documents.strategy_document(),
        "proposal": documents.proposal_document(),
        "hostile strategy": documents.hostile_strategy_document(),
        "hostile proposal": documents.proposal_document(" ".join(documents.HOSTILE)),
    }
    for name, content in written.items():
        (folder / f"{name}.html").write_bytes(content)
    return {name: folder / f"{name}.html" for name in written}


def opened(browser: Browser, path: Path, *, width: int, scheme: str) -> tuple[Page, list[str], list[str]]:
    """Open a file with every other address out of reach; return the page, what it asked for, and its complaints."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        offline=True,
    )
    asked: list[str] = []
    complaints: list[str] = []

    def only_itself(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_() if route.request.url == path.as_uri() else route.abort()

    context.route("**/*", only_itself)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(path.as_uri())
    return page, asked, complaints


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("strategy", 1440, "light"),
        ("strategy", 390, "dark"),
        ("proposal", 1440, "dark"),
        ("proposal", 390, "light"),
        ("hostile strategy", 390, "light"),
        ("hostile proposal", 1440, "dark"),
    ],
)
def test_a_report_is_whole_accessible_and_asks_for_nothing(
    browser: Browser, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page, asked, complaints = opened(browser, files[name], width=width, scheme=scheme)
    assert (asked, complaints) == ([files[name].as_uri()], [])
    assert wider_than_the_window(page) == 0
    assert page.locator("figure svg").count() >= 4
    assert page.evaluate("document.querySelectorAll('script').length") == 0
    for summary in page.locator("summary").all():
        summary.click()  # the tables under the charts are looked at, too
    assert serious_violations(page) == []
    assert sentences_cut_off(page) == []
    page.context.close()


def test_colours_follow_the_reader_and_paper_is_white(browser: Browser, files: dict[str, Path]) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('.stroke-blue')).stroke"
    light, *_ = opened(browser, files["proposal"], width=1440, scheme="light")
    dark, *_ = opened(browser, files["proposal"], width=1440, scheme="dark")
    assert light.evaluate(background) != dark.evaluate(background)
    assert light.evaluate(line) != dark.evaluate(line)
    light.emulate_media(media="print")
    assert light.evaluate(background) == "rgb(255, 255, 255)"


def test_axe_finds_what_it_is_there_for(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content('<html lang="en"><title>t</title><main><img src="x:"><input><p style="color:#ddd">pale</p></main>')
    found = " ".join(serious_violations(page))
    assert "image-alt" in found
    assert "color-contrast" in found
    assert "label" in found
