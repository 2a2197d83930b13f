"""The locked holdout: who may look at it, and what looking again costs.

Belongs here: that decision, from the openings so far. Does not belong here: where openings are kept (store), or what
was seen (verdict).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from meta_pipeline.errors import Conflict


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One look at a holdout.

    Parameters
    ----------
    scope
        What is traded: strategy and symbols. Not the evaluator's fingerprint, since another setting is not other data.
    as_of
        Day up to which data is known.
    first_day, last_day
        Of the holdout.
    config
        Digest of the configuration that was shown it.
    """

    scope: str
    as_of: date
    first_day: date
    last_day: date
    config: str


def earlier_looks(openings: Sequence[Opening], wanted: Opening) -> int:
    """Decide whether a holdout may be opened, and count the looks that others had at any of its days.

    Parameters
    ----------
    openings
        So far, of any scope.
    wanted
        The look that is asked for. The same configuration on the same as-of date sees the same again: no new look.

    Returns
    -------
    int
        Other configurations that saw some of these days; the verdict asks for that much more of the holdout.

    Raises
    ------
    Conflict
        If it was opened on this as-of date for another configuration.
    """
    own = [opening for opening in openings if opening.scope == wanted.scope]
    for opening in own:
        if opening.as_of == wanted.as_of and opening.config != wanted.config:
            raise Conflict(
                f"the holdout of {wanted.scope} as of {wanted.as_of} was opened for {opening.config[:12]}; "
                "a holdout is opened once per as-of date: wait for newer data"
            )
    overlapping = {
        (opening.as_of, opening.config)
        for opening in own
        if opening.first_day <= wanted.last_day and wanted.first_day <= opening.last_day
    }
    return len(overlapping - {(wanted.as_of, wanted.config)})
