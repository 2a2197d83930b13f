"""Retraining: read what is there, train, keep the artifact, write the version; and watching the champion.

Belongs here: what the command line and the asset have in common. Does not belong here: statistics (meta_model).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from meta_pipeline.canonical import digest
from meta_pipeline.errors import ArtifactBroken, InputError, NotFound, NothingToDo
from meta_pipeline.meta_model.agent import Log, MetaAgent
from meta_pipeline.meta_model.artifact_store import ArtifactStore, FolderStore, load_model
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.labels import TradingCost
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.monitoring import Health, health
from meta_pipeline.meta_model.outcome_log import OutcomeLog, outcome_log, read_outcome_log
from meta_pipeline.meta_model.prediction_log import PredictionLog, prediction_log, read_prediction_log
from meta_pipeline.meta_model.state import AgentState
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_settings import DEFAULT_TRAINING, TrainingSettings
from meta_pipeline.meta_model.training_table import join
from meta_pipeline.settings import Settings
from meta_pipeline.store import meta_model as store
from meta_pipeline.store.database import Database

ARTIFACTS = "models"
"""Folder of the artifacts, inside META_PIPELINE_HOME."""

TRADES_TOLERANCE_SECONDS = 86_400.0
"""Trades of a backtest are dated to the day: they belong to the prediction of that day."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where predictions and outcomes come from.

    Parameters
    ----------
    predictions, outcomes
        Files or folders; None: the database's tables.
    trades_of
        Id of a backtest run whose trades are the outcomes; None: `outcomes`.
    horizon
        Name of the horizon, where the outcomes are of several; empty: there is one.
    """

    predictions: Path | None = None
    outcomes: Path | None = None
    trades_of: str | None = None
    horizon: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrained:
    """A training with the version it became, and the champion it was compared with."""

    training: Training
    version: store.StoredVersion
    champion: store.StoredVersion | None


def artifact_store(settings: Settings) -> FolderStore:
    """Return where the settings keep models."""
    return FolderStore(settings.home / ARTIFACTS)


def inputs_of(settings: Settings) -> Inputs:
    """Return the inputs that the settings name."""
    return Inputs(predictions=settings.prediction_logs, outcomes=settings.trade_outcomes)


def training_of(settings: Settings) -> TrainingSettings:
    """Return the training settings that follow from the settings: base models, costs, seed.

    Raises
    ------
    InputError
        If the costs by symbol cannot be read.
    """
    models = tuple(name.strip() for name in settings.base_models.split(",") if name.strip())
    return replace(
        DEFAULT_TRAINING,
        decision=DecisionSettings(models=models),
        cost=TradingCost(
            round_trip_pct=settings.trading_cost_pct, by_symbol=costs_by_symbol(settings.trading_costs_pct)
        ),
        seed=settings.seed,
    )


def costs_by_symbol(text: str) -> dict[str, float]:
    """Read costs written as SYMBOL=PER_CENT, separated by commas.

    Raises
    ------
    InputError
        If a part is not of that form.
    """
    costs: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        symbol, _, value = part.rpartition("=")
        try:
            costs[symbol.strip()] = float(value)
        except ValueError:
            symbol = ""
        if not symbol.strip():
            raise InputError(
                f"the trading cost {part!r} cannot be read; write SYMBOL=PER_CENT, for example BTCUSDT=0.1"
            )
    return costs


def read_logs(connection: Connection, inputs: Inputs, models: tuple[str, ...]) -> tuple[PredictionLog, OutcomeLog]:
    """Read predictions and outcomes from where the inputs say.

    Raises
    ------
    InputError
        If a file is missing or lacks a column.
    """
    if inputs.predictions is None:
        predictions = prediction_log(store.read_predictions(connection), models)
    else:
        predictions = read_prediction_log(inputs.predictions, models)
    horizon = inputs.horizon or None
    if inputs.trades_of is not None:
        return predictions, outcome_log(store.read_trade_outcomes(connection, inputs.trades_of))
    if inputs.outcomes is None:
        return predictions, outcome_log(store.read_outcomes(connection), horizon=horizon)
    return predictions, read_outcome_log(inputs.outcomes, horizon=horizon)


def fingerprint(connection: Connection, inputs: Inputs) -> str:
    """Return a text that changes when the inputs or the champion do, without reading the inputs."""
    present = store.champion(connection, inputs.horizon)
    n_predictions, n_outcomes = store.count_inputs(connection)
    parts = [None if present is None else present.model_id, n_predictions, n_outcomes]
    for path in (inputs.predictions, inputs.outcomes):
        files = [path] if path is not None and path.is_file() else sorted(path.glob("*.*")) if path else []
        parts += [f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files]
    return digest([str(part) for part in parts])


def retrain(
    database: Database,
    artifacts: ArtifactStore,
    inputs: Inputs,
    settings: TrainingSettings,
    *,
    clock: Callable[[], datetime],
    declared_kind: str | None = None,
    code_version: str = "",
) -> Retrained:
    """Train on what is there, put the model to the gate, and keep what came out.

    The artifact is kept before its row is written: a row never names a file that is not there.

    Raises
    ------
    InsufficientData
        If there is too little to train on; nothing is kept.
    ArtifactBroken
        If the champion's artifact cannot be read: nothing can be compared with it until the file is restored, or the
        champion retired.
    Conflict
        If another training promoted a champion meanwhile.
    """
    with database.connect() as connection:
        predictions, outcomes = read_logs(connection, inputs, settings.decision.models)
        present = store.champion(connection, inputs.horizon)
    champion = None if present is None else _champion_model(artifacts, present)
    if inputs.trades_of is not None:
        settings = replace(settings, tolerance_seconds=max(settings.tolerance_seconds, TRADES_TOLERANCE_SECONDS))
    training = train(
        predictions,
        outcomes,
        settings=settings,
        declared_kind=declared_kind,
        champion=champion,
        code_version=code_version,
    )
    artifacts.put(training.artifact)
    with database.begin() as connection:
        version = store.save_training(
            connection,
            training,
            compared_with=None if present is None else present.model_id,
            now=clock(),
            horizon=inputs.horizon,
        )
    return Retrained(training=training, version=version, champion=present)


def champion_agent(
    database: Database,
    artifacts: ArtifactStore,
    settings: DecisionSettings,
    *,
    horizon: str = "",
    arbiter_acceptance: float | None = None,
    log: Log | None = None,
) -> MetaAgent:
    """Make an agent of the champion, with its alarm raised if one is open; of no model, if there is no champion.

    Parameters
    ----------
    settings
        What it decides with; base models other than the champion's make it defer, with `feature_dim_mismatch`.
    horizon
        Whose champion.
    arbiter_acceptance, log
        As of `MetaAgent`.

    Raises
    ------
    ArtifactBroken
        If the champion's artifact cannot be read.
    """
    with database.connect() as connection:
        present = store.champion(connection, horizon)
        alarm = None if present is None else store.open_alarm(connection, present.model_id)
    model = None if present is None else _champion_model(artifacts, present)
    state = AgentState(alarm=alarm is not None)
    return MetaAgent(model, settings, arbiter_acceptance=arbiter_acceptance, state=state, log=log)


def _champion_model(artifacts: ArtifactStore, present: store.StoredVersion) -> MetaModel:
    try:
        return load_model(artifacts, present.model_id)
    except (ArtifactBroken, NotFound) as error:
        raise ArtifactBroken(
            f"the champion cannot be read: {error}. Restore its file, or take it out of use: "
            "meta-pipeline model retire --reason ..."
        ) from error


def watch_champion(
    database: Database,
    artifacts: ArtifactStore,
    inputs: Inputs,
    settings: TrainingSettings,
    *,
    clock: Callable[[], datetime],
) -> tuple[store.StoredVersion, Health, store.StoredAlarm | None]:
    """Look at the champion's outcomes since it was tested, and raise its alarm if they are not as they were.

    Returns
    -------
    tuple
        The champion, what was found, and its open alarm, also one raised earlier; None if there is none.

    Raises
    ------
    NothingToDo
        If there is no champion.
    """
    with database.connect() as connection:
        present = store.champion(connection, inputs.horizon)
        if present is None:
            raise NothingToDo("there is no champion to watch; train one with: meta-pipeline model train")
        predictions, outcomes = read_logs(connection, inputs, settings.decision.models)
    model = _champion_model(artifacts, present)
    table, _ = join(
        predictions,
        outcomes,
        rule=settings.label_rule,
        cost=settings.cost,
        tolerance=round(settings.tolerance_seconds * 1e6),
    )
    found = health(model, table)
    if found.alarm.raised:
        with database.begin() as connection:
            return present, found, store.raise_alarm(connection, present.model_id, found.as_dict(), now=clock())
    with database.connect() as connection:
        return present, found, store.open_alarm(connection, present.model_id)
