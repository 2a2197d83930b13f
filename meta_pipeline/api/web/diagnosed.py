"""What the last night found about a strategy, drawn by the renderer of the reports, and the report of every night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from meta_pipeline.api.web.grid import Cell, Grid, moment
from meta_pipeline.api.web.pages import link
from meta_pipeline.store import diagnostics, pages
from meta_pipeline.store.diagnostics import StoredReport

if TYPE_CHECKING:
    from meta_pipeline.report.html import Part

NIGHTS: Final = 30
REMEMBERED: Final = 64

SHOWN: Final = (
    *("data-health", "performance", "effects", "regimes", "overfitting", "stability", "knobs"),
    "why-no-proposal",
)
"""The parts that the stored report alone is enough for; the others need series, and are in the document."""

# Matplotlib keeps fonts and settings for the whole process.
DRAWING: Final = Lock()


@dataclass(frozen=True, kw_only=True)
class Diagnosed:
    """Diagnostics as the page of a strategy shows them.

    Parameters
    ----------
    stored
        The report that was found last; None: there is none yet.
    """

    stored: StoredReport | None
    nights: Grid

    def parts(self) -> "Sequence[Part]":
        """Return the parts of the last report, drawn once for each report: it is named by its content."""
        return () if self.stored is None else _drawn(_Named(self.stored))


def diagnosed(connection: Connection, strategy_id: str) -> Diagnosed:
    """Read what the page shows; raises as `latest_report`."""
    rows, _ = pages.diagnostics_page(connection, limit=NIGHTS, after=None, strategy_id=strategy_id)
    return Diagnosed(stored=diagnostics.latest_report(connection, strategy_id), nights=_nights(rows))


def _nights(rows: Sequence[Mapping[str, Any]]) -> Grid:
    return Grid(
        name="Reports of the nights",
        headers=("Report", "First found", "Last found", "Evidence"),
        rows=tuple(
            (
                _document(row["page_sha256"]),
                moment(row["created_at"]),
                moment(row["seen_at"]),
                Cell(text=row["evidence_digest"][:12], code=True),
            )
            for row in rows
        ),
        empty="No night has judged this strategy yet: meta-pipeline nightly",
    )


def _document(sha256: str | None) -> Cell:
    if sha256 is None:
        return Cell(text="no document was written")
    return Cell(text=sha256[:12], href=link(f"reports/{sha256}"), code=True)


@dataclass(frozen=True, eq=False)
class _Named:
    """A report, compared by its id, which is a digest of its content."""

    stored: StoredReport

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and other.stored.report_id == self.stored.report_id

    def __hash__(self) -> int:
        return hash(self.stored.report_id)


@lru_cache(maxsize=REMEMBERED)
def _drawn(named: _Named) -> "tuple[Part, ...]":
    from meta_pipeline.report.strategy_report import StrategyReport, strategy_parts

    stored = named.stored
    found = StrategyReport(strategy_id=stored.strategy_id, night=stored.seen_at.date(), report=stored.report)
    with DRAWING:
        return tuple(part for part in strategy_parts(found) if part.anchor in SHOWN)
