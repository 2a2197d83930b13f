"""Who acts in a run in which a person acts: the name in the form, held against what Dagster and the proxy know.

Belongs here: the holes that Dagster has. A re-execution replays a form, and with it a name and a verdict, without
the person; a name in a form is only a claim where a proxy has already established who it is. Does not belong here:
whether that person may do it (store.governance).
"""

from typing import Final

import dagster as dg
from dagster import DagsterRun

from meta_pipeline.errors import NotPermitted
from meta_pipeline.proposals.identity import clean_name, name_key
from meta_pipeline.settings import Settings

ACTING: Final = "meta_pipeline/acting"
"""Tag of the jobs in which a person acts; their runs are never pruned, for approvals and changes refer to them."""

FORWARDED_USER: Final = "meta_pipeline/forwarded_user"
"""Tag with the name that the proxy forwarded; written by the run coordinator alone."""

REPLAYED: Final = ("dagster/parent_run_id", "dagster/root_run_id", "dagster/retry_number", "dagster/backfill")


def acting_person(run: DagsterRun, claimed: str, *, signed_in: bool = False) -> str:
    """Return the name of the person who acts in this run.

    Parameters
    ----------
    run
        The Dagster run.
    claimed
        The name in the form.
    signed_in
        Whether a proxy has to have said who it is.

    Raises
    ------
    NotPermitted
        If the run replays another one, or the proxy names another person.
    InputError
        If the name cannot be a name.
    """
    original = run.parent_run_id or run.root_run_id
    if original is not None or any(tag in run.tags for tag in REPLAYED):
        raise NotPermitted(
            f"this run re-executes run {original or 'of a backfill'}, and a replayed form is nobody's decision; "
            "open the form and launch it anew"
        )
    name = clean_name(claimed)
    forwarded = run.tags.get(FORWARDED_USER)
    if forwarded == "":
        raise NotPermitted(f"the tag {FORWARDED_USER} is written by the proxy, not by hand; launch without it")
    if forwarded is None and signed_in:
        raise NotPermitted(
            "no proxy has said who is signed in, and META_PIPELINE_IDENTITY_HEADER demands it; launch this from the UI "
            "behind the proxy"
        )
    if forwarded is not None and name_key(forwarded) != name_key(name):
        raise NotPermitted(f"the form names {name!r}, but {forwarded!r} is signed in; act under your own name")
    return name


def person_of(context: dg.OpExecutionContext, claimed: str, settings: Settings) -> str:
    """Return who acts, or fail the run by the message of the refusal.

    With META_PIPELINE_IDENTITY_HEADER set, a name in a form alone is nobody's, and the tag with the name counts only
    where the run coordinator that writes it is configured: another one would let it through as it was sent.
    """
    try:
        if settings.identity_header is not None:
            _require_coordinator(context.instance)
        return acting_person(context.run, claimed, signed_in=settings.identity_header is not None)
    except (NotPermitted, ValueError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def _require_coordinator(instance: dg.DagsterInstance) -> None:
    if not getattr(instance.run_coordinator, "writes_forwarded_user", False):
        raise NotPermitted(
            "META_PIPELINE_IDENTITY_HEADER is set, but dagster.yaml does not configure the run coordinator that writes "
            "down who is signed in (meta_pipeline.orchestration.forwarded_user.ForwardedUserRunCoordinator)"
        )
