"""`meta-pipeline automation`: what the machine may apply by itself, and what keeps watch over it."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.store.automation import ControlResult, Round
    from meta_pipeline.store.automation_freezes import Freeze

app = typer.Typer(no_args_is_help=True, help="What the machine may apply by itself. Off by default.")

Reason = Annotated[str, typer.Option(help="Why.")]


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether automation is on, which knobs are of which tier, and how the negative controls went."""
    from meta_pipeline.store import automation, automation_freezes, tiers

    settings = common.settings()
    with common.open_database() as database, database.connect() as connection:
        set_tiers = tiers.list_tiers(connection)
        frozen = automation_freezes.frozen(connection)
        rounds = automation.last_controls(connection)
    state = "off" if not settings.automation else "on" if frozen is None else "frozen"

    def human(console: "Console") -> None:
        from meta_pipeline.report.table import Column, Kind, Table, day
        from meta_pipeline.report.text import visible

        switch = "" if settings.automation else "; switch it on with META_PIPELINE_AUTOMATION=true"
        console.print(f"Automatic application is {state}{switch}.", markup=False)
        if frozen is not None:
            told = f"Frozen by {frozen.frozen_by}, {day(frozen.frozen_at)}: {frozen.reason}"
            console.print(visible(told), markup=False, soft_wrap=True)
        columns = [("strategy", "Strategy"), ("knob", "Knob"), ("tier", "Tier"), ("by", "Set by"), ("at", "When")]
        table = Table(
            title="Tiers (what is not listed is human)",
            columns=tuple(Column(key=key, header=header) for key, header in columns),
            rows=tuple(
                {
                    "strategy": row.strategy_id,
                    "knob": row.path,
                    "tier": row.tier.replace("_", " "),
                    "by": row.set_by,
                    "at": day(row.set_at),
                }
                for row in set_tiers
            ),
            empty="No tier is set: every change is approved by a person.",
        )
        console.print(table.rich())
        controls = Table(
            title="Negative controls, last round",
            columns=(
                Column(key="strategy", header="Strategy"),
                Column(key="at", header="When"),
                Column(key="n", header="Bad proposals", kind=Kind.COUNT),
                Column(key="passed", header="Passed", kind=Kind.COUNT),
            ),
            rows=tuple({"strategy": name, "at": day(at), "n": n, "passed": passed} for name, at, n, passed in rounds),
            empty="None was ever run; they run with: meta-pipeline automation run",
        )
        console.print(controls.rich())

    payload: JsonValue = {
        "state": state,
        "frozen": None if frozen is None else _freeze_json(frozen),
        "tiers": [
            {
                "strategy_id": row.strategy_id,
                "path": row.path,
                "tier": row.tier,
                "set_by": row.set_by,
                "set_at": row.set_at.isoformat(),
            }
            for row in set_tiers
        ],
        "controls": [
            {"strategy_id": name, "ran_at": at.isoformat(), "n": n, "passed": passed} for name, at, n, passed in rounds
        ],
    }
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def tier(
    strategy: Annotated[str, typer.Argument(help="The strategy.")],
    knob: Annotated[str, typer.Argument(help="Path of a declared knob; * for all that have no tier of their own.")],
    to: Annotated[str, typer.Argument(metavar="TIER", help="blocked, human, four_eyes or automatic.")],
    as_json: AsJson = False,
) -> None:
    """Say who may let a knob move: nobody, one approver, two people, or the machine within its policy."""
    from meta_pipeline.store import tiers

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            row = tiers.set_tier(connection, strategy, knob, to, actor=common.actor(), now=now)
    common.emit(
        {"strategy_id": row.strategy_id, "path": row.path, "tier": row.tier, "set_by": row.set_by},
        as_json=as_json,
        human=lambda console: console.print(f"{row.path} of {row.strategy_id} is {row.tier} now", markup=False),
    )


@app.command()
def run(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge by the real transaction, and roll it back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put bad proposals through the checks, then apply what passes all of them. Exit code 6: automation is frozen."""
    from meta_pipeline.errors import Blocked
    from meta_pipeline.store import automation

    settings = common.settings()
    with common.open_database() as database:
        done = automation.run(database, now=common.time_of(database), settings=settings, dry_run=dry_run)

    def human(console: "Console") -> None:
        _print_round(console, done, on=settings.automation)

    payload: JsonValue = {
        "enabled": settings.automation,
        "frozen": done.frozen,
        "dry_run": dry_run,
        "controls": [_control_json(one) for one in done.controls],
        "results": [one.to_json() for one in done.results],
    }
    common.emit(payload, as_json=as_json, human=human)
    if done.frozen is not None:
        raise typer.Exit(Blocked.exit_code)


@app.command()
def freeze(reason: Reason, as_json: AsJson = False) -> None:
    """Stop automatic application at once. Who may freeze, may; what people approve goes on."""
    from meta_pipeline.store import automation_freezes

    with common.open_database() as database:
        found = automation_freezes.freeze(database, reason=reason, actor=common.actor(), now=common.time_of(database))
    _emit(found, "automation is frozen", as_json=as_json)


@app.command()
def unfreeze(reason: Reason, as_json: AsJson = False) -> None:
    """Lift the freeze of automation, saying what was done about its cause."""
    from meta_pipeline.store import automation_freezes

    with common.open_database() as database:
        found = automation_freezes.unfreeze(database, reason=reason, actor=common.actor(), now=common.time_of(database))
    _emit(found, "the freeze is lifted; it was", as_json=as_json)


def _emit(found: "Freeze", told: str, *, as_json: bool) -> None:
    def human(console: "Console") -> None:
        from meta_pipeline.report.text import visible

        console.print(visible(f"{told}: {found.reason} (by {found.frozen_by})"), markup=False, soft_wrap=True)

    common.emit(_freeze_json(found), as_json=as_json, human=human)


def _freeze_json(found: "Freeze") -> dict[str, JsonValue]:
    return {"frozen_at": found.frozen_at.isoformat(), "frozen_by": found.frozen_by, "reason": found.reason}


def _control_json(one: "ControlResult") -> dict[str, JsonValue]:
    return {
        "strategy_id": one.strategy_id,
        "knob": one.knob_path,
        "kind": one.kind,
        "refused": one.refused,
        "detail": one.detail,
    }


def _print_round(console: "Console", done: "Round", *, on: bool) -> None:
    from meta_pipeline.report.automation import controls_table, results_table
    from meta_pipeline.report.text import visible

    console.print(controls_table(done.controls).rich())
    passed = sum(not one.refused for one in done.controls)
    verdict = f"{passed} PASSED" if passed else "each was refused by the check that it is meant for"
    console.print(f"{counted(len(done.controls), 'bad proposal')}: {verdict}.", markup=False)
    if done.frozen is not None:
        console.print(visible(f"Automation is frozen: {done.frozen}"), markup=False, style="bold red", soft_wrap=True)
    elif not on:
        console.print("Automatic application is off (META_PIPELINE_AUTOMATION): nothing was applied.", markup=False)
    else:
        console.print(results_table(done.results).rich())
