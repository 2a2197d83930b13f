"""Serving the app: on a loopback address by default, and on any other only to those with a token."""

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

from meta_pipeline.api.app import create_app
from meta_pipeline.api.context import Context
from meta_pipeline.api.guard import LOOPBACK_NAMES
from meta_pipeline.errors import ArtifactBroken, InputError, NotPermitted
from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.meta_model.artifact_store import FolderStore, load_model
from meta_pipeline.meta_model.predecessor_environment import read_environment
from meta_pipeline.settings import Settings
from meta_pipeline.store import meta_model as model_store
from meta_pipeline.store.api_tokens import any_tokens
from meta_pipeline.store.database import Database
from meta_pipeline.store.retraining import artifact_store

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def context_for(
    database: Database, settings: Settings, *, host: str, allow_hosts: "Sequence[str]", actor: str
) -> Context:
    """Make the context of a server.

    Raises
    ------
    NotPermitted
        If the address can be reached from elsewhere and no token exists: nobody could be told from anybody.
    InputError
        If a host name to allow is none.
    """
    open_access = is_loopback(host)
    if not open_access:
        with database.connect() as connection:
            if not any_tokens(connection, now=database.now()):
                raise NotPermitted(
                    f"{host} can be reached from elsewhere, and there is no token that anybody could sign in with; "
                    "make one first: meta-pipeline tokens new --name NAME --role ROLE"
                )
    names = {name.strip().lower() for name in allow_hosts}
    if "" in names or any("/" in name or ":" in name for name in names):
        raise InputError(f"--allow-host takes names without scheme, path and port; given was {', '.join(allow_hosts)}")
    own = LOOPBACK_NAMES if open_access else LOOPBACK_NAMES | {host}
    return Context(
        database=database,
        settings=settings,
        open_access=open_access,
        actor=actor,
        allowed_hosts=frozenset(own | names),
        agent=agent_of(database, settings),
    )


def agent_of(database: Database, settings: Settings) -> MetaAgent | None:
    """Return the meta-model's agent as the environment wants it; None where META_AGENT_ENABLED is not set.

    Without a champion, or with one that does not verify, the agent decides without a model, and says so.
    """
    environment = read_environment(os.environ)
    if not environment.enabled:
        return None
    models = artifact_store(settings) if environment.model_dir is None else FolderStore(environment.model_dir)
    with database.connect() as connection:
        champion = model_store.champion(connection)
    model = None
    if champion is not None:
        try:
            model = load_model(models, champion.model_id)
        except ArtifactBroken:
            model = None
    wanted = environment.settings(None if model is None else model.models)
    return MetaAgent(model, wanted, arbiter_acceptance=environment.arbiter_acceptance)


def listen(host: str, port: int) -> socket.socket:
    """Take an address before anybody is told of it; port 0 takes a free one.

    Raises
    ------
    InputError
        If it cannot be had: another program has it, it is not this machine's, or it takes more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"nobody can be served on {host}:{port}: {why}; take another --port or --host") from error


def run(context: Context, listening: socket.socket) -> None:
    """Serve on an address that `listen` took, until the process is told to end."""
    import uvicorn

    config = uvicorn.Config(
        create_app(context),
        log_level="warning",
        access_log=False,
        server_header=False,
        # Behind a proxy the client's address is the proxy's word; nothing here depends on it.
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
