"""Routes whose bodies are read by the strict JSON reader, and only for those who are known.

Reading a large body takes seconds: nobody may ask for that without a token, and nobody else waits for it.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from meta_pipeline.api.access import caller_of
from meta_pipeline.api.strict_json import strict_loads

LARGE: Final = 2**16
"""A body of so many bytes is read in a thread."""


class StrictRequest(Request):
    """A request whose `json()` is strict."""

    async def json(self) -> Any:
        """Read the body; raises as `strict_loads`."""
        body = await self.body()
        return strict_loads(body) if len(body) < LARGE else await run_in_threadpool(strict_loads, body)


class StrictRoute(APIRoute):
    """A route of strict requests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            await caller_of(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
