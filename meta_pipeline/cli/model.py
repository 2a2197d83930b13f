"""meta-pipeline model: train the meta-model, put it to the gate, look at it, verify and replay it."""

import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.cli import common, model_upkeep
from meta_pipeline.cli.model_files import (
    Horizon,
    Models,
    Outcomes,
    Predictions,
    champion_now,
    contents,
    decide_lines,
    inputs_named,
    named_model,
    names_of,
    verified,
    version_json,
)
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError, Unhealthy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.meta_model.training_settings import TrainingSettings
    from meta_pipeline.store.retraining import Inputs, Retrained

app = typer.Typer(no_args_is_help=True, help="Train, judge, verify and replay the meta-model.")

Costs = Annotated[str | None, typer.Option(help="Cost by symbol, where it differs: BTCUSDT=0.1,ETHUSDT=0.2")]


@app.command()
def train(
    predictions: Predictions = None,
    outcomes: Outcomes = None,
    trades_of: Annotated[str | None, typer.Option(help="Backtest run whose trades are the outcomes.")] = None,
    lab: Annotated[bool, typer.Option("--lab", help="Make the logs: four base models on real prices.")] = False,
    models: Models = None,
    cost_pct: Annotated[float | None, typer.Option(help="Cost of a round trip, in per cent.")] = None,
    costs: Costs = None,
    threshold: Annotated[float | None, typer.Option(help="Smallest confidence that overrides, 0 to 1.")] = None,
    label_rule: Annotated[str, typer.Option(help="meta (what would have paid) or documented (wins).")] = "meta",
    pooling: Annotated[
        str, typer.Option(help="complete (one model) or partial (one per symbol, shrunk).")
    ] = "complete",
    since: Annotated[datetime | None, typer.Option(help="Leave out earlier predictions (UTC).")] = None,
    data_kind: Annotated[str | None, typer.Option(help="real or synthetic, if the logs do not say.")] = None,
    horizon: Horizon = "",
    as_json: common.AsJson = False,
) -> None:
    """Train on prediction logs and outcomes, and say what the gate decided and why.

    A model that passes every check becomes the champion; any other stays a candidate, and what decided goes on
    deciding. Either way the exit code is 0: the answer is the verdict. Too little data: 8.
    """
    from meta_pipeline.store.retraining import artifact_store, retrain

    settings = common.settings()
    chosen = _training(models, cost_pct, costs, threshold, label_rule, pooling, since)
    status = common.console(stderr=True)
    with status.status("Reading ...") as shown:
        if lab:
            shown.update("Four base models vote on real prices, day by day ...")
            inputs, chosen = _lab(chosen)
        else:
            inputs = inputs_named(predictions, outcomes, trades_of, horizon)
        shown.update("Training ...")
        with common.open_database() as database:
            made = retrain(
                database, artifact_store(settings), inputs, chosen, clock=common.now, declared_kind=data_kind
            )
    common.emit(_made_json(made), as_json=as_json, human=lambda console: _show_made(console, made))


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, help="At most this many trained models, the newest first.")] = 10,
    as_json: common.AsJson = False,
) -> None:
    """Show the champion, its alarm, the trained models, the stored inputs, and what the environment allows."""
    from meta_pipeline.meta_model.predecessor_environment import read_environment
    from meta_pipeline.store import meta_model as store

    environment = read_environment(os.environ)
    with common.open_database() as database, database.connect() as connection:
        versions = store.versions(connection, limit=limit)
        champions = [version for version in versions if version.status == "champion"]
        present = store.champion(connection)
        if present is not None and present not in champions:
            champions.append(present)
        alarms = {version.model_id: store.open_alarm(connection, version.model_id) for version in champions}
        n_predictions, n_outcomes = store.count_inputs(connection)
    payload: JsonValue = {
        "champions": [version_json(version) for version in champions],
        "open_alarms": [model_id for model_id, alarm in alarms.items() if alarm is not None],
        "versions": [version_json(version) for version in versions],
        "stored_predictions": n_predictions,
        "stored_outcomes": n_outcomes,
        "enabled": environment.enabled,
        "meta_threshold": environment.meta_threshold,
        "fail_open": environment.fail_open,
    }

    def human(console: "Console") -> None:
        from meta_pipeline.report.meta_model import versions_table

        console.print(versions_table(versions).rich())
        for version in champions:
            alarm = alarms[version.model_id]
            said = (
                "no alarm" if alarm is None else f"ALARM since {alarm.raised_at:%Y-%m-%d %H:%M %Z}: it is not trusted"
            )
            console.print(f"Champion {version.model_id[:12]} (horizon {version.horizon or '-'}): {said}.", markup=False)
        if not champions:
            console.print("No champion: every decision defers to the base ensemble, with the reason model_not_loaded.")
        console.print(f"In the database: {counted(n_predictions, 'prediction')}, {counted(n_outcomes, 'outcome')}.")
        word = "may act" if environment.enabled else "may not act (META_AGENT_ENABLED is not true)"
        mode = "defers to the ensemble" if environment.fail_open else "holds"
        console.print(
            f"The meta-model {word}; it overrides from confidence {environment.meta_threshold:g} on, "
            f"and on errors {mode}."
        )

    common.emit(payload, as_json=as_json, human=human)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Address of a model, its first digits, or a file.")],
    as_json: common.AsJson = False,
) -> None:
    """Show all that training measured of a model, from its inputs to its feature weights."""
    found = named_model(model)
    payload: JsonValue = {"model": found.sha256, "threshold": found.threshold, "metadata": found.metadata}

    def human(console: "Console") -> None:
        _show_metadata(console, found.metadata, whole=True)
        threshold = "never" if found.threshold is None else f"from confidence {found.threshold:.2f} on"
        console.print(f"Model {found.sha256}: it may override {threshold}.", markup=False)

    common.emit(payload, as_json=as_json, human=human)


