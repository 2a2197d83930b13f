"""`meta-pipeline serve`: the pages, the HTTP API, its metrics and its documentation."""

from typing import Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.errors import InputError

app = typer.Typer(help="The web pages, the HTTP API, its metrics and its documentation.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address; any but a loopback one takes a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port.")] = 8000,
    allow_host: Annotated[list[str] | None, typer.Option(help="A name that this server is also called by.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve pages and API until interrupted. Documentation at /docs, metrics at /metrics.

    On a loopback address, and until the first token is made, requests act as the user of this machine. The address is
    named once it answers: on standard error, or with --json as a document of one line on standard output.
    """
    try:
        from meta_pipeline.api.server import context_for, listen, run
        from meta_pipeline.store.api_tokens import tokens_are_used
    except ImportError as error:
        raise InputError(f"the API needs more packages ({error.name}): pip install 'meta-pipeline[api]'") from error

    settings = common.settings()
    with common.open_database() as database:
        context = context_for(database, settings, host=host, allow_hosts=allow_host or (), actor=common.actor())
        with database.connect() as connection:
            is_open = context.open_access and not tokens_are_used(connection)
        with listen(host, port) as listening:
            _say_where(host, listening.getsockname()[1], is_open=is_open, as_json=as_json)
            run(context, listening)


def _say_where(host: str, port: int, *, is_open: bool, as_json: bool) -> None:
    """Name the address once it answers: to a person beside what else is on the screen, to a program as its answer."""
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if as_json:
        # A program that started this one waits for a line, not for the end.
        common.emit_line({"address": address, "access": "open" if is_open else "token"})
        return
    access = "open to this machine's user" if is_open else "with a token"
    common.console(stderr=True).print(
        f"{address} ({access}), the API at /docs; end with Ctrl-C", markup=False, highlight=False
    )
