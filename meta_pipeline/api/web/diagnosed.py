"""What the last night found about a strategy, drawn by the renderer of the reports, and the report of every night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from meta_pipeline.api.web.drawn import Drawn
from meta_pipeline.api.web.grid import Cell, Grid, moment
from meta_pipeline.api.web.pages import link
from meta_pipeline.store import diagnostics, pages
from meta_pipeline.store.diagnostics import StoredReport

if TYPE_CHECKING:
    from meta_pipeline.report.html import Part

NIGHTS: Final = 30

SHOWN: Final = (
    *("data-health", "performance", "effects", "regimes", "overfitting", "stability", "knobs"),
    *("why-no-proposal", "what-to-run-next"),
)
"""The parts that the stored report alone is enough for; the others need series, and are in the document."""


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
        """Return the parts of the last report."""
        stored = self.stored
        return () if stored is None else _DRAWN.get(stored.report_id, lambda: _parts(stored))


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


_DRAWN: Final["Drawn[tuple[Part, ...]]"] = Drawn()


def _parts(stored: StoredReport) -> "tuple[Part, ...]":
    from meta_pipeline.report.strategy_report import StrategyReport, strategy_parts

    found = StrategyReport(strategy_id=stored.strategy_id, night=stored.seen_at.date(), report=stored.report)
    return tuple(part for part in strategy_parts(found) if part.anchor in SHOWN)
