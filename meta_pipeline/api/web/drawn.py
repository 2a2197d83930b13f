"""Charts of pages, drawn once: what they show is named by a digest of its content, so they never grow old."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from meta_pipeline.proposals.draft import ProposalRecord

if TYPE_CHECKING:
    from meta_pipeline.report.proposal_report import Charts

T = TypeVar("T")

REMEMBERED: Final = 128
"""Drawings that are kept, of each kind; the one that was kept longest makes room."""

# Matplotlib keeps fonts and settings for the whole process, so one is drawn at a time.
_DRAWING: Final = Lock()


class Drawn(Generic[T]):
    """Drawings by the digest of what they show."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._kept: dict[str, T] = {}

    def get(self, digest: str, draw: Callable[[], T]) -> T:
        """Return a drawing, and draw it if it is not kept."""
        kept = self._kept.get(digest)
        if kept is not None:
            return kept
        with _DRAWING:
            made = self._kept.get(digest)  # another request may have drawn it meanwhile
            if made is None:
                made = draw()
                while len(self._kept) >= self._most:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[digest] = made
        return made


_PROPOSALS: Final["Drawn[Charts]"] = Drawn()


def drawn(record: ProposalRecord) -> "Charts":
    """Return the charts of a proposal."""
    from meta_pipeline.report.proposal_report import proposal_charts

    return _PROPOSALS.get(record.body_digest, lambda: proposal_charts(record.draft))
