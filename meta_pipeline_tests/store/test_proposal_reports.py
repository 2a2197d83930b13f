"""What the approver read is part of what was approved: the report's sha256 in the body that is hashed."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.artifact_store import FolderStore
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.report.files import ProposalReports, report_files
from meta_pipeline.store import audit, governance, proposals
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import draft
from meta_pipeline_tests.store import governed
from meta_pipeline_tests.store.governed import LIFETIME, NOW, SETTINGS


def writer(files: FolderStore) -> ProposalReports:
    return ProposalReports(files, approval_hours=72, track_record=lambda _: None)


def proposed(database: Database, files: FolderStore) -> ProposalRecord:
    made = governance.create(
        database,
        strategy_id="STRAT",
        knob="risk.max_vol",
        proposed=0.25,
        reason="calmer",
        author="ann",
        now=NOW,
        settings=SETTINGS,
        report=writer(files),
    )
    assert made.new
    return made.record


def test_an_approval_names_the_report_that_was_read(database: Database, tmp_path: Path) -> None:
    files = report_files(tmp_path)
    governed.prepare(database)
    record = proposed(database, files)
    sha256 = record.draft.report_sha256
    assert sha256 is not None
    page = files.get(sha256).decode("utf-8")
    assert record.proposal_id in page
    assert "Change risk.max_vol of STRAT from 0.5 to 0.25: reduces risk." in page
    assert page.count('<span class="chip good">passed</span>') >= 6
    body = json.loads(record.body)
    assert (body["format"], body["report_sha256"]) == (3, sha256)

    # Another report would have been another content, and the approval of this one none of it.
    governed.by_hand(database, "UPDATE meta_config_proposals SET report_sha256 = :other", other="b" * 64)
    refused = governed.decide(database, governed.get(database, record.proposal_id))
    assert (refused.outcome, refused.error and refused.error.code) == ("refused", "content_tampered")
    assert "report_sha256" in refused.message
    governed.by_hand(database, "UPDATE meta_config_proposals SET report_sha256 = :own", own=sha256)
    assert governed.decide(database, governed.get(database, record.proposal_id)).outcome == "approved"


def test_an_edited_rationale_gets_a_report_of_its_own_or_none(database: Database, tmp_path: Path) -> None:
    files = report_files(tmp_path)
    governed.prepare(database)
    record = proposed(database, files)
    edited = governance.edit(
        database, record.proposal_id, rationale="calmer still", editor="dan", now=NOW, report=writer(files)
    )
    assert edited.draft.report_sha256 not in {None, record.draft.report_sha256}
    assert b"calmer still" in files.get(str(edited.draft.report_sha256))
    assert edited.body_digest != record.body_digest
    again = governance.edit(database, record.proposal_id, rationale="calmest", editor="dan", now=NOW)
    assert again.draft.report_sha256 is None
    assert "report_sha256" not in json.loads(again.body)
    assert governed.decide(database, again).outcome == "approved"


def test_with_or_without_a_report_it_is_the_same_proposal(database: Database, tmp_path: Path) -> None:
    governed.prepare(database)
    with database.begin() as connection:
        first = proposals.save(connection, [draft()], now=NOW, lifetime=LIFETIME)
        again = proposals.save(connection, [draft()], now=NOW, lifetime=LIFETIME, report=writer(report_files(tmp_path)))
    assert again.existing == first.new
    assert not (tmp_path / "reports").exists()


def test_nobody_waits_for_the_log_while_reports_are_drawn(database: Database) -> None:
    governed.prepare(database)

    def slow(record: ProposalRecord, **_: object) -> str:
        with database.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            event = audit.Event(action="test", subject_type="test", subject_id=record.proposal_id, payload={})
            audit.append(other, event, actor="Ann", at=NOW)
        return "a" * 64

    before = len(governed.actions(database))
    drafts = [draft(), draft("lookback", 63, 64)]
    with database.begin() as connection:
        assert len(proposals.save(connection, drafts, now=NOW, lifetime=LIFETIME, report=slow).new) == 2
    assert governed.actions(database)[before:] == ["test", "test", "proposal.create", "proposal.create"]


def test_what_is_no_sha256_cannot_name_a_report() -> None:
    with pytest.raises(InputError, match="report_sha256 is 'x'"):
        draft(report_sha256="x").check()
