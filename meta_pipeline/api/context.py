"""What every route works with: database, settings, clock, controller, and a few answers kept for a moment."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.settings import Settings
from meta_pipeline.store.controller import controller_of
from meta_pipeline.store.database import Database
from meta_pipeline.store.policies import Controller

T = TypeVar("T")


def host_clock() -> datetime:
    """Return the time by this machine's clock, UTC."""
    return datetime.now(UTC)


@dataclass(kw_only=True, eq=False)
class Context:
    """What an app is made with.

    Parameters
    ----------
    open_access
        Whether requests without a token are served, as `actor`: only ever on a loopback address, and only until the
        first token is made.
    actor
        Who acts without a token: the user of this machine.
    allowed_hosts
        Names that requests may use for this server, in lower case and without a port.
    agent
        The meta-model's agent, if there is one in this process.
    clock
        Returns the time, UTC-aware.
    """

    database: Database
    settings: Settings
    open_access: bool
    actor: str
    allowed_hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    agent: MetaAgent | None = None
    clock: Callable[[], datetime] = host_clock
    _controller: Controller | None = None
    _lock: Lock = field(default_factory=Lock)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self.clock()

    def decision_time(self) -> datetime:
        """Return the time that decisions are made and compared at: the database's, unless a test gave a clock."""
        return self.database.now() if self.clock is host_clock else self.clock()

    def controller(self) -> Controller:
        """Return the controller of the settings, made when it is first needed."""
        with self._lock:
            if self._controller is None:
                self._controller = controller_of(self.settings, clock=self.clock, timer=time.perf_counter)
            return self._controller


class Kept(Generic[T]):
    """Answers of one kind, each computed at most once in `seconds`, however many ask for it at the same time."""

    def __init__(self, seconds: float, *, most: int = 256) -> None:
        self._seconds = seconds
        self._most = most
        self._answers: dict[str, tuple[float, T]] = {}
        self._under_way: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, compute: Callable[[], T]) -> T:
        """Return the answer, computed in a thread if none is kept; what fails is not kept."""
        kept = self._answers.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._compute(key, compute))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Drop what is kept: something was changed."""
        self._answers.clear()

    async def _compute(self, key: str, compute: Callable[[], T]) -> T:
        began = time.monotonic()
        answer = await run_in_threadpool(compute)
        if len(self._answers) >= self._most:
            self._answers.clear()
        self._answers[key] = (began + self._seconds, answer)
        return answer


def context_of(request: Request) -> Context:
    """Return the context of the app that serves a request."""
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(context_of)]
