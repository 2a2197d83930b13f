"""Routes whose bodies are read by the strict JSON reader."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from meta_pipeline.api.strict_json import strict_loads


class StrictRequest(Request):
    """A request whose `json()` is strict."""

    async def json(self) -> Any:
        """Read the body; raises as `strict_loads`."""
        return strict_loads(await self.body())


class StrictRoute(APIRoute):
    """A route of strict requests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
