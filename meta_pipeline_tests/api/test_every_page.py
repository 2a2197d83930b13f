"""What holds of every page of the app: headers, hostile text, forms, and who may see it."""

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.testclient import TestClient

from meta_pipeline.api.web import live
from meta_pipeline.api.web.pages import CLOSED
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import client_of, settings_of
from meta_pipeline_tests.api.every_page import STATIC, Address, addresses
from meta_pipeline_tests.api.seeded_pages import seed

HOSTILE = "<script>alert(1)</script></svg><script>x</script>{{7*7}}=cmd()\u202egnp.exe"
SHORT_HOSTILE = '"><script>x</script>{{7*7}}\u202e'
WITH_SCRIPT = ("/pages/inbox", "/pages/policy")


class Elements(HTMLParser):
    """What a browser would make of a page: elements, scripts, attributes that run something, and the text shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.scripts: list[dict[str, str | None]] = []
        self.running: list[str] = []
        self.loaded: list[str] = []
        self.inside: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.running += [name for name, _ in attrs if name.startswith(("on", "hx-on")) or name == "style"]
        self.loaded += [str(value) for name, value in attrs if name in {"src", "href", "action", "hx-get"}]
        if tag == "script":
            self.scripts.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.lasttag == "script":
            self.inside.append(data.strip())


def app_of(client: TestClient) -> FastAPI:
    assert isinstance(client.app, FastAPI)
    return client.app


def test_every_answer_under_pages_closes_the_browser_as_far_as_it_can(database: Database, tmp_path: Path) -> None:
    ids = seed(database, settings_of(tmp_path))
    client = client_of(database, tmp_path)
    found = addresses(app_of(client), ids)
    assert len(found) >= 30
    for one in found:
        answer = client.request(one.method, one.url, follow_redirects=False)
        expected = 404 if "{rest" in one.path else 303 if one.path == "/pages/" else 200 if one.method == "GET" else 403
        assert answer.status_code == expected, (one, answer.text[:500])
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff", one
        assert headers["X-Frame-Options"] == "DENY", one
        assert headers["Referrer-Policy"] == "same-origin", one
        kept = "public" if one.path.startswith(STATIC) else "no-store"
        assert headers["Cache-Control"].startswith(kept), one
        assert headers["Content-Security-Policy"] == policy_of(one, answer.text), one


def policy_of(one: Address, page: str) -> str:
    """Return the one policy that is right for an address."""
    if one.path == "/pages/reports/{sha256}":
        (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
        named = b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return (
            f"default-src 'none'; style-src 'sha256-{named}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'; sandbox"
        )
    return f"{CLOSED}; script-src 'self'; connect-src 'self'" if one.path in WITH_SCRIPT else CLOSED


def test_hostile_text_is_text_on_every_page_and_the_one_script_is_ours(database: Database, tmp_path: Path) -> None:
    ids = seed(
        database,
        settings_of(tmp_path),
        strategy=SHORT_HOSTILE,
        rationale=HOSTILE,
        author=f"Ann {SHORT_HOSTILE.rstrip(chr(0x202E))}",
        approver=f"Bob {SHORT_HOSTILE.rstrip(chr(0x202E))}",
        description=HOSTILE,
        note=HOSTILE,
    )
    client = client_of(database, tmp_path)
    shown = [one for one in addresses(app_of(client), ids) if one.is_page and one.path != "/pages/"]
    for one in [*shown, *_filled(ids)]:
        answer = client.get(one.url)
        assert answer.status_code == 200, one
        found = Elements(answer.text)
        assert found.running == [], one
        assert "\u202e" not in answer.text, one
        assert not [address for address in found.loaded if not address.startswith(("/pages/", "#", "data:,"))], one
        ours = {"src": f"/pages/static/{live.SCRIPT}", "integrity": live.INTEGRITY, "defer": None}
        assert found.scripts == ([ours] if one.path in WITH_SCRIPT else []), one
        assert not any(found.inside), one
        if one.path != "/pages/sign-in":
            assert "{{7*7}}" in found.text, one


def test_an_error_shows_what_was_asked_for_as_text(database: Database, tmp_path: Path) -> None:
    seed(database, settings_of(tmp_path))
    client = client_of(database, tmp_path)
    for place in ("", "strategy?id=", "search?name=", "proposals/", "changes/", "models/", "policy?scope="):
        answer = client.get(f"/pages/{place}{quote(SHORT_HOSTILE)}")
        assert answer.status_code in {404, 422}, place
        found = Elements(answer.text)
        assert (found.running, found.scripts, "\u202e" in answer.text) == ([], [], False), place


def _filled(ids: dict[str, str]) -> list[Address]:
    """Return addresses of lists in which everything stands."""
    urls = ("/pages/inbox?status=all", f"/pages/proposals/{ids['applied']}", "/pages/audit?verify=1")
    return [Address(method="GET", path=url.partition("?")[0], url=url) for url in urls]


def test_every_page_is_only_for_those_who_are_signed_in_and_every_form_carries_its_token(
    database: Database, tmp_path: Path
) -> None:
    ids = seed(database, settings_of(tmp_path))
    client = client_of(database, tmp_path, open_access=False)
    opened = client_of(database, tmp_path)
    for one in addresses(app_of(client), ids):
        answer = client.request(one.method, one.url, follow_redirects=False)
        if one.path.startswith((*STATIC, "/pages/sign-in")):
            continue
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) in {
            (303, "/pages/sign-in"),
            (303, "/pages/inbox"),
        }, one
        assert answer.text == "", one
        part = client.request(one.method, one.url, headers={"HX-Request": "true"}, follow_redirects=False)
        if one.path != "/pages/":
            assert (part.status_code, part.headers["HX-Refresh"]) == (401, "true"), one
        if one.is_page and one.path != "/pages/":
            forms = re.findall(r'<form[^>]*method="post".*?</form>', opened.get(one.url).text, re.DOTALL)
            assert all('name="form_token"' in form for form in forms), one


def test_the_script_is_the_file_that_its_authors_published(database: Database, tmp_path: Path) -> None:
    content = client_of(database, tmp_path).get(f"/pages/static/{live.SCRIPT}")
    assert content.headers["Content-Type"].startswith("text/javascript")
    assert "sha384-" + b64encode(hashlib.sha384(content.content).digest()).decode() == live.INTEGRITY
    published = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
    assert hashlib.sha256(content.content).hexdigest() == published


def test_the_figures_of_an_open_page_say_when_the_rest_of_it_is_out_of_date(database: Database, tmp_path: Path) -> None:
    seed(database, settings_of(tmp_path))
    client = client_of(database, tmp_path)
    for page in WITH_SCRIPT:
        asked = re.search(r'hx-get="([^"]+)"', client.get(page).text)
        assert asked is not None
        address = asked.group(1).replace("&amp;", "&")
        same = client.get(address).text
        assert "As of 2026-11-20 12:00:00 UTC" in same
        assert "Load it again" not in same
        assert f'hx-get="{asked.group(1)}"' in same
        moved = client.get(re.sub(r"seen=[^&]+", "seen=0.0", address)).text
        assert "What is on record has changed since this page was made." in moved
        assert "<form" not in moved
        assert "<html" not in moved
