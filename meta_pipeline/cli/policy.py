"""`meta-pipeline policy`: make, show, halt and sign risk policies."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.policy.signing import Algorithm
    from meta_pipeline.settings import Settings
    from meta_pipeline.store.controller import Issued
    from meta_pipeline.store.policies import Controller, PolicyRecord

app = typer.Typer(no_args_is_help=True, help="The risk policy of the live books.")
keys = typer.Typer(no_args_is_help=True, help="The keys that sign policies.")
app.add_typer(keys, name="keys")

Scope = Annotated[str, typer.Option(help="The live book.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
LIVE = "live"


@app.command()
def evaluate(
    scope: Scope = LIVE,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same again gives the same policy.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a policy now, by the same service as the schedule, and publish it."""
    from meta_pipeline.store.controller import evaluate_and_publish
    from meta_pipeline.store.policies import Request

    settings = common.settings()
    request = Request(trigger="manual", actor=common.actor(), idempotency_key=key)
    with common.open_database() as database:
        issued = evaluate_and_publish(database, scope, _controller(settings), request, settings)
    _emit(issued, as_json=as_json)


@app.command()
def status(scope: Scope = LIVE, as_json: AsJson = False) -> None:
    """Show the policy in force, its health, where it is published, and what executors run."""
    from meta_pipeline.store.policies import latest_policy
    from meta_pipeline.store.policy_views import status_json

    with common.open_database() as database, database.connect() as connection:
        shown = status_json(connection, scope, common.settings(), now=common.now())
        record = latest_policy(connection, scope)

    def human(console: "Console") -> None:
        from meta_pipeline.report.policy import executors_table

        if "message" in shown:
            console.print(str(shown["message"]), markup=False)
        if record is not None:
            _print_policy(console, record)
            _print_publications(console, _objects(shown["publications"]))
            console.print(executors_table(_objects(shown["executors"])).rich())

    common.emit(shown, as_json=as_json, human=human)


@app.command()
def history(
    scope: Scope = LIVE,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List policies, the newest first."""
    from meta_pipeline.store.policy_views import history_json

    with common.open_database() as database, database.connect() as connection:
        shown, _ = history_json(connection, scope, limit=limit, before_id=None, now=common.now())

    def human(console: "Console") -> None:
        from meta_pipeline.report.policy import history_table

        rows = [
            {
                "version": row["version"],
                "created_at": row["created_at"][:16],
                "mode": row["risk_mode"] + (" (halted)" if row["halted"] else ""),
                "strategies": row["active_strategies_count"],
                "trigger": row["trigger"],
                "actor": row["actor"],
                "why": row["reasons"][0]["text"] if row["reasons"] else "",
            }
            for row in _objects(shown["history"])
        ]
        console.print(history_table(rows).rich())

    common.emit(shown, as_json=as_json, human=human)


@app.command()
def show(
    version: Annotated[int | None, typer.Argument(help="A version; left out: the newest.")] = None,
    scope: Scope = LIVE,
    as_json: AsJson = False,
) -> None:
    """Print a policy document as it was signed, byte for byte.

    With --json, `document` is that text, and `policy` what it says.
    """
    from meta_pipeline.errors import NotFound
    from meta_pipeline.store.policies import get_policy, latest_policy

    with common.open_database() as database, database.connect() as connection:
        record = latest_policy(connection, scope) if version is None else get_policy(connection, scope, version)
    if record is None:
        raise NotFound(f"the book {scope!r} has no policy yet; make one: meta-pipeline policy evaluate --scope {scope}")
    payload: dict[str, JsonValue] = {"policy": record.body, "document": record.document}
    common.emit(payload, as_json=as_json, human=_as_it_is(record.document))


@app.command()
def halt(reason: Reason, scope: Scope = LIVE, as_json: AsJson = False) -> None:
    """Stop all new trades of a book at once. Exits and cancels go on."""
    from meta_pipeline.store import policies
    from meta_pipeline.store.controller import publish_record

    settings = common.settings()
    with common.open_database() as database:
        controller = _controller(settings)
        record = policies.halt(database, scope, controller, actor=common.actor(), reason=reason)
        issued = publish_record(database, record, controller, settings)
    _emit(issued, as_json=as_json)


@app.command()
def resume(reason: Reason, scope: Scope = LIVE, as_json: AsJson = False) -> None:
    """End a halt. The mode stays DEFENSIVE until the calm has lasted."""
    from meta_pipeline.store import policies
    from meta_pipeline.store.controller import publish_record

    settings = common.settings()
    with common.open_database() as database:
        controller = _controller(settings)
        record = policies.resume(database, scope, controller, actor=common.actor(), reason=reason)
        issued = publish_record(database, record, controller, settings)
    _emit(issued, as_json=as_json)


@app.command("new-epoch")
def new_epoch(reason: Reason, scope: Scope = LIVE, as_json: AsJson = False) -> None:
    """Begin a new sequence of versions, as after a restored backup; executors must be given the new epoch."""
    from meta_pipeline.store import live_books

    with common.open_database() as database, database.begin() as connection:
        made = live_books.new_epoch(connection, scope, reason=reason, actor=common.actor(), now=common.now())
    common.emit(
        {"scope": scope, "epoch": made.epoch},
        as_json=as_json,
        human=lambda console: console.print(f"epoch {made.epoch}; executors that saw the old one must be told"),
    )


@keys.command("new")
def new_key(
    algorithm: Annotated[str, typer.Option(help="ed25519 or hmac-sha256.")] = "ed25519", as_json: AsJson = False
) -> None:
    """Make a key, which signs from now on; give executors its public half first."""
    from meta_pipeline.store import policy_keys

    chosen: Algorithm = algorithm  # type: ignore[assignment]  # the store refuses others, by name
    made = policy_keys.new_key(policy_keys.keys_folder(common.settings()), chosen, now=common.now())
    common.emit(made.to_json(), as_json=as_json, human=lambda console: console.print(_key_line(made.to_json())))


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, the oldest first; the newest that is not retired signs."""
    from meta_pipeline.store import policy_keys

    found = [key.to_json() for key in policy_keys.list_keys(policy_keys.keys_folder(common.settings()))]

    def human(console: "Console") -> None:
        console.print("\n".join(_key_line(key) for key in found) or "No key yet; the first policy makes one.")

    common.emit({"keys": list(found)}, as_json=as_json, human=human)


@keys.command()
def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id.")], as_json: AsJson = False
) -> None:
    """Let a key sign no more. Executors accept it for as long as they list it."""
    from meta_pipeline.store import policy_keys

    key = policy_keys.retire_key(policy_keys.keys_folder(common.settings()), key_id, now=common.now())
    common.emit(key.to_json(), as_json=as_json, human=lambda console: console.print(_key_line(key.to_json())))


