"""`meta-pipeline freeze`: when nothing is applied."""

from datetime import datetime, time
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.errors import InputError, MetaPipelineError

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Connection

    from meta_pipeline.proposals.freezes import Freeze
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.freezing import FreezeRecord

app = typer.Typer(no_args_is_help=True, help="When nothing is applied: windows, a stop at once, and the kill file.")

KILL_FILE = "kill-file"
Reason = Annotated[str, typer.Option(help="Why.")]
Strategy = Annotated[str | None, typer.Option(help="Only this strategy; left out: all.")]


@app.command()
def add(
    reason: Reason,
    zone: Annotated[str, typer.Option(help="Time zone of the times: UTC, America/New_York, or an exchange (NYSE).")],
    start: Annotated[str, typer.Option(help="HH:MM with --days; else YYYY-MM-DDTHH:MM.")],
    end: Annotated[str | None, typer.Option(help="As --start; left out of a dated one: until it is lifted.")] = None,
    days: Annotated[str | None, typer.Option(help="For a weekly one: mon,wed or mon-fri.")] = None,
    strategy: Strategy = None,
    as_json: AsJson = False,
) -> None:
    """Add a freeze window, weekly or dated. Reverts, and changes that reduce risk, are exempt."""
    from meta_pipeline.store import freezing
    from meta_pipeline.store.transactions import in_transaction

    freeze = _window(reason=reason, zone=zone, start=start, end=end, days=days, strategy=strategy)
    freeze.check()
    with common.open_database() as database:
        now = common.time_of(database)
        record = in_transaction(
            database, lambda connection: freezing.add(connection, freeze, actor=common.actor(), now=now)
        )
    _emit(record, f"{record.freeze.text()}. Lift it with: meta-pipeline freeze lift", now=now, as_json=as_json)


@app.command()
def now(reason: Reason, strategy: Strategy = None, as_json: AsJson = False) -> None:
    """Stop all applies at once: the kill file is written first, then the database is told.

    With the database down the kill file alone stops what runs on this machine, and the exit code is 7. With --strategy
    only the database is told.
    """
    from meta_pipeline.store import freezing, kill_file
    from meta_pipeline.store.transactions import in_transaction

    settings, who = common.settings(), common.actor()
    path = None
    if strategy is None:
        path = str(kill_file.write(settings, reason=reason, actor=who, now=common.now()))
    try:
        with common.open_database() as database:
            moment = common.time_of(database)

            def stop(connection: "Connection") -> "FreezeRecord":
                made = freezing.freeze_now(connection, reason=reason, strategy_id=strategy, actor=who, now=moment)
                if path is not None:
                    freezing.record_kill_file(connection, "kill", path=path, reason=reason, actor=who, now=moment)
                return made

            record = in_transaction(database, stop)
    except MetaPipelineError as error:
        if path is None:
            raise
        raise type(error)(
            f"the kill file {path} is written and stops this machine; the database was not told, so others may go on: "
            f"{error}"
        ) from error
    told = f"{record.freeze.text()}" + ("" if path is None else f"; the kill file {path} is written as well")
    _emit(record, told, now=moment, as_json=as_json, kill_file=path)


