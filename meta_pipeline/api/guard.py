"""The outermost layer: which requests come in at all, and how long they took.

Looked at before anything else: the host a request names (a page in a browser must not reach a local server under a
name of its own), the origin of requests that change something, the form, the size and the time of the body, and NUL,
which no text of ours can hold.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meta_pipeline.api.problems import problem

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
LARGEST_BODY: Final = 2**20
LARGER_BODIES: Final[Mapping[str, int]] = {"/api/v1/live/": 8 * 2**20, "/api/v1/backtest-runs": 32 * 2**20}
"""Where more may be sent at once than a form takes: by the beginning of the path, in bytes."""

PAGES: Final = "/pages/"
"""Where the web pages are."""

SLOWEST_BODY: Final = 60.0
"""Seconds within which a body must have come."""

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)

Observe = Callable[[str, str, int, float], None]
"""(method, route, status, seconds)"""


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    app
        What is guarded.
    allowed_hosts
        Lower case, without a port.
    observe
        Told of every request, with the template of its route and not its path: their number is bounded.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: frozenset[str], observe: Observe) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in HEADERS if name not in present),
                ]
                if b"cache-control" not in present:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            refusal, inner = await self._admit(scope, receive)
            if refusal is not None:
                await refusal(scope, receive, note)
            else:
                await self._app(scope, inner, note)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._observe(method, route, status, time.perf_counter() - began)

    async def _admit(self, scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refused_by_headers(scope, headers)
        if refusal is not None or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return refusal, receive
        try:
            async with asyncio.timeout(SLOWEST_BODY):
                body, refusal = await _body(headers, receive, largest=_largest(scope["path"]))
        except TimeoutError:
            return problem(408, "too_slow", f"the body did not come within {SLOWEST_BODY:g} seconds"), receive
        kind = headers.get("content-type", "")
        if refusal is None and body and not (_is_form(kind) if _is_page(scope["path"]) else _is_json(kind)):
            refusal = problem(415, "not_json", "send JSON, with Content-Type: application/json")
        return refusal, _replayed(body)

    def _refused_by_headers(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        host = _host(headers.get("host", ""))
        if host not in self._allowed_hosts:
            return problem(
                400,
                "host_not_allowed",
                f"this server does not answer to {host[:80]!a}; name it with: meta-pipeline serve --allow-host NAME",
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE and self._is_foreign(origin, headers["host"]):
            return problem(403, "cross_origin", "a page of another origin may not change anything here")
        if b"%00" in scope.get("raw_path", b"") or "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return problem(422, "invalid_input", "the address holds NUL, which no name of ours can")
        return None

    def _is_foreign(self, origin: str, host: str) -> bool:
        """Say whether a page is not of this server. On this machine other ports are other servers."""
        try:
            named = urlsplit(origin)
            name = named.hostname
        except ValueError:
            return True
        own_name = name in self._allowed_hosts - LOOPBACK_NAMES
        return not (own_name or (named.netloc and named.netloc.lower() == host.lower()))


_METHODS: Final = SAFE | {"POST", "PUT", "PATCH", "DELETE"}


def _host(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return header


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _is_page(path: str) -> bool:
    """Say whether a path is of the web pages: they take what browsers send, and each form has a token of its own."""
    return path.startswith(PAGES)


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def _largest(path: str) -> int:
    return next((size for begin, size in LARGER_BODIES.items() if path.startswith(begin)), LARGEST_BODY)


async def _body(headers: dict[str, str], receive: Receive, *, largest: int) -> tuple[bytes, Response | None]:
    too_large = problem(413, "too_large", f"the body is larger than {largest:,} bytes; send less at once")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > largest:
        return b"", too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", problem(400, "invalid_input", "the request broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > largest:
            return b"", too_large
        if not message.get("more_body", False):
            return b"".join(parts), None


def _replayed(body: bytes) -> Receive:
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
