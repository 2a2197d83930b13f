"""`meta-pipeline approvers keygen|keys|register|revoke-key`: the keys that approvers sign with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.report.table import Table
    from meta_pipeline.store.approver_keys import ApproverKey

Name = Annotated[str, typer.Argument(help="The approver's name.")]


def keygen(
    file: Annotated[Path, typer.Argument(help="Where the private key is written; the public one beside it, as .pub.")],
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase that locks the key.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an Ed25519 key to sign approvals with. Needs no database; the private half never leaves this machine."""
    import os
    import secrets

    from meta_pipeline.proposals.signatures import key_id_of, new_private_key, read_public_key

    public_file = file.with_name(f"{file.name}.pub")
    for path in (file, public_file):
        if path.exists():
            raise InputError(f"{path} is there already; keep it, or choose another name")
    words = None
    if passphrase:
        words = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    private, public = new_private_key(secrets.token_bytes(32), passphrase=words)
    try:
        # Its owner's alone from the first byte on.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(private)
        public_file.write_text(f"{public}\n", encoding="ascii")
    except OSError as error:
        raise InputError(f"the key cannot be written to {file}: {error.strerror or error}") from error
    key_id = key_id_of(read_public_key(public))

    def human(console: "Console") -> None:
        console.print(f"key {key_id}: private in {file}, public in {public_file}", markup=False, soft_wrap=True)
        console.print(
            f"  next, by somebody else:  meta-pipeline approvers register NAME {public_file}",
            markup=False,
            soft_wrap=True,
        )

    payload: JsonValue = {"key_id": key_id, "private": str(file), "public": str(public_file), "public_key": public}
    common.emit(payload, as_json=as_json, human=human)


def register(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The public key: the line ssh-ed25519 ..., or PEM.")],
    as_json: AsJson = False,
) -> None:
    """Register an approver's public key. Somebody else than the approver does it."""
    from meta_pipeline.proposals.signatures import read_public_key
    from meta_pipeline.store import approver_keys

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"the key {file} cannot be read: {error}") from error
    public = read_public_key(text)
    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            key = approver_keys.register(connection, name, public, actor=common.actor(), now=now)
    _emit(key, f"{name} signs with key {key.key_id} from now on", as_json=as_json)


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key; the first digits are enough.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key. What it signed and nobody applied yet can then not be applied."""
    from meta_pipeline.store import approver_keys

    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            key = approver_keys.revoke(connection, key_id, reason=reason, actor=common.actor(), now=now)
    _emit(key, f"key {key.key_id} of {key.name_key} signs nothing any more", as_json=as_json)


def keys(
    name: Annotated[str | None, typer.Option(help="Only this approver's.")] = None, as_json: AsJson = False
) -> None:
    """List the registered keys, those that were revoked included."""
    from meta_pipeline.store import approver_keys

    with common.open_database() as database, database.connect() as connection:
        found = approver_keys.list_keys(connection, name=name)
    payload: JsonValue = {"keys": [_key_json(key) for key in found]}
    common.emit(payload, as_json=as_json, human=lambda console: console.print(_table(found).rich()))


def _table(found: "list[ApproverKey]") -> "Table":
    from meta_pipeline.report.table import Column, Table, day

    return Table(
        title="Keys of approvers",
        columns=(
            Column(key="id", header="Key"),
            Column(key="name", header="Approver"),
            Column(key="registered", header="Registered"),
            Column(key="by", header="By"),
            Column(key="state", header="State"),
        ),
        rows=tuple(
            {
                "id": key.key_id,
                "name": key.name_key,
                "registered": day(key.registered_at),
                "by": key.registered_by,
                "state": "good"
                if key.revoked_at is None
                else f"revoked by {key.revoked_by}, {day(key.revoked_at)}: {key.revoked_reason}",
            }
            for key in found
        ),
        empty="None yet: meta-pipeline approvers keygen FILE, then: meta-pipeline approvers register NAME FILE.pub",
    )


def _emit(key: "ApproverKey", told: str, *, as_json: bool) -> None:
    from meta_pipeline.report.text import visible

    common.emit(_key_json(key), as_json=as_json, human=lambda console: console.print(visible(told), markup=False))


def _key_json(key: "ApproverKey") -> dict[str, JsonValue]:
    return {
        "key_id": key.key_id,
        "name_key": key.name_key,
        "public_key": key.public_key.hex(),
        "registered_by": key.registered_by,
        "registered_at": key.registered_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
        "revoked_by": key.revoked_by,
        "revoked_reason": key.revoked_reason,
    }
