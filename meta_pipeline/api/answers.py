"""What answers say: the documented fields of the predecessor, and ours. For the documentation; rules are elsewhere."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all answers; fields may be added, never renamed or removed."""

    model_config = ConfigDict(extra="allow")


class Page(Answer):
    """One page of a list."""

    items: list[dict[str, Any]]
    next_cursor: str | None = Field(description="`cursor` of the next page; null: this is the last.")


class ShownPolicy(Answer):
    """A policy as it counts now."""

    risk_mode: str
    max_risk_per_trade_pct: float
    max_positions: int
    min_confidence_pct: float
    max_daily_trades: int
    active_strategies_count: int
    allowed_strategies: list[str]
    updated_at: str
    expires_at: str
    version: int
    expired: bool


class ShownHealth(Answer):
    """The readings; null: not known."""

    drawdown_pct: float | None
    winrate_pct: float | None
    equity_slope_pct_per_day: float | None
    regime: str | None
    volatility: str | None
    consecutive_losses: int | None
    days_since_profit: float | None


class ControllerConfig(Answer):
    """How the controller is set."""

    evaluation_period_days: int
    min_strategies: int
    max_strategies: int


class MscStatus(Answer):
    """The policy in force, its health, and who runs it."""

    status: str = Field(description='"active", or "inactive" with a message.')
    message: str | None = None
    policy: ShownPolicy | None
    system_health: ShownHealth | None
    available_strategies: int
    controller_config: ControllerConfig


class MscHistory(Answer):
    """Policies, the newest first."""

    total_records: int
    history: list[dict[str, Any]]
    mode_changes: list[dict[str, Any]]
    current_mode: str | None
    next_cursor: str | None


class MscEvaluated(Answer):
    """What an evaluation decided."""

    status: str
    message: str
    evaluation: dict[str, Any]


class MscHealth(Answer):
    """The readings against the documented thresholds."""

    status: str
    metrics: dict[str, Any]
    timestamp: str


class MscStrategies(Answer):
    """Strategies by their documented score."""

    total_strategies: int
    rankings: list[dict[str, Any]]
    current_regime: str | None
    evaluation_period_days: int
    timestamp: str


class PolicyDocument(Answer):
    """The signed document; see docs/executors.md."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    schema_: str = Field(alias="schema")
    scope: str
    epoch: str
    version: int
    mode: str
    issued_at: str
    expires_at: str
    digest: str
    signature: dict[str, Any]


class Executors(Answer):
    """What executors run, and how far they are apart."""

    executors: list[dict[str, Any]]
    skew: dict[str, Any]


class FillsTaken(Answer):
    """What became of fills."""

    accepted: int
    duplicates: int
    refused: list[dict[str, Any]]
    closed_trades: int


class RunsTaken(Answer):
    """What became of backtest runs."""

    accepted: int
    metrics_only: int
    quarantined: dict[str, int]
    duplicates: int


class Proposal(Answer):
    """A proposal."""

    proposal_id: str
    status: str
    strategy_id: str
    target_component: str
    body_digest: str
    etag: str
    standing: dict[str, Any] = Field(
        description="Who of the approvers may decide, and every check that each act of the caller would be put through."
    )


class Decided(Answer):
    """What became of a decision."""

    proposal_id: str
    outcome: str
    message: str
    status: str | None


class Acted(Answer):
    """What became, or would become, of an apply or a revert."""

    outcome: str
    message: str
    dry_run: bool


class Change(Answer):
    """An applied change."""

    change_id: str
    proposal_id: str
    strategy_id: str
    is_reverted: bool
    etag: str


class Verified(Answer):
    """The audit chain, walked."""

    entries: int
    head_hash: str
    intact: bool


class State(Answer):
    """Whether it is well."""

    status: str
