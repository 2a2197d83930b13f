"""What could not be read, kept with its place and its reason: nothing is dropped in silence."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from meta_pipeline.canonical import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One line that was not used.

    Parameters
    ----------
    source, line
        File (or table) and line number, from 1.
    reason
        A stable code.
    detail
        What was wrong with it, for a person.
    """

    source: str
    line: int
    reason: str
    detail: str


def reasons_of(lines: Iterable[Quarantined]) -> dict[str, JsonValue]:
    """Count quarantined lines by reason."""
    return dict(sorted(Counter(line.reason for line in lines).items()))
