"""Which changes are made: the largest claim, if it is worth the trouble.

Belongs here: the choice. Does not belong here: the claims (learning), or grades, which decide for themselves.
"""

from typing import Final

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.ledger import Flags, Floats, Texts

SWITCHING_COST: Final = 0.05


def choose(
    claim: Floats,
    *,
    switching_cost: float = SWITCHING_COST,
    allowed: Flags | None = None,
    knob: Texts | None = None,
    several: bool = False,
) -> tuple[int, ...]:
    """Return the indices of the changes to make, largest claim first.

    Parameters
    ----------
    claim
        Shape (n,); NaN is never chosen.
    switching_cost
        The smallest claim worth a change.
    allowed
        Shape (n,): False where something else forbids the change. None: everything is allowed.
    knob
        Shape (n,): the knob of each change; needed for `several`.
    several
        Whether to make more than one change at once: the best of each knob. Off by default, because claims of single
        changes did not add up on markets that they were not learned on.

    Returns
    -------
    tuple of int
        At most one index unless `several`. Equal claims: the first one.

    Raises
    ------
    InputError
        If `several` is asked for without the knobs.
    """
    if several and knob is None:
        raise InputError("several changes at once need to know which knob each is of; pass knob")
    with np.errstate(invalid="ignore"):
        worth = claim >= switching_cost
    if allowed is not None:
        worth = worth & allowed
    order = [int(index) for index in np.argsort(-claim, kind="stable") if worth[index]]
    if not several or knob is None:
        return tuple(order[:1])
    best: dict[str, int] = {}
    for index in order:
        best.setdefault(knob[index], index)
    return tuple(best.values())
