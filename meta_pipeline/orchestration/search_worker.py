"""The edge of a worker on another machine: where it finds checkpoints, by its own settings.

A job names this by text (`Reference`), so that no password travels with it.
"""

import atexit
from collections.abc import Mapping
from typing import Any

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.protocol import Reference
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.search_checkpoints import DatabaseCheckpoints
from meta_pipeline.store.search_outage import outlived


def checkpoints(settings: Mapping[str, Any]) -> DatabaseCheckpoints:
    """Open the checkpoints of `{"search": NAME}` in the database that this process's settings name; wait for it.

    Raises
    ------
    InputError
        If no search is named.
    """
    if not isinstance(settings.get("search"), str):
        raise InputError(f"the checkpoints are of the search {settings.get('search')!r}; name one")
    database = outlived(lambda: open_database(Settings()))
    atexit.register(database.close)
    return DatabaseCheckpoints(database, settings["search"])


def checkpoints_of(search_name: str, database: Database) -> Reference:
    """Return how workers open the checkpoints of a search in the database.

    `begun_at` is where the coordinator sees it, without its password: for people, and to tell two databases apart.
    """
    settings = {"search": search_name, "begun_at": database.url}
    return Reference(target="meta_pipeline.orchestration.search_worker:checkpoints", settings=settings)
