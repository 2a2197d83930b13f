"""The reports that commands write: what an approver reads of a proposal that a person authors."""

from typing import TYPE_CHECKING

from meta_pipeline.cli import common

if TYPE_CHECKING:
    from meta_pipeline.report.files import ProposalReports
    from meta_pipeline.store.database import Database


def proposal_reports(database: "Database") -> "ProposalReports":
    """Return what writes the report of a proposal as it is saved."""
    from meta_pipeline.report.files import ProposalReports, report_files
    from meta_pipeline.report.outcomes import track_record
    from meta_pipeline.store.scorecards import scorecard

    settings = common.settings()
    with database.connect() as connection:
        scores = scorecard(connection)
    return ProposalReports(
        report_files(settings.home),
        approval_hours=settings.approval_hours,
        track_record=lambda proposal_type: track_record(scores, proposal_type),
    )
