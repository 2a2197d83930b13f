"""meta-pipeline model, its upkeep: record logs, watch the champion, retire it, clear its alarm."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.model_files import Horizon, Models, Outcomes, Predictions, inputs_named, names_of, version_json
from meta_pipeline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.canonical import JsonValue

Reason = Annotated[str, typer.Option(help="Why; goes into the audit log.")]


def record(
    predictions: Annotated[Path | None, typer.Option(help="JSON lines file, or folder of them.")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="CSV file, or folder of them.")] = None,
    models: Models = None,
    as_json: common.AsJson = False,
) -> None:
    """Put prediction logs and outcomes into the database's tables; the same lines again add nothing.

    Lines that cannot be used are left out and listed by reason. All or nothing is written.
    """
    from meta_pipeline.meta_model.quarantine import reasons_of
    from meta_pipeline.store.recording import record_logs

    if predictions is None and outcomes is None:
        raise common.UsageError("nothing to record; name --predictions, --outcomes, or both")
    names = names_of(models) or names_of(common.settings().base_models)
    assert names is not None
    with common.open_database() as database:
        done = record_logs(database, predictions, outcomes, names)
    payload: JsonValue = {
        "new_predictions": done.new_predictions,
        "new_outcomes": done.new_outcomes,
        "quarantined": reasons_of(done.quarantined),
    }

    def human(console: "Console") -> None:
        console.print(
            f"{counted(done.new_predictions, 'new prediction')}, {counted(done.new_outcomes, 'new outcome')}."
        )
        for item in done.quarantined[:20]:
            console.print(f"{item.source}:{item.line} {item.reason}: {item.detail}", markup=False)
        if len(done.quarantined) > 20:
            console.print(f"... and {len(done.quarantined) - 20:,} more lines that cannot be used.")

    common.emit(payload, as_json=as_json, human=human)


def watch(
    predictions: Predictions = None,
    outcomes: Outcomes = None,
    horizon: Horizon = "",
    as_json: common.AsJson = False,
) -> None:
    """Look at the champion's outcomes since it was tested; raise its alarm if they are no longer as they were."""
    from meta_pipeline.store.retraining import artifact_store, training_of, watch_champion

    settings = common.settings()
    chosen = inputs_named(predictions, outcomes, None, horizon)
    with common.open_database() as database:
        version, found, alarm = watch_champion(
            database, artifact_store(settings), chosen, training_of(settings), clock=common.now
        )

    def human(console: "Console") -> None:
        state = "no alarm" if alarm is None else f"ALARM since {alarm.raised_at:%Y-%m-%d %H:%M %Z}"
        console.print(
            f"Champion {version.model_id[:12]}: {state}; {counted(found.n_new, 'outcome')} since it was tested, "
            f"statistic {found.alarm.statistic:.1f} of {found.alarm.limit:g}, "
            f"adaptive threshold {found.threshold.threshold:.2f}."
        )

    payload: JsonValue = {"model": version.model_id, "alarm_open": alarm is not None, **found.as_dict()}
    common.emit(payload, as_json=as_json, human=human)


def retire(reason: Reason, horizon: Horizon = "", as_json: common.AsJson = False) -> None:
    """Take the champion out of use: every decision defers until another model passes the gate."""
    from meta_pipeline.store import meta_model as store

    with common.open_database() as database, database.begin() as connection:
        version = store.retire(connection, reason=reason, actor=common.actor(), now=common.now(), horizon=horizon)
    common.emit(
        version_json(version), as_json=as_json, human=lambda console: console.print(f"Retired {version.model_id}.")
    )


def clear_alarm(reason: Reason, horizon: Horizon = "", as_json: common.AsJson = False) -> None:
    """Say that the champion may be trusted again, and why."""
    from meta_pipeline.errors import NothingToDo
    from meta_pipeline.store import meta_model as store

    with common.open_database() as database, database.begin() as connection:
        present = store.champion(connection, horizon)
        if present is None:
            raise NothingToDo("there is no champion, so no alarm is open")
        alarm = store.clear_alarm(connection, present.model_id, reason=reason, actor=common.actor(), now=common.now())
    common.emit(
        {"alarm_id": alarm.alarm_id, "model": alarm.model_id},
        as_json=as_json,
        human=lambda console: console.print(f"The alarm of {alarm.model_id} is cleared."),
    )
