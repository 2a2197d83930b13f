"""`meta-pipeline approvers`: who may approve."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import approver_keys, common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.store.approvers import Approver

app = typer.Typer(no_args_is_help=True, help="Who may approve, and the keys they sign with.")
app.command()(approver_keys.keygen)
app.command()(approver_keys.register)
app.command()(approver_keys.keys)
app.command("revoke-key")(approver_keys.revoke_key)

Name = Annotated[str, typer.Argument(help="The person's name, as they act under it.")]


@app.command()
def add(name: Name, as_json: AsJson = False) -> None:
    """Put a person on the list of approvers. Who adds whom is kept in the audit log."""
    from meta_pipeline.proposals.roles import Role
    from meta_pipeline.store import approvers, people

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            people.grant(connection, name, Role.APPROVER, actor=common.actor(), now=now)
            added = approvers.get(connection, name)
    _emit(added, f"{added.display_name} may approve now", as_json=as_json)


@app.command()
def remove(name: Name, as_json: AsJson = False) -> None:
    """Take a person off the list. What they approved and nobody applied yet can then not be applied."""
    from meta_pipeline.proposals.roles import Role
    from meta_pipeline.store import approvers, people

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            people.revoke(connection, name, Role.APPROVER, actor=common.actor(), now=now)
            removed = approvers.get(connection, name)
    _emit(removed, f"{removed.display_name} may not approve any more", as_json=as_json)


@app.command("list")
def list_(
    everyone: Annotated[bool, typer.Option("--all", help="Also those who were taken off the list.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the approvers."""
    from meta_pipeline.store import approvers

    with common.open_database() as database, database.connect() as connection:
        found = approvers.list_approvers(connection, inactive=everyone)

    def human(console: "Console") -> None:
        from meta_pipeline.report.table import Column, Table, day

        table = Table(
            title="Approvers",
            columns=(
                Column(key="name", header="Name"),
                Column(key="active", header="May approve"),
                Column(key="by", header="Added by"),
                Column(key="at", header="Added"),
            ),
            rows=tuple(
                {
                    "name": approver.display_name,
                    "active": "yes" if approver.active else "no",
                    "by": approver.added_by,
                    "at": day(approver.added_at),
                }
                for approver in found
            ),
            empty="Nobody yet: meta-pipeline approvers add NAME",
        )
        console.print(table.rich())

    common.emit({"approvers": [_approver_json(approver) for approver in found]}, as_json=as_json, human=human)


def _emit(approver: "Approver", told: str, *, as_json: bool) -> None:
    from meta_pipeline.report.text import visible

    common.emit(
        _approver_json(approver), as_json=as_json, human=lambda console: console.print(visible(told), markup=False)
    )


def _approver_json(approver: "Approver") -> dict[str, JsonValue]:
    return {
        "name": approver.display_name,
        "name_key": approver.name_key,
        "active": approver.active,
        "added_by": approver.added_by,
        "added_at": approver.added_at.isoformat(),
    }