@keys.command()
def export(
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also the shared secrets of HMAC keys: whoever has one can sign.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the keys that executors verify with, as the file that they read: algorithm -> key id -> base64.

    With --json, that file is the field `keys`.
    """
    import json
    from base64 import b64encode

    from meta_pipeline.store import policy_keys

    found = policy_keys.list_keys(policy_keys.keys_folder(common.settings()))
    ring: dict[str, dict[str, str]] = {"ed25519": {}, "hmac-sha256": {}}
    for key in found:
        shared = key.public if key.algorithm == "ed25519" else key.secret if with_secrets else None
        if shared is not None:
            ring[key.algorithm][key.key_id] = b64encode(shared).decode("ascii")
    written: dict[str, JsonValue] = {name: dict(ids) for name, ids in ring.items() if ids}
    common.emit({"keys": written}, as_json=as_json, human=_as_it_is(json.dumps(written, indent=2)))


def _as_it_is(text: str) -> "Callable[[Console], None]":
    """Print a text that others check byte for byte: past the console, which would wrap it."""

    def human(_: "Console") -> None:
        sys.stdout.write(text + "\n")

    return human


def _controller(settings: "Settings") -> "Controller":
    from meta_pipeline.store.controller import controller_of

    return controller_of(settings, clock=common.now, timer=time.perf_counter)


def _emit(issued: "Issued", *, as_json: bool) -> None:
    record = issued.record
    payload: dict[str, JsonValue] = {
        "policy": record.body,
        "trigger": record.trigger,
        "duration_seconds": record.duration_seconds,
        "health": record.inputs["health"],
        "rankings": record.rankings,
        "publications": [one.to_json() for one in issued.publications],
    }

    def human(console: "Console") -> None:
        _print_policy(console, record)
        _print_publications(console, [one.to_json() for one in issued.publications])

    common.emit(payload, as_json=as_json, human=human)


def _print_publications(console: "Console", publications: Sequence[Mapping[str, Any]]) -> None:
    from meta_pipeline.report.text import visible

    for one in publications:
        said = "published" if one["error"] is None else f"NOT published: {one['error']}"
        console.print(visible(f"{one['sink']}: {said}"), markup=False)


def _print_policy(console: "Console", record: "PolicyRecord") -> None:
    from meta_pipeline.report.policy import headline, health_table, limits_table, rankings_rows, reasons_table
    from meta_pipeline.report.text import visible

    document = record.body
    console.print(visible(headline(document)), style="bold", markup=False)
    for table in (
        reasons_table(document["reasons"]),
        health_table(record.inputs["health"]),
        rankings_rows(record.rankings, document["weights"]).first(12),
        limits_table(document),
    ):
        console.print(table.rich())
    console.print(f"Made {document['issued_at'][:19]}, expires {document['expires_at'][:19]} UTC.", markup=False)


def _key_line(key: "dict[str, JsonValue]") -> str:
    state = f"retired {str(key['retired_at'])[:10]}" if key["retired_at"] else "signs, if it is the newest"
    return f"{key['key_id']}  {key['algorithm']:<11}  {str(key['created_at'])[:10]}  {state}"


def _objects(value: Any) -> list[dict[str, Any]]:
    return list(value)
