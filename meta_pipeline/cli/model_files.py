"""The models that the command line works on: where they are, and what is done with one."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.cli import common
from meta_pipeline.errors import InputError, MetaPipelineError

if TYPE_CHECKING:
    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.meta_model.artifact_store import FolderStore
    from meta_pipeline.meta_model.model import MetaModel
    from meta_pipeline.store.meta_model import StoredVersion
    from meta_pipeline.store.retraining import Inputs


Predictions = Annotated[
    Path | None, typer.Option(help="JSON lines file, or folder of them. Unset: the settings', else the database.")
]
Outcomes = Annotated[
    Path | None, typer.Option(help="CSV file, or folder of them. Unset: the settings', else the database.")
]
Models = Annotated[str | None, typer.Option(help="Names of the base models, separated by commas.")]
Horizon = Annotated[str, typer.Option(help="Name of the horizon, where outcomes are of several.")]


def names_of(text: str | None) -> tuple[str, ...] | None:
    """Read names separated by commas; None where there are none."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    return names or None


def inputs_named(predictions: Path | None, outcomes: Path | None, trades_of: str | None, horizon: str) -> "Inputs":
    """Return the inputs that the options name, else those of the settings."""
    from meta_pipeline.store.retraining import inputs_of

    known = inputs_of(common.settings())
    return replace(
        known,
        predictions=predictions or known.predictions,
        outcomes=outcomes or known.outcomes,
        trades_of=trades_of,
        horizon=horizon,
    )


def version_json(version: "StoredVersion") -> "dict[str, JsonValue]":
    """Return a trained model as a JSON object."""
    from meta_pipeline.report.meta_model import failed_checks

    return {
        "model": version.model_id,
        "horizon": version.horizon,
        "status": version.status,
        "data_kind": version.data_kind,
        "n_samples": version.n_samples,
        "passed": version.passed,
        "failed_checks": list(failed_checks(version.verdict)),
        "created_at": version.created_at.isoformat(),
        "promoted_at": None if version.promoted_at is None else version.promoted_at.isoformat(),
        "retired_at": None if version.retired_at is None else version.retired_at.isoformat(),
    }


def model_store() -> "FolderStore":
    """Return where models are kept: META_V2_MODEL_DIR as the predecessor knew it, else the home folder."""
    from meta_pipeline.meta_model.artifact_store import FolderStore
    from meta_pipeline.meta_model.predecessor_environment import read_environment
    from meta_pipeline.store.retraining import artifact_store

    folder = read_environment(os.environ).model_dir
    return artifact_store(common.settings()) if folder is None else FolderStore(folder)


@dataclass(frozen=True, kw_only=True)
class Content:
    """Bytes to verify, the address they should have (None: any), or why there are none."""

    name: str
    address: str | None
    content: bytes | None
    problem: str | None = None


def contents(model: str | None) -> list[Content]:
    """Return the bytes of one model, by file, address or first digits of it; of all stored ones where none is named."""
    if model is not None and Path(model).is_file():
        return [Content(name=model, address=None, content=Path(model).read_bytes())]
    from meta_pipeline.store import meta_model as store

    with common.open_database() as database, database.connect() as connection:
        known = store.versions(connection, limit=1000) if model is None else [store.version(connection, model)]
    found = []
    for version in known:
        try:
            content, problem = model_store().get(version.model_id), None
        except MetaPipelineError as error:
            content, problem = None, str(error)
        found.append(Content(name=version.model_id, address=version.model_id, content=content, problem=problem))
    return found


def verified(item: Content) -> "dict[str, JsonValue]":
    """Read a model with every check; says what is wrong with it, or how it answers a grid of ballots."""
    from meta_pipeline.meta_model.artifact import argmax_shares, read_artifact

    problem, answers = item.problem, None
    if item.content is not None:
        try:
            model = read_artifact(item.content, expected=item.address, for_use=False)
            answers = ", ".join(f"{action} {100 * share:.0f} %" for action, share in argmax_shares(model).items())
        except MetaPipelineError as error:
            problem = str(error)
    return {"model": item.name, "problem": problem, "answers": answers}


def named_model(model: str) -> "MetaModel":
    """Load a model by file, address, or the first digits of an address; a collapsed one too, as this looks only.

    Raises
    ------
    ArtifactBroken, NotFound
        If it cannot be used as what it is, or there is none.
    """
    from meta_pipeline.meta_model.artifact import read_artifact
    from meta_pipeline.meta_model.artifact_store import load_model

    if Path(model).is_file():
        return read_artifact(Path(model).read_bytes(), for_use=False)
    if len(model) == 64:
        return load_model(model_store(), model, for_use=False)
    from meta_pipeline.store import meta_model as store

    with common.open_database() as database, database.connect() as connection:
        address = store.version(connection, model).model_id
    return load_model(model_store(), address, for_use=False)


def champion_now() -> "tuple[MetaModel | None, bool]":
    """Load the champion, with every check, and whether its alarm is open; (None, False) if there is none."""
    from meta_pipeline.meta_model.decision_settings import DEFAULT_SETTINGS
    from meta_pipeline.store.retraining import champion_agent

    with common.open_database() as database:
        agent = champion_agent(database, model_store(), DEFAULT_SETTINGS)
    return agent.model, agent.state.alarm


def decide_lines(
    predictions: Path,
    log: Path | None,
    model: "MetaModel | None",
    settings: Any,
    *,
    acceptance: float | None,
    alarm: bool,
) -> "dict[str, JsonValue]":
    """Decide every line of a prediction log by one agent, log the decisions, and return the agent's statistics.

    Raises
    ------
    InputError
        If a line is no prediction.
    """
    import json
    from contextlib import ExitStack

    from meta_pipeline.meta_model.agent import MetaAgent
    from meta_pipeline.meta_model.decision_log import decision_line, header_line
    from meta_pipeline.meta_model.prediction_log import prediction_lines
    from meta_pipeline.meta_model.state import AgentState

    with ExitStack() as stack:
        out = None if log is None else stack.enter_context(log.open("w", encoding="utf-8"))

        def write(question: Any, decision: Any) -> None:
            if out is not None:
                out.write(decision_line(question, decision) + "\n")

        if out is not None:
            out.write(header_line(settings, model) + "\n")
        agent = MetaAgent(model, settings, arbiter_acceptance=acceptance, state=AgentState(alarm=alarm), log=write)
        for _, number, line in prediction_lines(predictions):
            try:
                record = json.loads(str(line))
                question = record["base_predictions"], record.get("regime")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"line {number} of {predictions} is no prediction ({error!r}); nothing after it was decided"
                ) from error
            agent.decide(*question, symbol=record.get("symbol"))
    return agent.get_statistics()
