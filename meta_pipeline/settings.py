"""One typed settings object, read from META_PIPELINE_* at the edge and passed inwards.

Nothing below `orchestration`, `api` and `cli` reads the environment.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that can be set from outside. Each field is the variable META_PIPELINE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="META_PIPELINE_", env_file=".env", extra="ignore", frozen=True)

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
    proposal_days: float = Field(default=14, gt=0, description="Days until an undecided proposal lapses.")
    approval_hours: float = Field(default=72, gt=0, description="Hours until an approval that was not applied lapses.")
    rejection_days: float = Field(
        default=30, gt=0, description="Days for which a rejected proposal is not proposed again."
    )
    debounce_seconds: float = Field(
        default=60, ge=0, description="Quiet time after the last run of an open campaign before a refresh."
    )
    max_wait_seconds: float = Field(default=900, ge=0, description="Longest wait of a run before a refresh.")
    actor: str | None = Field(default=None, description="Who acts on the command line; unset means the login name.")
    alert_webhook: SecretStr | None = Field(
        default=None, description='https:// address that gets failed runs and checks as JSON {"text": ...}.'
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
