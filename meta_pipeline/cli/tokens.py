"""`meta-pipeline tokens`: who may use the HTTP API, and for what."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.report.table import Table
    from meta_pipeline.store.api_tokens import Token

app = typer.Typer(no_args_is_help=True, help="Who may use the HTTP API, and for what.")


@app.command()
def new(
    name: Annotated[str, typer.Option(help="Who acts with it: decisions are recorded under this name.")],
    role: Annotated[str, typer.Option(help="reader, executor, researcher, approver or operator.")],
    days: Annotated[float, typer.Option(min=0.01, max=3660, help="For how long.")] = 365.0,
    as_json: AsJson = False,
) -> None:
    """Make a token. Its text is shown once and kept nowhere.

    Roles: reader looks; executor reads the policy, reports fills, prices and heartbeats; researcher also hands in
    backtest runs; approver decides, applies and reverts; operator evaluates, halts and resumes.
    """
    from meta_pipeline.store.api_tokens import create_token

    with common.open_database() as database, database.begin() as connection:
        now = common.time_of(database)
        text, token = create_token(
            connection, name=name, role=role, lifetime=timedelta(days=days), actor=common.actor(), now=now
        )

    def human(console: "Console") -> None:
        console.print(
            f"{token.role} token of {token.name}, until {token.expires_at:%Y-%m-%d}. Shown once:", markup=False
        )
        console.print(text, markup=False, soft_wrap=True)

    payload: JsonValue = {**token.to_json(), "token": text}
    common.emit(payload, as_json=as_json, human=human)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List tokens, the newest first; their texts are not kept."""
    from meta_pipeline.store.api_tokens import list_tokens

    with common.open_database() as database, database.connect() as connection:
        found = list_tokens(connection)
    common.emit(
        {"tokens": [token.to_json() for token in found]},
        as_json=as_json,
        human=lambda console: console.print(_table(found).rich()),
    )


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")], as_json: AsJson = False
) -> None:
    """End a token; a server notices within seconds."""
    from meta_pipeline.store.api_tokens import revoke_token

    with common.open_database() as database, database.begin() as connection:
        token = revoke_token(connection, token_id, actor=common.actor(), now=common.time_of(database))
    common.emit(
        token.to_json(),
        as_json=as_json,
        human=lambda console: console.print(f"{token.token_id} of {token.name} is revoked", markup=False),
    )


def _table(tokens: "list[Token]") -> "Table":
    from meta_pipeline.report.table import Column, Table, day

    rows = tuple(
        {
            "id": token.token_id,
            "name": token.name,
            "role": token.role,
            "until": day(token.expires_at),
            "state": "revoked" if token.revoked_at else "",
        }
        for token in tokens
    )
    columns = tuple(Column(key=key, header=key.capitalize()) for key in ("id", "name", "role", "until", "state"))
    return Table(
        title="Tokens",
        columns=columns,
        rows=rows,
        empty="No token was ever made: the API is open to this machine's user.",
    )
