"""What requests may say. Types are strict, unknown fields are refused, and numbers are finite."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Moment = Annotated[
    str,
    StringConstraints(min_length=10, max_length=40),
    Field(json_schema_extra={"format": "date-time"}, description="ISO 8601 with a time zone."),
]
Day = Annotated[str, StringConstraints(min_length=10, max_length=10, pattern=r"^\d{4}-\d{2}-\d{2}$")]


def _form(**example: Any) -> ConfigDict:
    """Return how a form is read, with an example for the documentation."""
    extra: dict[str, Any] = {"examples": [example]} if example else {}
    return ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra=extra)


class Form(BaseModel):
    """Base of all request bodies."""

    model_config = _form()


class DecisionForm(Form):
    """One decision about one proposal."""

    model_config = _form(verdict="approve", digest="0" * 64, reason="the effect holds in every year")

    verdict: Literal["approve", "reject"]
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="`body_digest` of the proposal that was looked at.")
    reason: str = Field(default="", max_length=4000, description="Required for a rejection.")
    signature: str | None = Field(
        default=None, max_length=256, description="What `meta-pipeline approve ID --sign KEYFILE --sign-only` prints."
    )


class ApplyForm(Form):
    """Whether to apply, or to rehearse."""

    model_config = _form(dry_run=True)

    dry_run: bool = Field(default=False, description="Run the real transaction and roll it back.")


class RevertForm(Form):
    """Why a change is undone."""

    model_config = _form(reason="the drawdown doubled", dry_run=True)

    reason: Reason
    dry_run: bool = Field(default=False, description="Run the real transaction and roll it back.")


class ReasonForm(Form):
    """Why."""

    model_config = _form(reason="the exchange misbehaves")

    reason: Reason


class FillForm(Form):
    """One execution."""

    execution_id: str = Field(min_length=1, max_length=128)
    strategy_id: Name
    symbol: str = Field(min_length=1, max_length=50)
    side: Literal["BUY", "SELL"]
    quantity: float = Field(gt=0, le=1e15)
    price: float = Field(ge=-1e15, le=1e15)
    executed_at: Moment
    fee: float = Field(default=0.0, ge=-1e15, le=1e15)
    initial_risk: float | None = Field(default=None, gt=0, le=1e15)


_FILL: dict[str, Any] = {
    "execution_id": "binance-8291",
    "strategy_id": "TREND",
    "symbol": "BTCUSDT",
    "side": "BUY",
    "quantity": 0.5,
    "price": 61234.5,
    "fee": 12.2,
    "executed_at": "2026-11-20T10:00:00+00:00",
}


class FillsForm(Form):
    """Executions of a book; none says that there were none."""

    model_config = _form(fills=[_FILL])

    fills: list[FillForm] = Field(max_length=10_000)


class PriceForm(Form):
    """One market price."""

    symbol: str = Field(min_length=1, max_length=50)
    at: Moment
    close: float = Field(ge=-1e15, le=1e15)
    volume: float | None = Field(default=None, ge=0, le=1e15)


class PricesForm(Form):
    """Market prices of a book."""

    model_config = _form(prices=[{"symbol": "BTCUSDT", "at": "2026-11-20T10:00:00+00:00", "close": 61234.5}])

    prices: list[PriceForm] = Field(max_length=10_000)


class HeartbeatForm(Form):
    """What an executor runs, by its own word: `PolicyClient.heartbeat()`."""

    model_config = _form(
        executor_id="bot-1",
        scope="live",
        epoch="",
        version=0,
        mode="DEFENSIVE",
        reduce_only=True,
        reasons=["DEFAULT"],
        reported_at=1795687200.0,
    )

    executor_id: Name
    scope: Name
    epoch: str = Field(max_length=64, description='"" where it has no document.')
    version: int = Field(ge=0, le=2**31 - 1)
    mode: Literal["DEFENSIVE", "NORMAL", "AGGRESSIVE"]
    reduce_only: bool
    reasons: list[Annotated[str, StringConstraints(max_length=40)]] = Field(max_length=10)
    problems: dict[
        Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=600)]
    ] = Field(default_factory=dict, max_length=20)
    reported_at: float = Field(ge=0, le=4102444800, description="Seconds since 1970, by its own clock.")


class TradeForm(Form):
    """A trade of a backtest."""

    trade_date: Day
    ticker: str = Field(min_length=1, max_length=50)
    direction: Literal["BUY", "SELL", "LONG", "SHORT"]
    size: float
    price: float


class RunForm(Form):
    """A backtest run, with the fields of `meta_pipeline.backtests.BacktestRun`; the quality gate judges it."""

    strategy_id: Name
    campaign_id: Name
    config: dict[str, Any]
    dates: list[Annotated[str, StringConstraints(min_length=10, max_length=40)]] | None = Field(
        default=None, max_length=100_000, description="ISO 8601, one per return; UTC where no zone is named."
    )
    returns: list[float] | None = Field(default=None, max_length=100_000, description="Simple net returns, fractions.")
    start_date: Day | None = None
    end_date: Day | None = None
    periods_per_year: float | None = Field(default=None, gt=0)
    market_id: str = Field(default="", max_length=32)
    universe_id: str = Field(default="", max_length=64)
    sector: str = Field(default="", max_length=64)
    code_version: str = Field(default="", max_length=64)
    metrics: dict[str, Any] = Field(default_factory=dict)
    trades: list[TradeForm] = Field(default_factory=list, max_length=100_000)
    run_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    config_version: int | None = Field(default=None, ge=1, le=2**31 - 1)


class RunsForm(Form):
    """Backtest runs, through the quality gate."""

    model_config = _form(
        runs=[
            {
                "strategy_id": "TREND",
                "campaign_id": "2026-11",
                "config": {"window": 20},
                "dates": ["2026-11-18", "2026-11-19", "2026-11-20"],
                "returns": [0.001, -0.002, 0.0015],
                "periods_per_year": 365.0,
            }
        ]
    )

    runs: list[RunForm] = Field(min_length=1, max_length=1000)
    close_campaigns: bool = Field(default=False, description="No more runs of these campaigns are coming.")


class BallotForm(Form):
    """What a base model says."""

    action: str = Field(max_length=16)
    confidence: float


class QuestionForm(Form):
    """Base models' votes, for the meta-model."""

    model_config = _form(predictions={"xgb": {"action": "BUY", "confidence": 0.7}})

    predictions: dict[Name, BallotForm] = Field(max_length=64)
    regime: dict[str, Any] | None = None
    symbol: str | None = Field(default=None, max_length=50)
