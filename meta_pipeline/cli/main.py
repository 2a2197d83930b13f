"""Entry point: collects the commands and turns every error into one message and one exit code."""

import json
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command as click_command

from meta_pipeline import __version__
from meta_pipeline.cli.hints import next_command
from meta_pipeline.errors import MetaPipelineError

COMMANDS: dict[str, tuple[str, str]] = {
    "ingest": ("ingest", "Read backtest runs from files, through the quality gate."),
    "runs": ("runs", "List and show backtest runs."),
    "strategies": ("strategies", "Declare strategies, their knobs and live configuration."),
    "nightly": ("nightly", "Aggregates, diagnostics and proposals, once, for all that is pending."),
    "proposals": ("proposals", "List, show, compare and author proposals."),
    "approve": ("decide:approve", "Approve a proposal, through the gate's own service."),
    "reject": ("decide:reject", "Reject a proposal, with a reason."),
    "apply": ("decide:apply", "Apply approved proposals, each in one transaction."),
    "changes": ("changes", "List, show and revert applied changes."),
    "automation": ("automation", "What the machine may apply by itself; off by default."),
    "experiments": ("experiments", "Shadow experiments: a challenger beside the live configuration."),
    "approvers": ("approvers", "Who may approve, and the keys they sign with."),
    "people": ("people", "Who holds which role."),
    "freeze": ("freeze", "When nothing is applied: windows, a stop at once, the kill file."),
    "audit": ("audit", "Verify, anchor, export and list the audit log."),
    "doctor": ("doctor:doctor", "What is wrong with this installation, and what mends it."),
    "inventory": ("inventory", "Every strategy with its owner, knobs, limits and last change."),
    "live": ("live", "The live books: capital, strategies, fills and prices."),
    "policy": ("policy", "The risk policy of the live books: evaluate, status, halt, keys."),
    "search": ("search", "Find a strategy's parameters by Hyperband: run, resume, status, show, export."),
    "serve": ("serve", "The web pages, the HTTP API, its metrics and its documentation."),
    "tokens": ("tokens", "Who may use the HTTP API, and for what."),
    "db": ("db", "The database: status, migrate, check, stop, backup, restore."),
    "model": ("model", "Train, judge, verify and replay the meta-model."),
    "lab": ("lab", "A real campaign on real prices."),
    "completion": ("completion:completion", "The script that lets a shell complete these commands."),
}
"""Command -> (where it lives, help). Where: a module under meta_pipeline.cli that has a Typer `app`, or
`module:function` for a command without subcommands. A module is imported when its command is used."""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for, so that `--help` is quick."""

    # Typer vendors click privately, so the context has no public type: hence Any.

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Name the commands, in the order of a day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import the command that was asked for; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"meta_pipeline.cli.{module}"), function or "app")
        if not function:
            # Help of a command is as plain and as quick as that of all of them.
            found.rich_markup_mode = None
            # A shell completes the whole, not a part.
            found._add_completion = False
        if function:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command()(found)
            found = single
        command = click_command(found)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; where there is none, say which one may be meant, and how to see them all."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=2)
            meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write plain help: Typer's own would import rich, and every command for its first sentence."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, the options, and what the exit codes mean."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])
        records = [record for p in self.get_params(ctx) if (record := p.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(
            "Exit codes: 0 ok, 1 error, 2 usage, 3 nothing to do, 4 not permitted, 5 stale or conflict, "
            "6 blocked, 7 unhealthy, 8 insufficient data."
        )


app = typer.Typer(
    cls=LazyGroup,
    name="meta-pipeline",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The governed feedback loop of systematic trading.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"meta-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    # `main` takes it out of the arguments, wherever it stands; here it is for the help.
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR=1 does the same.")] = False,
) -> None:
    """Hold the options of the command itself."""


def main() -> None:
    """Run the command line; the process ends with the exit code of `meta_pipeline.errors`."""
    as_json = "--json" in sys.argv
    if "--no-color" in sys.argv:
        sys.argv.remove("--no-color")
        os.environ["NO_COLOR"] = "1"
    try:
        # Also where it was started as `python -m meta_pipeline`.
        ended = app(prog_name="meta-pipeline", standalone_mode=not as_json)
    except MetaPipelineError as error:
        _report(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(MetaPipelineError.exit_code)
    except typer.TyperException as error:
        # Only with --json: what the parser refuses is a document too.
        _write_error({"code": "usage", "message": error.format_message()})
        sys.exit(error.exit_code)
    sys.exit(ended if isinstance(ended, int) else 0)


def _report(error: MetaPipelineError) -> None:
    after = next_command(error)
    if "--json" in sys.argv:
        _write_error({"code": error.code, "message": str(error), **({} if after is None else {"next": after})})
        return
    sys.stderr.write(f"error ({error.code}): {error}\n")
    if after is not None:
        sys.stderr.write(f"next: {after}\n")


def _write_error(error: dict[str, str]) -> None:
    sys.stdout.write(json.dumps({"schema": "meta-pipeline/error/1", "error": error}) + "\n")
