"""Every address of the web pages, read off the app itself: a page that is added is looked at by every test of these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.routing import APIRoute

from meta_pipeline_tests.api.seeded_pages import MODEL

STATIC = ("/pages/style.css", "/pages/static/")
FRAGMENTS = ("/pages/inbox/live", "/pages/policy/live")
"""Parts of pages, which stand in their whole, too."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A method, the template of its route, and an address that it takes."""

    method: str
    path: str
    url: str

    @property
    def is_page(self) -> bool:
        return self.method == "GET" and not self.path.startswith((*STATIC, *FRAGMENTS)) and "{rest" not in self.path


def routes_of(router: Any) -> Iterator[APIRoute]:
    """Return all routes, those of included routers too."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner)
        elif isinstance(route, APIRoute):
            yield route


def addresses(app: FastAPI, ids: Mapping[str, str]) -> list[Address]:
    """Return every address under /pages; a parameter that is not known here is an error."""
    known = {
        "proposal_id": ids["pending"],
        "change_id": ids["change"],
        "freeze_id": ids["freeze"],
        "sha256": ids["report"],
        "model_id": MODEL,
        "id": ids["strategy"],
        "name": ids["search"],
    }
    found = []
    for route in routes_of(app):
        if not route.path.startswith("/pages"):
            continue
        if route.path == "/pages/{rest:path}":
            found.append(Address(method="GET", path=route.path, url="/pages/nothing"))
            continue
        path = route.path.format(**{name: quote(value, safe="") for name, value in known.items()})
        needed = [one.alias for one in route.dependant.query_params if one.field_info.is_required()]
        query = urlencode({name: known[name] for name in needed})
        url = f"{path}?{query}" if query else path
        found += [Address(method=method, path=route.path, url=url) for method in sorted(route.methods or ())]
    return found
