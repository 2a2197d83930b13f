"""/api/v1/backtest-runs: runs in, through the quality gate, and what is stored of them."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Reader, Researcher, in_thread
from meta_pipeline.api.conditions import IdempotencyKey, json_response, once
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import RunForm, RunsForm, TradeForm
from meta_pipeline.api.links import of_first_item
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.backtests.recording import record
from meta_pipeline.backtests.run import BacktestRun, Trade
from meta_pipeline.errors import InputError
from meta_pipeline.store.backtests import RunStore, close_campaign
from meta_pipeline.store.runs import list_runs, read_run

router = APIRouter(prefix="/api/v1", tags=["backtests"], route_class=StrictRoute)


@router.post("/backtest-runs", responses={**problem_responses(409), 200: {"model": answers.RunsTaken}})
async def take_runs(
    context: Ctx, caller: Researcher, form: RunsForm, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take backtest runs in: accepted, quarantined with a reason code, or known before.

    What is wrong with a run is said by the quality gate and stops none of the others. The same runs again add nothing.
    """

    def work() -> Response:
        sink = RunStore(context.database, actor=caller.name, clock=context.clock)
        runs = [_run(one) for one in form.runs]
        summary = record(runs, into=sink)
        if form.close_campaigns:
            with context.database.begin() as connection:
                for strategy_id, campaign_id in sorted({(run.strategy_id, run.campaign_id) for run in runs}):
                    close_campaign(connection, strategy_id, campaign_id, now=context.now())
        return json_response(summary.to_json())

    def keyed() -> Response:
        # The body is digested only where a key asks for it: it may be large.
        asked = "backtest-runs", form.model_dump() if idempotency_key is not None else None
        return once(context, caller, idempotency_key, asked, work)

    return await in_thread(keyed)


_LINKS = of_first_item("run_id", "run_id", "backtests_get_run")


@router.get("/backtest-runs", responses={**problem_responses(), 200: {"model": answers.Answer, "links": _LINKS}})
async def list_stored(
    context: Ctx,
    _: Reader,
    strategy_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    campaign_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    state: Annotated[str | None, Query(pattern="^(accepted|metrics_only|quarantined)$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List the newest runs, without their returns."""
    return json_response(
        {
            "items": await in_thread(
                _listed(context, strategy_id=strategy_id, campaign_id=campaign_id, state=state, limit=limit)
            )
        }
    )


@router.get("/backtest-runs/{run_id}", responses={**problem_responses(), 200: {"model": answers.Answer}})
async def get_run(context: Ctx, _: Reader, run_id: Annotated[str, Path(min_length=1, max_length=128)]) -> Response:
    """Return one run, without its returns."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            return read_run(connection, run_id).to_json()

    return json_response(await in_thread(read))


def _listed(context: Context, **wanted: Any) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        with context.database.connect() as connection:
            return [one.to_json() for one in list_runs(connection, **wanted)]

    return read


def _run(form: RunForm) -> BacktestRun:
    import numpy as np

    fields = form.model_dump(exclude={"dates", "returns", "start_date", "end_date", "trades"})
    dates = None if form.dates is None else _dates(form.dates)
    return BacktestRun(
        **fields,
        dates=dates,
        returns=None if form.returns is None else np.array(form.returns, dtype=np.float64),
        start_date=_day("start_date", form.start_date),
        end_date=_day("end_date", form.end_date),
        trades=[_trade(trade) for trade in form.trades],
        source="api",
    )


def _dates(texts: list[str]) -> Any:
    import pandas as pd

    try:
        # A zone is brought to UTC; a date without one is taken as it is.
        return pd.to_datetime(texts, format="ISO8601", utc=True).tz_localize(None).to_numpy().astype("datetime64[s]")
    except (ValueError, OverflowError) as error:
        raise InputError(f"the dates cannot be read: {str(error)[:200]}") from None


def _day(name: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}; write a date like 2026-11-20") from None


def _trade(form: TradeForm) -> Trade:
    day = _day("trade_date", form.trade_date)
    assert day is not None
    return Trade(trade_date=day, ticker=form.ticker, direction=form.direction, size=form.size, price=form.price)
