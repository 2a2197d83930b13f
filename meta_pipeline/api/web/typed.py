"""Typed confirmation: an act that counts at once names what it is for, by hand, and says why."""

from collections.abc import Mapping

from meta_pipeline.api.forms import ReasonForm
from meta_pipeline.errors import InputError
from meta_pipeline.report.text import visible


def confirmed(fields: Mapping[str, str], *, wanted: str, what: str) -> None:
    """Check what was typed to confirm.

    Raises
    ------
    InputError
        If it is not what the form asked for.
    """
    typed = fields.get("typed", "").strip()
    # A name is typed as the page shows it.
    if typed not in {wanted, visible(wanted)}:
        raise InputError(f"typed was {typed[:64]!r}; to confirm, type {what}: {wanted}")


def reason_of(fields: Mapping[str, str], *, what: str) -> str:
    """Return the reason of a form.

    Raises
    ------
    InputError
        If there is none, or it is too long.
    """
    try:
        return ReasonForm(reason=fields.get("reason", "").strip().replace("\r\n", "\n")).reason
    except ValueError:
        raise InputError(f"{what} needs a reason of at most 4,000 characters") from None
