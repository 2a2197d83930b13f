"""axe-core on a page that is open: what stops people from reading or using it."""

import hashlib
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def axe_source() -> str:
    """Return the script, as it was published."""
    content = AXE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, "axe.min.js is not the file that was published"
    return content.decode("utf-8")


def serious_violations(page: Page) -> list[str]:
    """Return what axe finds that is serious or critical: the rule, and the elements."""
    page.evaluate(axe_source())
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def sentences_cut_off(page: Page) -> list[str]:
    """Return the beginnings of sentences in tables that can be read only after a region was moved sideways."""
    found: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('td.long, td.mid')].filter("
        "cell => cell.checkVisibility() && cell.getBoundingClientRect().right > innerWidth"
        ").map(cell => cell.textContent.slice(0, 60))"
    )
    return found


def wider_than_the_window(page: Page) -> int:
    """Return by how many pixels the page itself, and not a region in it, has to be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
