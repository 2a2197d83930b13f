"""How a run of the policy says which books it is about, and what started it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dagster import DagsterRun

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from meta_pipeline.store.policies import Trigger

SCOPES: Final = "meta_pipeline/scopes"
"""Tag with a JSON list of books: the run is about these only. Without it, about all."""

TRIGGER: Final = "meta_pipeline/trigger"


def policy_tags(scopes: Sequence[str], trigger: str) -> dict[str, str]:
    """Return the tags of a run about some books."""
    return {SCOPES: json.dumps(sorted(scopes), ensure_ascii=False), TRIGGER: trigger}


def scopes_of(run: DagsterRun) -> tuple[str, ...] | None:
    """Return the books a run is about, None for all.

    Raises
    ------
    InputError
        If the tag was written by hand and is not a JSON list of texts.
    """
    tag = run.tags.get(SCOPES)
    if tag is None:
        return None
    try:
        names = json.loads(tag)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'the tag {SCOPES} is {tag!r}; write a JSON list of books, like ["live"]')
    return tuple(names)


def trigger_of(run: DagsterRun) -> "Trigger":
    """Return what started a run; a person, if nothing says otherwise."""
    tag = run.tags.get(TRIGGER)
    if tag == "schedule":
        return "schedule"
    return "outcomes" if tag == "outcomes" else "manual"
