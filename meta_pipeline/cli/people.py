"""`meta-pipeline people`: who holds which role."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.store.people import Person

app = typer.Typer(no_args_is_help=True, help="Who holds which role.")

Name = Annotated[str, typer.Argument(help="The name, as they act under it.")]
RoleName = Annotated[
    Literal["researcher", "approver", "operator", "auditor"],
    typer.Argument(help="researcher proposes, approver decides, operator applies and manages, auditor only reads."),
]


@app.command()
def grant(name: Name, role: RoleName, as_json: AsJson = False) -> None:
    """Give somebody a role. From the first grant on, what the role is for is closed to all who do not hold it."""
    from meta_pipeline.proposals.roles import Role
    from meta_pipeline.store import people

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            person = people.grant(connection, name, Role(role), actor=common.actor(), now=now)
    _emit(person, f"{person.display_name} is {role} now", as_json=as_json)


@app.command()
def revoke(name: Name, role: RoleName, as_json: AsJson = False) -> None:
    """Take a role from somebody. What the role is for stays closed to all who do not hold it."""
    from meta_pipeline.proposals.roles import Role
    from meta_pipeline.store import people

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            person = people.revoke(connection, name, Role(role), actor=common.actor(), now=now)
    _emit(person, f"{person.display_name} is no {role} any more", as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List everybody who holds or held a role."""
    from meta_pipeline.store import people

    with common.open_database() as database, database.connect() as connection:
        found = people.list_people(connection)

    def human(console: "Console") -> None:
        from meta_pipeline.report.table import Column, Table

        table = Table(
            title="People",
            columns=(
                Column(key="name", header="Name"),
                Column(key="roles", header="Roles"),
                Column(key="former", header="Formerly"),
            ),
            rows=tuple(
                {
                    "name": person.display_name,
                    "roles": ", ".join(sorted(person.roles)) or "none",
                    "former": ", ".join(sorted(person.former)) or "-",
                }
                for person in found
            ),
            empty="Nobody yet: meta-pipeline people grant NAME ROLE. Until then all roles but approver are open.",
        )
        console.print(table.rich())

    common.emit({"people": [_person_json(person) for person in found]}, as_json=as_json, human=human)


def _emit(person: "Person", told: str, *, as_json: bool) -> None:
    from meta_pipeline.report.text import visible

    common.emit(_person_json(person), as_json=as_json, human=lambda console: console.print(visible(told), markup=False))


def _person_json(person: "Person") -> dict[str, JsonValue]:
    return {
        "name": person.display_name,
        "name_key": person.name_key,
        "roles": [str(role) for role in sorted(person.roles)],
        "former": [str(role) for role in sorted(person.former)],
    }