@app.command()
def lift(
    which: Annotated[str, typer.Argument(metavar="NUMBER|kill-file", help="The freeze's number, or kill-file.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """End a freeze, or remove the kill file. A person does it, who may."""
    from meta_pipeline.store import freezing, kill_file

    if which != KILL_FILE and not (which.isascii() and which.isdigit()):
        raise InputError(f"{which!r} is no number of a freeze, and not {KILL_FILE}; see: meta-pipeline freeze list")
    with common.open_database() as database:
        moment, who = common.time_of(database), common.actor()
        with database.begin() as connection:
            if which == KILL_FILE:
                freezing.require_lifter(connection, who)
                path = str(kill_file.path_of(common.settings()))
                freezing.record_kill_file(connection, "unkill", path=path, reason=reason, actor=who, now=moment)
                # Last: if it cannot be removed, nothing is written down either.
                kill_file.remove(common.settings())
                told: dict[str, JsonValue] = {"kill_file": path, "removed": True}
                words = f"the kill file {path} is removed"
            else:
                record = freezing.lift(connection, int(which), reason=reason, actor=who, now=moment)
                told, words = _freeze_json(record, moment), f"freeze {which} is lifted"
    common.emit(told, as_json=as_json, human=lambda console: console.print(words, markup=False))


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the freezes, which of them hold now, and the kill file."""
    from meta_pipeline.store import freezing, kill_file

    killed = kill_file.found(common.settings())
    with common.open_database() as database:
        moment = common.time_of(database)
        with database.connect() as connection:
            found = freezing.list_freezes(connection, lifted=everything)

    def human(console: "Console") -> None:
        from meta_pipeline.report.text import visible

        console.print(_table(found, moment).rich())
        console.print(visible(killed or "The kill file is not there."), markup=False)

    payload: JsonValue = {"freezes": [_freeze_json(record, moment) for record in found], "kill_file": killed}
    common.emit(payload, as_json=as_json, human=human)


def _window(*, reason: str, zone: str, start: str, end: str | None, days: str | None, strategy: str | None) -> "Freeze":
    from meta_pipeline.proposals.freezes import Freeze, weekdays_of

    if days is not None:
        if end is None:
            raise common.UsageError("a weekly freeze takes --end as well, such as 16:00")
        return Freeze(
            time_zone=zone,
            reason=reason,
            strategy_id=strategy,
            weekdays=weekdays_of(days),
            starts_time=_time(start),
            ends_time=_time(end),
        )
    return Freeze(
        time_zone=zone,
        reason=reason,
        strategy_id=strategy,
        starts_local=_local(start),
        ends_local=None if end is None else _local(end),
    )


def _time(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError as error:
        raise common.UsageError(f"{text!r} is no time of day; write it like 09:30") from error
    if found.tzinfo is not None:
        raise common.UsageError(f"{text!r} names an offset; the zone is given with --zone")
    return found


def _local(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise common.UsageError(f"{text!r} is no date and time; write it like 2026-12-24T18:00") from error
    if found.tzinfo is not None:
        raise common.UsageError(f"{text!r} names an offset; the zone is given with --zone")
    return found


def _table(found: "list[FreezeRecord]", now: datetime) -> "Table":
    from meta_pipeline.report.table import Column, Table, day

    return Table(
        title="Freezes",
        columns=(
            Column(key="id", header="Number"),
            Column(key="what", header="Of"),
            Column(key="when", header="When"),
            Column(key="now", header="Now"),
            Column(key="reason", header="Reason"),
            Column(key="by", header="By"),
            Column(key="lifted", header="Lifted"),
        ),
        rows=tuple(
            {
                "id": str(record.freeze.freeze_id),
                "what": record.freeze.strategy_id or "everything",
                "when": record.freeze.when(),
                "now": "in force" if _holds(record, now) else "no",
                "reason": record.freeze.reason,
                "by": record.created_by,
                "lifted": "-"
                if record.lifted_at is None
                else f"{record.lifted_by}, {day(record.lifted_at)}: {record.lift_reason}",
            }
            for record in found
        ),
        empty="None: meta-pipeline freeze add",
    )


def _holds(record: "FreezeRecord", now: datetime) -> bool:
    return record.lifted_at is None and record.freeze.covers(now)


def _emit(record: "FreezeRecord", told: str, *, now: datetime, as_json: bool, kill_file: str | None = None) -> None:
    from meta_pipeline.report.text import visible

    payload: JsonValue = {**_freeze_json(record, now), "kill_file": kill_file}
    common.emit(payload, as_json=as_json, human=lambda console: console.print(visible(told), markup=False))


def _freeze_json(record: "FreezeRecord", now: datetime) -> dict[str, JsonValue]:
    freeze = record.freeze
    return {
        "freeze_id": freeze.freeze_id,
        "strategy_id": freeze.strategy_id,
        "when": freeze.when(),
        "in_force": _holds(record, now),
        "reason": freeze.reason,
        "created_by": record.created_by,
        "created_at": record.created_at.isoformat(),
        "lifted_by": record.lifted_by,
        "lifted_at": None if record.lifted_at is None else record.lifted_at.isoformat(),
        "lift_reason": record.lift_reason,
    }
