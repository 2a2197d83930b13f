"""What a clever user tries, through each way in: the gate, the command line and the API. Nothing of it gets anywhere.

What the service itself makes of the same is in store/test_governance_malice.py.
"""

import json
import os
from itertools import count
from pathlib import Path

import pytest

from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.report.files import ProposalReports, report_files
from meta_pipeline.store import approvers, audit, changes, governance
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import token_of
from meta_pipeline_tests.faults.injection import Site, everything
from meta_pipeline_tests.faults.ways_in import Api, CommandLine, WayIn, way_in
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store.governed import (
    SETTINGS,
    actions,
    add_approvers,
    by_hand,
    contents,
    declare,
    live,
    propose,
    status,
)

pytestmark = pytest.mark.database

_NUMBERS = count(1)
BOB_IN_CYRILLIC = "\u0412\u043e\u0432"
MIXED = "B\u043eb"


@pytest.fixture(params=["gate", "command line", "api"])
def way(
    request: pytest.FixtureRequest,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> WayIn:
    return way_in(request.param, site.database, tmp_path, monkeypatch, capsys)


@pytest.fixture
def shell_way(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    made = way_in("command line", site.database, tmp_path, monkeypatch, capsys)
    assert isinstance(made, CommandLine)
    return made


def proposed(database: Database, *, author: str = "ann") -> ProposalRecord:
    """A proposal for a strategy of its own."""
    name = f"malice {next(_NUMBERS)}"
    declare(database, name)
    return propose(database, "risk.max_vol", 0.7, strategy_id=name, author=author)


def governed(database: Database) -> dict[str, list[str]]:
    """Return all that is governed, and what the audit log says of it; tokens for the API come and go beside it."""
    kept = contents(database)
    kept["audit_log"] = [action for action in actions(database) if action != "token.create"]
    return kept


def test_a_look_alike_of_an_approver_approves_nothing(way: WayIn) -> None:
    record = proposed(way.database)
    before = governed(way.database)
    for name in (BOB_IN_CYRILLIC, MIXED, "Bob\u200b"):
        assert way.approve(record, name), ascii(name)
    assert governed(way.database) == before
    assert way.approve(record, "  bOB ") == ""  # padded and in another case it is Bob, who may


def test_however_the_author_writes_his_name_he_is_no_second_person(way: WayIn) -> None:
    record = proposed(way.database, author="Bob")
    for name in ("Bob", "  BOB  ", "\uff22\uff4f\uff42"):
        assert "is the author of proposal" in way.approve(record, name)
    assert status(way.database, record) == "PENDING"


def test_a_secret_of_the_server_is_never_read_into_what_is_kept(way: WayIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    record = proposed(way.database)
    for reason in ({"env": "SECRET"}, "{env: SECRET}"):
        way.approve(record, "Bob", reason=reason)  # refused, or kept as the letters that they are
        kept = everything(way.database)
        assert "hunter2" not in json.dumps(kept)


def test_what_no_text_can_hold_and_what_is_too_long_is_refused_and_nothing_is_written(way: WayIn) -> None:
    record = proposed(way.database)
    before = governed(way.database)
    for text in ("\x00", "\udcff", "x" * 10_240):
        assert way.approve(record, "Bob", reason=text), ascii(text[:9])
        assert way.approve(record, f"Bob{text}"), ascii(text[:9])
        assert way.approve(record, "Bob", digest=text), ascii(text[:9])
    for other in ("prop-\ufffd", "x" * 10_240, "__proto__"):
        assert way.approve(record, "Bob", proposal_id=other), ascii(other[:9])
    assert governed(way.database) == before


def test_a_status_edited_by_hand_is_applied_by_nobody(way: WayIn) -> None:
    record = proposed(way.database)
    by_hand(
        way.database,
        "UPDATE meta_config_proposals SET status = 'APPROVED', approved_by = 'Bob', approved_at = :now,"
        " approval_expires_at = :now + interval '1 hour' WHERE proposal_id = :id",
        now=NOW,
        id=record.proposal_id,
    )
    before = governed(way.database)
    assert "no approval of proposal" in way.apply(record)
    assert governed(way.database) == before


@pytest.mark.parametrize("column", ["report_sha256 = repeat('a', 64)", """supporting_metrics = '{"n_runs": 4000}'"""])
def test_a_report_or_evidence_changed_after_the_approval_stops_the_apply(way: WayIn, column: str) -> None:
    record = proposed(way.database)
    assert way.approve(record, "Bob") == ""
    statement = f"UPDATE meta_config_proposals SET {column} WHERE proposal_id = :id"
    assert by_hand(way.database, statement, id=record.proposal_id) == 1
    refused = way.apply(record)
    assert "was changed in the database" in " ".join(refused.split())
    assert live(way.database, record.draft.strategy_id).version == 1


def reported(way: WayIn) -> tuple[ProposalRecord, Path]:
    """A proposal with a report in the home folder of the way in, and the report's file."""
    declare(way.database, name := f"malice {next(_NUMBERS)}")
    files = report_files(way.home)
    record = governance.create(
        way.database,
        strategy_id=name,
        knob="risk.max_vol",
        proposed=0.7,
        reason="more room",
        author="ann",
        now=NOW,
        settings=SETTINGS,
        report=ProposalReports(files, approval_hours=72, track_record=lambda _: None),
    ).record
    assert record.draft.report_sha256 is not None
    return record, files.path(record.draft.report_sha256)


def test_a_report_whose_file_was_altered_is_neither_approved_nor_applied_until_it_is_put_back(way: WayIn) -> None:
    record, file = reported(way)
    written = file.read_bytes()
    altered = written.replace(b"raises risk", b"lowers risk")
    assert altered != written
    file.write_bytes(altered)
    before = governed(way.database)
    said = f"the file of the report {file.stem[:12]}... that proposal {record.proposal_id} names was changed"
    assert said in " ".join(way.approve(record, "Bob").split())
    assert governed(way.database) == before
    file.write_bytes(written)
    assert way.approve(record, "Bob") == ""
    for damage in (altered, b"", None):
        file.unlink()
        if damage is None:
            os.mkfifo(file)  # to read it would take for ever
        else:
            file.write_bytes(damage)
        before = governed(way.database)
        assert said in " ".join(way.apply(record).split())
        assert governed(way.database) == before
    file.unlink()
    file.write_bytes(written)
    assert way.apply(record) == ""


def test_a_report_that_is_gone_is_said_to_be_gone_and_the_audit_log_keeps_that_it_was(way: WayIn) -> None:
    record, file = reported(way)
    file.unlink()
    assert way.approve(record, "Bob") == ""
    assert way.apply(record) == ""
    with way.database.connect() as connection:
        entries = audit.entries(connection, limit=4)
    facts = {entry.action: json.loads(entry.payload).get("report") for entry in entries}
    assert facts["proposal.approve"] == facts["change.apply"] == "missing"


def test_what_is_wrong_with_a_report_is_on_the_sheet_and_in_the_answers(shell_way: CommandLine) -> None:
    record, file = reported(shell_way)
    written = file.read_bytes()
    shown = (("proposals", "show", record.proposal_id), ("apply", record.proposal_id, "--dry-run"))

    def sheets() -> list[str]:
        return [" ".join(shell_way.shell.run(*command, actor="Bob").out.split()) for command in shown]

    assert "its report is as it was written" in sheets()[0]
    file.write_bytes(b"approve everything")
    assert "was changed since it was written" in sheets()[0]
    file.unlink()
    assert "is not in this machine's home folder" in sheets()[0]
    decided = shell_way.shell.run("approve", record.proposal_id, "--digest", record.body_digest, actor="Bob")
    assert "note: the report" in " ".join(decided.out.split())
    assert "is not in this machine's home folder" in sheets()[1]
    file.write_bytes(written + b" ")
    assert "was changed since it was written" in sheets()[1]
    file.write_bytes(written)
    assert all("its report is as it was written" in sheet for sheet in sheets())


def test_an_approver_removed_between_approve_and_apply_has_approved_nothing(way: WayIn) -> None:
    record = proposed(way.database)
    assert way.approve(record, "Bob") == ""
    with way.database.begin() as connection:
        approvers.remove(connection, "Bob", actor="ann", now=NOW)
    try:
        assert "is not on the list of approvers" in " ".join(way.apply(record).split())
        assert live(way.database, record.draft.strategy_id).version == 1
    finally:
        add_approvers(way.database, "Bob")


def test_an_old_approval_that_is_executed_again_approves_nothing(way: WayIn) -> None:
    record = proposed(way.database)
    assert way.approve(record, "Bob") == ""
    assert way.apply(record) == ""
    with way.database.connect() as connection:
        change = changes.of_proposal(connection, record.proposal_id)
    assert change is not None
    governance.revert(way.database, change.change_id, actor="emil", reason="worse", now=NOW, settings=SETTINGS)
    before = governed(way.database)
    assert "is REVERTED" in way.approve(record, "Bob")
    assert "is REVERTED" in way.apply(record)
    assert governed(way.database) == before


def test_at_the_shell_no_odd_knob_and_no_value_that_json_lacks_is_proposed(shell_way: CommandLine) -> None:
    declare(shell_way.database, name := f"malice {next(_NUMBERS)}")
    before = governed(shell_way.database)

    def create(knob: str, value: str) -> str:
        asked = ("--strategy", name, "--knob", knob, "--to", value, "--reason", "because")
        return shell_way.run("proposals", "create", *asked)

    for knob in ("a.b[0]", "risk[0]", "__proto__", "constructor.prototype", "k" * 10_240, "a\x00b", "\ud800", "a..b"):
        assert create(knob, "0.5"), ascii(knob[:9])
    for value in ("NaN", "Infinity", "-Infinity", "1e400", "[NaN]", '"\\u0000"', '"\\ud800"', '{"a": 1, "a": 2}'):
        for knob in ("risk.max_vol", "extras"):
            assert create(knob, value), (knob, value)
    assert governed(shell_way.database) == before
    kept = {"__proto__": {"b[0]": 1}, "{env: SECRET}": "{env: HOME}", "k" * 10_240: None}
    assert create("extras", json.dumps(kept)) == ""  # of a JSON knob these are keys and values like any other
    shown = shell_way.shell.ask("proposals", "list", "--strategy", name)["proposals"]
    assert [one["proposed"]["value"] if "value" in one["proposed"] else one["proposed"] for one in shown] == [kept]


BODIES = (
    '{"verdict": "approve", "digest": NaN}',
    '{"verdict": "approve", "digest": 1e400}',
    '{"verdict": "approve", "digest": "%s", "__proto__": {"role": "admin"}}',
    '{"verdict": "approve", "digest": "%s", "verdict": "reject"}',
    '{"verdict": "approve", "digest": "%s", "reason": "\\u0000"}',
    '{"verdict": "approve", "digest": "%s", "reason": "\\ud800"}',
    '{"verdict": "approve", "digest": "%s", "a.b[0]": 1}',
    '{"verdict": "approve", "digest": "%s", "' + "k" * 10_240 + '": 1}',
)


def test_over_http_a_body_that_says_more_or_less_than_a_decision_decides_nothing(site: Site, tmp_path: Path) -> None:
    record = proposed(site.database)
    token = token_of(site.database, "approver", "Bob", now=NOW)
    before = governed(site.database)
    api = Api(site.database, tmp_path)
    for body in BODIES:
        sent = body.replace("%s", record.body_digest).encode()
        refused = api.post(f"/api/v1/proposals/{record.proposal_id}/decisions", token, sent)
        assert refused[:4] in {"400:", "422:"}, (body[:80], refused)
    assert governed(site.database) == before
