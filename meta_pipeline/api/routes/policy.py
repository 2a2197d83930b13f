"""/api/v1/policy, executors and live books: what executors read, what they report, and the brake."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Caller, Executor, Operator, PolicyReader, Reader, in_thread
from meta_pipeline.api.conditions import IdempotencyKey, IfNoneMatch, json_response, matches, once
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import FillsForm, HeartbeatForm, PricesForm, ReasonForm
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.errors import NotFound
from meta_pipeline.policy.rows import fill_of, price_of
from meta_pipeline.store import executors, live_books, live_trades, policies
from meta_pipeline.store.controller import publish_record
from meta_pipeline.store.policies import PolicyRecord

router = APIRouter(prefix="/api/v1", tags=["policy"], route_class=StrictRoute)

Scope = Annotated[str, Query(min_length=1, max_length=64, description="The live book.")]
LIVE = "live"
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not changed since If-None-Match."}}


@router.get("/policy", responses={**problem_responses(), **_UNCHANGED, 200: {"model": answers.PolicyDocument}})
async def document(
    request: Request, context: Ctx, _: PolicyReader, scope: Scope = LIVE, if_none_match: IfNoneMatch = None
) -> Response:
    """Return the newest policy document, byte for byte as it was signed. Its ETag is its version and epoch."""
    record = await request.app.state.kept_policy.get(scope, lambda: _latest(context, scope))
    return _document(record, if_none_match)


@router.get(
    "/policy/versions/{version}",
    responses={**problem_responses(), **_UNCHANGED, 200: {"model": answers.PolicyDocument}},
)
async def document_version(
    context: Ctx,
    _: PolicyReader,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    scope: Scope = LIVE,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return one version of the present epoch."""

    def read() -> PolicyRecord:
        with context.database.connect() as connection:
            return policies.get_policy(connection, scope, version)

    return _document(await in_thread(read), if_none_match)


@router.post("/policy/halt", responses={**problem_responses(409), 200: {"model": answers.PolicyDocument}})
async def halt(
    request: Request,
    context: Ctx,
    caller: Operator,
    form: ReasonForm,
    scope: Scope = LIVE,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Stop all new trades of a book at once; exits and cancels go on. Returns the document that says so."""
    return await _brake(request, context, caller, "halt", scope, form, idempotency_key)


@router.post("/policy/resume", responses={**problem_responses(409), 200: {"model": answers.PolicyDocument}})
async def resume(
    request: Request,
    context: Ctx,
    caller: Operator,
    form: ReasonForm,
    scope: Scope = LIVE,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """End a halt. The mode stays DEFENSIVE until the calm has lasted."""
    return await _brake(request, context, caller, "resume", scope, form, idempotency_key)


@router.post("/executors/heartbeats", tags=["executors"], status_code=204, responses=problem_responses(409))
async def heartbeat(context: Ctx, _: Executor, form: HeartbeatForm) -> Response:
    """Report what an executor runs; only its latest word is kept."""

    def write() -> None:
        beat = executors.Heartbeat(
            **{
                **form.model_dump(),
                "reasons": tuple(form.reasons),
                "reported_at": datetime.fromtimestamp(form.reported_at, UTC),
            }
        )
        with context.database.begin() as connection:
            executors.record_heartbeat(connection, beat, now=context.now())

    await in_thread(write)
    return Response(status_code=204)


@router.get("/executors", tags=["executors"], responses={**problem_responses(), 200: {"model": answers.Executors}})
async def list_executors(context: Ctx, _: Reader, scope: Scope = LIVE) -> Response:
    """Return what executors run, how far each is behind, and how far they are apart."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            record = policies.latest_policy(connection, scope)
            epoch, version = ("", 0) if record is None else (record.epoch, record.version)
            found = executors.list_executors(connection, scope, epoch=epoch, version=version, now=context.now())
        return {"executors": [one.to_json() for one in found], "skew": executors.skew(found), "version": version}

    return json_response(await in_thread(read))


@router.post(
    "/live/fills", tags=["live books"], responses={**problem_responses(409), 200: {"model": answers.FillsTaken}}
)
async def take_fills(context: Ctx, caller: Executor, form: FillsForm, scope: Scope = LIVE) -> Response:
    """Take live fills in, each once by its execution id; none says that there were none.

    What cannot be used is refused by name, and until it is mended the book counts as not fully known.
    """

    def write() -> dict[str, Any]:
        fills = [fill_of(fill.model_dump()) for fill in form.fills]
        with context.database.begin() as connection:
            _require_book(connection, caller, scope)
            done = live_trades.ingest_fills(connection, scope, fills, actor=caller.name, now=context.now())
        return {**done.to_json(), "scope": scope}

    return json_response(await in_thread(write))


@router.post("/live/prices", tags=["live books"], responses={**problem_responses(409), 200: {"model": answers.Answer}})
async def take_prices(context: Ctx, caller: Executor, form: PricesForm, scope: Scope = LIVE) -> Response:
    """Take market prices in; of each UTC day the latest stands."""

    def write() -> dict[str, Any]:
        prices = [price_of(price.model_dump()) for price in form.prices]
        with context.database.begin() as connection:
            _require_book(connection, caller, scope)
            n = live_books.record_prices(connection, scope, prices, actor=caller.name, now=context.now())
        return {"scope": scope, "prices": len(prices), "days_written": n}

    return json_response(await in_thread(write))


def _require_book(connection: Connection, caller: Caller, scope: str) -> None:
    """Let only operators make books: an executor's misspelt scope is refused, and not evaluated for ever."""
    if scope != LIVE and "operator" not in caller.roles:
        live_books.load_scope(connection, scope)


def _latest(context: Context, scope: str) -> PolicyRecord:
    with context.database.connect() as connection:
        record = policies.latest_policy(connection, scope)
    if record is None:
        raise NotFound(f"the book {scope!r} has no policy; executors without one are DEFENSIVE and only reduce")
    return record


def _document(record: PolicyRecord, if_none_match: str | None) -> Response:
    tag = f'"{record.version}-{record.epoch[:8]}"'
    if matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(record.document, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-cache"})


async def _brake(
    request: Request,
    context: Context,
    caller: Caller,
    action: str,
    scope: str,
    form: ReasonForm,
    idempotency_key: str | None,
) -> Response:
    def work() -> Response:
        act = policies.halt if action == "halt" else policies.resume
        record = act(context.database, scope, context.controller(), actor=caller.name, reason=form.reason)
        publish_record(context.database, record, context.controller(), context.settings)
        return _document(record, None)

    asked = f"{action} {scope}", form.model_dump()
    answer: Response = await in_thread(lambda: once(context, caller, idempotency_key, asked, work))
    request.app.state.kept_policy.forget()
    request.app.state.kept_status.forget()
    return answer
