"""One typed settings object, read from META_PIPELINE_* at the edge and passed inwards.

Nothing below `orchestration`, `api` and `cli` reads the environment.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _also(name: str) -> AliasChoices:
    """Read META_PIPELINE_<NAME>, or else the name that the predecessor gave the variable."""
    return AliasChoices(f"META_PIPELINE_{name}", name)


class Settings(BaseSettings):
    """Everything that can be set from outside. Each field is the variable META_PIPELINE_<FIELD>.

    MSC_ENABLED, MSC_EVALUATION_INTERVAL_MINUTES, REDIS_URL and CURRENT_PROFILE are also read without the prefix.
    """

    model_config = SettingsConfigDict(
        env_prefix="META_PIPELINE_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    database_url: SecretStr | None = Field(
        default=None, description="URL of a PostgreSQL 14+ server; unset means the embedded one."
    )
    home: Path = Field(
        default=Path(".meta_pipeline"),
        description="Folder of the embedded database, reports and artifacts.",
    )
    alpha: float = Field(default=0.10, gt=0, lt=1, description="Bound on the rate of false proposals per campaign.")
    bootstrap_draws: int = Field(default=999, ge=99, description="Bootstrap resamples of the contrast engine.")
    seed: int = Field(default=20261120, description="Seed of every bootstrap; results are a function of it.")
    switching_cost: float = Field(
        default=0.05, ge=0, description="Smallest effect worth a change, in annualised Sharpe ratio."
    )
    several_changes: bool = Field(
        default=False,
        description="Whether expected value may propose several changes at once. Claims did not add up elsewhere.",
    )
    proposal_days: float = Field(default=14, gt=0, description="Days until an undecided proposal lapses.")
    approval_hours: float = Field(default=72, gt=0, description="Hours until an approval that was not applied lapses.")
    rejection_days: float = Field(
        default=30, gt=0, description="Days for which a rejected proposal is not proposed again."
    )
    require_signed_approvals: bool = Field(
        default=False, description="Whether an approval must carry a signature by a registered key of the approver."
    )
    max_changes: int = Field(
        default=5, ge=0, description="Most changes of one strategy within change_window_hours, unless it has a limit."
    )
    change_window_hours: float = Field(default=24, gt=0, description="The window in which max_changes are counted.")
    kill_file: Path | None = Field(
        default=None,
        description="File whose presence freezes all applies; unset: KILL in home. What cannot be read is frozen.",
    )
    audit_anchor: str | None = Field(
        default=None,
        description="Folder, or address of fsspec (s3://...), of the audit anchors; unset: audit-anchors in home.",
    )
    audit_anchor_each_apply: bool = Field(
        default=False, description="Whether the audit head is anchored after each apply and revert, not only at night."
    )
    identity_header: str | None = Field(
        default=None,
        description="Header in which a proxy names who is signed in (X-Forwarded-User); unset: none is honoured.",
    )
    identity_proxies: str = Field(
        default="127.0.0.1,::1", description="Addresses of the proxies whose identity header counts, with commas."
    )
    failpoint: str | None = Field(default=None, description="Tests only: the step at which the process kills itself.")
    failpoints_armed: bool = Field(default=False, description="Tests only: whether the failpoint is armed at all.")
    debounce_seconds: float = Field(
        default=60, ge=0, description="Quiet time after the last run of an open campaign before a refresh."
    )
    max_wait_seconds: float = Field(default=900, ge=0, description="Longest wait of a run before a refresh.")
    nightly_shards: int = Field(
        default=1, ge=1, le=1024, description="Runs that share the strategies of a night, side by side."
    )
    celery_broker: SecretStr | None = Field(
        default=None,
        description="redis:// address of the Celery workers' broker; read by meta_pipeline.definitions_celery.",
    )
    waiting_alert_hours: float = Field(
        default=24,
        gt=0,
        description="Hours after which an undecided proposal is an alert, and before it or an approval lapses.",
    )
    outcome_minimum_days: int = Field(
        default=60, ge=20, description="Trading days after a change before its effect is judged."
    )
    outcome_evaluation_days: int = Field(
        default=504, ge=20, description="Trading days after which a change is judged no further."
    )
    outcome_drawdown_rise: float = Field(
        default=0.05, ge=0, description="Guardrail: how much deeper the drawdown since a change may be, of equity."
    )
    outcome_volatility_rise: float = Field(
        default=0.25, ge=0, description="Guardrail: share by which volatility may rise beyond what was expected."
    )
    outcome_regime_fall: float = Field(
        default=0.5, ge=0, description="Guardrail: fall of the Sharpe ratio in the worst regime, beyond chance."
    )
    auto_revert: bool = Field(
        default=False,
        description="Whether a change is reverted by itself: only on the verdict REVERT, and if that lowers risk.",
    )
    automation: bool = Field(
        default=False, description="Whether proposals for knobs of the tier `automatic` are applied by themselves."
    )
    automation_controls_hours: float = Field(
        default=26, gt=0, description="Age at which negative controls no longer vouch for automatic application."
    )
    replays: str = Field(
        default="LAB_*=meta_pipeline.lab.replay:replay,FOREST_*=meta_pipeline.hyperband.forest_replay:replay",
        description="Backtests that replay a strategy on later days: strategy_pattern=module:function, with commas.",
    )
    actor: str | None = Field(default=None, description="Who acts on the command line; unset means the login name.")
    alert_webhook: SecretStr | None = Field(
        default=None, description='https:// address that gets failed runs and checks as JSON {"text": ...}.'
    )
    pages_url: str = Field(
        default="http://127.0.0.1:8000",
        pattern=r"^(https?://[^\s()<>]+)?$",
        description="Where people reach the pages of `meta-pipeline serve`, for links in Dagster's UI; empty: none.",
    )
    prediction_logs: Path | None = Field(
        default=None, description="JSON lines file, or folder of them, of the meta-model; unset: the database's table."
    )
    trade_outcomes: Path | None = Field(
        default=None, description="CSV file, or folder of them, of trade outcomes; unset: the database's table."
    )
    base_models: str = Field(
        default="xgb,lgbm,nhits,patchtst", description="Names of the base models in these logs, separated by commas."
    )
    trading_cost_pct: float = Field(
        default=0.0, ge=0, description="Cost of a round trip in per cent, which decides whether acting would have paid."
    )
    trading_costs_pct: str = Field(
        default="", description="The same by symbol, where it differs: BTCUSDT=0.1,ETHUSDT=0.2"
    )
    msc_enabled: bool = Field(
        default=True, validation_alias=_also("MSC_ENABLED"), description="Whether the policy is evaluated by schedule."
    )
    msc_evaluation_interval_minutes: int = Field(
        default=30,
        ge=1,
        le=720,
        validation_alias=_also("MSC_EVALUATION_INTERVAL_MINUTES"),
        description="Minutes between scheduled evaluations of the policy; its document lives twice as long.",
    )
    redis_url: SecretStr | None = Field(
        default=None, validation_alias=_also("REDIS_URL"), description="Redis that policies are published to as well."
    )
    current_profile: Literal["SAFE", "AGGRESSIVE"] | None = Field(
        default=None,
        validation_alias=_also("CURRENT_PROFILE"),
        description="SAFE holds the risk mode to NORMAL; AGGRESSIVE, or unset, does not.",
    )
    policy_profile: Literal["default", "classic"] = Field(
        default="default", description="Whose rules decide: ours, or the predecessor's documented table."
    )
    policy_max_strategies: int = Field(default=8, ge=0, description="Most strategies a policy may allow, in any mode.")
    policy_max_age_hours: float = Field(
        default=96, gt=0, le=8760, description="Age of fills and prices beyond which the policy is DEFENSIVE."
    )
    policy_signing: Literal["ed25519", "hmac-sha256", "unsigned"] = Field(
        default="ed25519", description="How policy documents are signed. Executors must accept unsigned ones knowingly."
    )
    policy_keys: Path | None = Field(
        default=None, description="Folder of the signing keys; unset: policy-keys in home."
    )
    policy_folder: Path | None = Field(
        default=None, description="Folder that policies are also written to as files; unset: policy in home."
    )

    @field_validator(
        *("redis_url", "current_profile", "kill_file", "audit_anchor", "identity_header", "failpoint"), mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value
