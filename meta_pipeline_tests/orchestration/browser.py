"""A headless Chromium: the system's, as .ci/run installs it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
"""Where CI keeps what its browsers saw, for people to look at; git does not."""


def keep(page: Page, name: str) -> None:
    """Keep in CI what a page looks like, from top to bottom."""
    if os.environ.get("CI") == "true":
        page.screenshot(path=SCREENSHOTS / f"{name}.jpeg", type="jpeg", quality=60, full_page=True)


def chromium_path() -> str | None:
    """Where Chromium is; None if it is not installed."""
    named = os.environ.get("CHROMIUM", "")
    found = (named, *(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")))
    return next((path for path in found if path and Path(path).exists()), None)


@contextmanager
def page(*, width: int = 1400, height: int = 900) -> Iterator[Page]:
    """Open an empty page; without a browser the test is skipped, which is a failure in CI."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium here; .ci/run installs it, or name one with CHROMIUM=/path/to/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()
