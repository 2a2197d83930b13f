"""The one script, htmx, and what it is for: figures of a page that is left open are asked for again.

Pages are whole without it. What it brings are the tiles at the top and a sentence if the page is no longer what is on
record; lists and forms stay as they are, so that nothing moves under a hand that is about to click.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from meta_pipeline.api.web.pages import CLOSED, HEADERS, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SCRIPT: Final = "htmx-2.0.11.min.js"
INTEGRITY: Final = "sha384-2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg"
"""Hash of the script as its authors published it. Browsers do not run another file."""

SECONDS: Final = 20
"""After so many seconds the figures are asked for again."""

POLICY: Final = f"{CLOSED}; script-src 'self'; connect-src 'self'"
"""What a page with the script may do besides: run files of this server, and ask it."""

CONFIG: Final = json.dumps(
    {
        "allowEval": False,
        "allowScriptTags": False,
        "historyEnabled": False,
        "includeIndicatorStyles": False,
        "selfRequestsOnly": True,
        "timeout": 10_000,
    }
)


@dataclass(frozen=True, kw_only=True)
class Live:
    """The part of a page that is asked for again.

    Parameters
    ----------
    address
        Where to ask, with the mark of what the whole page shows.
    page
        Where the whole page is.
    tiles
        Figures: value, what it is, and where it leads if anywhere.
    as_of
        When they were read.
    moved
        Whether the rest of the page is older than they are.
    """

    address: str
    page: str
    tiles: list[tuple[str, ...]]
    as_of: str
    moved: bool = False
    seconds: int = SECONDS
    script: str = f"/pages/static/{SCRIPT}"
    integrity: str = INTEGRITY
    config: str = CONFIG


def moment_text(at: datetime) -> str:
    """Write a moment to the second: how old figures are counts here."""
    return at.strftime("%Y-%m-%d %H:%M:%S %Z")


@router.get(f"/pages/static/{SCRIPT}")
async def script() -> Response:
    """Return the script; it says nothing about anybody, so everybody may have it."""
    headers = {**HEADERS, "Cache-Control": "public, max-age=86400"}
    return Response(script_bytes(), media_type="text/javascript", headers=headers)


@cache
def script_bytes() -> bytes:
    """Return the bytes of the script."""
    return (Path(__file__).parent / "static" / SCRIPT).read_bytes()
