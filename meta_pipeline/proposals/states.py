"""The states of a proposal and the transitions between them. Everything else is refused.

::

    PENDING -> APPROVED -> APPLIED -> (KEPT | REVERTED)
    side exits: REJECTED, EXPIRED, STALE, SUPERSEDED, WITHDRAWN
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from meta_pipeline.errors import Conflict, IllegalTransition, Lapsed, StaleBase


class Status(StrEnum):
    """Where a proposal stands. Only PENDING and APPROVED proposals are open."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    APPLIED = "APPLIED"
    KEPT = "KEPT"
    REVERTED = "REVERTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    STALE = "STALE"
    SUPERSEDED = "SUPERSEDED"
    WITHDRAWN = "WITHDRAWN"


OPEN: Final = (Status.PENDING, Status.APPROVED)
"""Proposals that may still change the live configuration."""

SOURCES: Final[Mapping[Status, tuple[Status, ...]]] = {
    Status.PENDING: (),
    Status.APPROVED: (Status.PENDING,),
    Status.APPLIED: (Status.APPROVED,),
    Status.KEPT: (Status.APPLIED,),
    Status.REVERTED: (Status.APPLIED, Status.KEPT),
    Status.REJECTED: OPEN,
    Status.EXPIRED: OPEN,
    Status.STALE: OPEN,
    Status.SUPERSEDED: OPEN,
    Status.WITHDRAWN: OPEN,
}
"""Status -> the statuses it may be reached from. The guarded UPDATE of a transition names exactly these."""

REPEATABLE: Final = frozenset(
    {Status.EXPIRED, Status.STALE, Status.SUPERSEDED, Status.WITHDRAWN, Status.REJECTED, Status.REVERTED}
)
"""Ends after which the same change on the same evidence may be proposed once more (a rejected or reverted one:
when the time is over for which that suppresses it)."""

_ERRORS: Final[Mapping[Status, type[Conflict]]] = {Status.STALE: StaleBase, Status.EXPIRED: Lapsed}

_WAY_OUT: Final[Mapping[Status, str]] = {
    Status.PENDING: "approve it first",
    Status.APPROVED: "it waits to be applied",
    Status.APPLIED: "its change can be reverted",
    Status.KEPT: "its change can be reverted",
    Status.REVERTED: "propose it anew if it is wanted after all",
    Status.REJECTED: "it may be proposed again when the rejection lapses",
    Status.EXPIRED: "propose it anew",
    Status.STALE: "propose it anew against the present configuration",
    Status.SUPERSEDED: "look at what took its place",
    Status.WITHDRAWN: "propose it anew",
}


def require_transition(proposal_id: str, present: Status, target: Status, *, reason: str | None = None) -> None:
    """Check that a proposal may go from its present status to another.

    Parameters
    ----------
    reason
        Why it is in its present status, if that is on record; quoted in the error.

    Raises
    ------
    IllegalTransition
        Naming the present status, the statuses it would have to be in, and the way out.
    StaleBase, Lapsed
        The same, when the present status is STALE or EXPIRED.
    """
    if present in SOURCES[target]:
        return
    needed = " or ".join(SOURCES[target]) or "none"
    because = f" ({reason})" if reason else ""
    raise _ERRORS.get(present, IllegalTransition)(
        f"proposal {proposal_id} is {present}{because} and cannot become {target}, which needs {needed}; "
        f"{_WAY_OUT[present]}"
    )
