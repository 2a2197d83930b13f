"""Reports as files, each named by the sha256 of its bytes, so that what was read once can be shown again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from meta_pipeline.diagnostics.equity import EquityComparison
from meta_pipeline.meta_model.artifact_store import ArtifactStore, FolderStore
from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.situation import Check
from meta_pipeline.report.approval import TrackRecord
from meta_pipeline.report.proposal_report import ProposalReport, proposal_html

FOLDER: Final = "reports"
"""Under the home folder."""


def report_files(home: Path) -> FolderStore:
    """Return where the reports of a home folder are kept."""
    return FolderStore(home / FOLDER, suffix=".html")


class ProposalReports:
    """Writes the report of each proposal that is saved: a `ReportWriter`.

    Parameters
    ----------
    files
        Where they are kept.
    approval_hours
        How long an approval will hold.
    track_record
        Type of a proposal -> what those before it claimed and brought, None if nothing is known.
    equity
        Draft -> the live configuration against the changed one, None where there are no series.
    """

    def __init__(
        self,
        files: ArtifactStore,
        *,
        approval_hours: float,
        track_record: Callable[[str], TrackRecord | None],
        equity: Callable[[ProposalDraft], EquityComparison | None] = lambda _: None,
    ) -> None:
        self._files = files
        self._approval_hours = approval_hours
        self._track_record = track_record
        self._equity = equity

    def __call__(self, record: ProposalRecord, *, checks: Sequence[Check], touched: Sequence[TouchedKey]) -> str:
        """Write the report and return its sha256."""
        return self._files.put(
            proposal_html(
                ProposalReport(
                    record=record,
                    checks=checks,
                    touched=touched,
                    track_record=self._track_record(record.draft.proposal_type),
                    approval_hours=self._approval_hours,
                    equity=self._equity(record.draft),
                )
            )
        )