@app.command()
def verify(
    model: Annotated[
        str | None, typer.Argument(help="Address of a model, its first digits, or a file. Unset: all.")
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """Read models and check all of them: sha256, format, features and classes by name, canaries, diversity.

    Exit code 7 if any cannot be used as what it is. A candidate that answers everything alike is whole, and said so.
    """
    found = [verified(item) for item in contents(model)]
    broken = [item for item in found if item["problem"] is not None]

    def human(console: "Console") -> None:
        for item in found:
            what = item["problem"] or f"whole; answers on a grid of ballots: {item['answers']}"
            console.print(f"{item['model']}: {what}", markup=False)
        if not found:
            console.print("No model is stored.")

    common.emit({"models": found}, as_json=as_json, human=human)
    if broken:
        raise typer.Exit(Unhealthy.exit_code)


@app.command()
def decide(
    predictions: Annotated[Path, typer.Argument(help="Prediction log (JSON lines) to decide, in its order.")],
    log: Annotated[Path | None, typer.Option(help="Write the decision log here (JSON lines).")] = None,
    model: Annotated[str | None, typer.Option(help="Address of a model, or a file. Unset: the champion.")] = None,
    models: Models = None,
    threshold: Annotated[float | None, typer.Option(help="Smallest confidence that overrides, 0 to 1.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Decide a prediction log line by line, as an agent in production would, and count what it did.

    The predecessor's variables (META_AGENT_ENABLED, META_OVERRIDE_THRESHOLD, META_FAIL_OPEN, META_V2_MODEL_DIR,
    ARBITER_ENABLED, ARBITER_THRESHOLD) hold; --threshold and --model come before them, and enable it.
    """
    from meta_pipeline.meta_model.predecessor_environment import read_environment

    environment = read_environment(os.environ)
    loaded, alarm = (named_model(model), False) if model is not None else champion_now()
    names = None if loaded is None else loaded.models
    settings = environment.settings(names_of(models) or names)
    if model is not None:
        settings = replace(settings, enabled=True)
    if threshold is not None:
        settings = replace(settings, meta_threshold=threshold)
    if not predictions.is_file():
        raise InputError(f"there is no prediction log {predictions}; name a JSON lines file")
    figures = decide_lines(predictions, log, loaded, settings, acceptance=environment.arbiter_acceptance, alarm=alarm)
    common.emit(figures, as_json=as_json, human=lambda console: _show_figures(console, figures))


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="Decision log (JSON lines) to decide again.")],
    model: Annotated[
        str | None, typer.Option(help="Address of the model, or a file. Unset: the one the log names.")
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """Decide every question of a decision log again, and compare byte for byte. Exit code 7 if any line differs."""
    from meta_pipeline.meta_model.decision_log import logged_model
    from meta_pipeline.meta_model.decision_log import replay as replay_log

    if not log.is_file():
        raise InputError(f"there is no decision log {log}")
    with log.open(encoding="utf-8") as lines:
        first = lines.readline()
    address = logged_model(first) if first else None
    wanted = model if model is not None else address
    with log.open(encoding="utf-8") as lines:
        report = replay_log(lines, None if wanted is None else named_model(wanted))
    payload: JsonValue = {
        "identical": report.identical,
        "decisions": report.n_decisions,
        "differing_lines": list(report.differing_lines),
        "model": report.model_sha256,
    }

    def human(console: "Console") -> None:
        word = "identical, byte for byte" if report.identical else f"{len(report.differing_lines):,} differ"
        console.print(f"{counted(report.n_decisions, 'decision')} replayed: {word}.")
        if report.first_difference is not None:
            console.print(report.first_difference, markup=False)

    common.emit(payload, as_json=as_json, human=human)
    if not report.identical:
        raise typer.Exit(Unhealthy.exit_code)


app.command()(model_upkeep.record)
app.command()(model_upkeep.watch)
app.command()(model_upkeep.retire)
app.command("clear-alarm")(model_upkeep.clear_alarm)


def _training(
    models: str | None,
    cost_pct: float | None,
    costs: str | None,
    threshold: float | None,
    label_rule: str,
    pooling: str,
    since: datetime | None,
) -> "TrainingSettings":
    from datetime import UTC

    from meta_pipeline.meta_model.decision_settings import DecisionSettings
    from meta_pipeline.meta_model.labels import LabelRule
    from meta_pipeline.meta_model.training_settings import Pooling
    from meta_pipeline.store.retraining import costs_by_symbol, training_of

    chosen = training_of(common.settings())
    names = names_of(models)
    decision = chosen.decision if names is None else DecisionSettings(models=names)
    if threshold is not None:
        decision = replace(decision, meta_threshold=threshold)
    cost = chosen.cost
    if cost_pct is not None:
        cost = replace(cost, round_trip_pct=cost_pct)
    if costs is not None:
        cost = replace(cost, by_symbol=costs_by_symbol(costs))
    return replace(
        chosen,
        decision=decision,
        cost=cost,
        label_rule=_one_of(LabelRule, label_rule, "--label-rule"),
        pooling=_one_of(Pooling, pooling, "--pooling"),
        since=None if since is None else since.replace(tzinfo=since.tzinfo or UTC),
    )


def _one_of(kinds: Any, value: str, option: str) -> Any:
    try:
        return kinds(value)
    except ValueError:
        raise common.UsageError(f"{option} is {value!r}; write {' or '.join(kinds)}") from None


def _lab(chosen: "TrainingSettings") -> "tuple[Inputs, TrainingSettings]":
    from meta_pipeline.lab.prediction_logs import lab_training, write_prediction_logs
    from meta_pipeline.store.retraining import Inputs

    settings = common.settings()
    files = write_prediction_logs(settings.home / "lab" / "prediction_logs", seed=settings.seed)
    ours = lab_training()
    decision = replace(chosen.decision, models=ours.decision.models, weights=None)
    inputs = Inputs(predictions=files.predictions, outcomes=files.outcomes)
    return inputs, replace(chosen, decision=decision, cost=ours.cost)


def _made_json(made: "Retrained") -> "dict[str, JsonValue]":
    return {
        "model": made.version.model_id,
        "status": made.version.status,
        "champion_before": None if made.champion is None else made.champion.model_id,
        "verdict": made.training.verdict.as_dict(),
        "metadata": made.training.model.metadata,
    }


def _show_made(console: "Console", made: "Retrained") -> None:
    from meta_pipeline.report import meta_model as report

    verdict = made.training.verdict
    _show_metadata(console, made.training.model.metadata)
    console.print(report.checks_table(verdict).rich())
    console.print(report.lift_sentence(verdict), markup=False)
    console.print(report.verdict_sentence(verdict, has_champion=made.champion is not None), markup=False)
    for reason in verdict.reasons:
        console.print(f"  - {reason}", markup=False)
    console.print(f"Model {made.version.model_id}", markup=False)


def _show_metadata(console: "Console", metadata: "Mapping[str, Any]", *, whole: bool = False) -> None:
    from meta_pipeline.report import meta_model as report

    tables = [report.inputs_table, report.earnings_table, report.calibration_table, report.regimes_table]
    if whole:
        tables += [report.confusion_table, report.reliability_table, report.coverage_table, report.features_table]
    for table in tables:
        console.print(table(metadata).rich())


def _show_figures(console: "Console", figures: "dict[str, JsonValue]") -> None:
    for name, value in figures.items():
        if not isinstance(value, dict):
            console.print(f"{name.replace('_', ' ')}: {value}", markup=False)
    reasons = figures["fallback_reasons"]
    assert isinstance(reasons, dict)
    for reason, count in reasons.items():
        console.print(f"  {reason}: {count}", markup=False)
