"""Stored reports, byte for byte as they were written: what was signed, and what a night found."""

import re
from pathlib import Path as Folder
from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.web.pages import HEADERS, PageRoute
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.errors import ArtifactBroken, NotFound
from meta_pipeline.report.files import FOLDER, report_files
from meta_pipeline.report.html import style_source

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_STYLE: Final = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


@router.get("/pages/reports/{sha256}")
async def report(context: Ctx, _: Visits, sha256: Annotated[str, Path(max_length=200)]) -> Response:
    """Return the report of a sha256. Its bytes are held against their name first."""
    content = await in_thread(lambda: read_report(context.settings.home, sha256))
    headers = {**HEADERS, "Content-Security-Policy": policy_of(content)}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def policy_of(content: bytes) -> str:
    """Return what a browser may do with a report: use the one style sheet that stands in it, and nothing else.

    The sandbox takes its origin away, so that it could not reach these pages even if a script ran.
    """
    found = _STYLE.search(content)
    style = "none" if found is None else style_source(found.group(1))
    closed = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    return f"default-src 'none'; style-src '{style}'; {closed}"


def read_report(home: Folder, sha256: str) -> bytes:
    """Return the bytes of a report.

    Raises
    ------
    InputError
        If it is no sha256.
    NotFound
        If this server's home folder does not hold it.
    ArtifactBroken
        If the file is not what was written.
    """
    try:
        return report_files(home).get(sha256)
    except NotFound:
        raise NotFound(
            f"the report {sha256} is not in {FOLDER}/ of this server's home folder; restore the file from a backup, or "
            "serve the home folder that it was written to. No other file can take its place: the name is its sha256"
        ) from None
    except ArtifactBroken:
        raise ArtifactBroken(
            f"the file of the report {sha256} was changed or cut since it was written, and is not shown; restore it "
            "from a backup, and find out who can write to the home folder"
        ) from None
