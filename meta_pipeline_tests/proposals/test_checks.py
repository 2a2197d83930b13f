"""Checks: each can fail, with its own error and a sentence that names the value and the way out."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from meta_pipeline import errors
from meta_pipeline.canonical import ABSENT
from meta_pipeline.proposals.checks import APPLY, APPROVE, REJECT, REVIEW, Rival, error_of, first_failure, run_checks
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.states import Status
from meta_pipeline_tests.proposals.governed import LIVE, NOW, approval, draft, record, situation

RIVAL = Rival(proposal_id="prop-rival", path="risk", status=Status.APPROVED, proposed={})
OTHER_KNOBS: dict[str, Any] = {
    "tighter": {"risk.max_vol": Knob(path="risk.max_vol", knob_type="float", upper=0.2)},
    "turned": {
        "risk.max_vol": Knob(path="risk.max_vol", knob_type="float", risk_direction=RiskDirection.LOWER_IS_RISKIER)
    },
    "none": {},
}
APPROVED = record(status=Status.APPROVED, approved_by="Bob", approval_expires_at=NOW + timedelta(hours=72))
TAMPERED = replace(record(), draft=replace(draft(), proposed=0.9))


def failure(changes: dict[str, Any], *, applying: bool = False) -> tuple[str, type[errors.MetaPipelineError], str]:
    seen = situation(APPROVED if applying else record(), **{"approval": approval(record()), **changes})
    failed = first_failure(run_checks(APPLY if applying else APPROVE, seen))
    assert failed is not None
    assert failed.error is not None
    assert isinstance(error_of(failed), failed.error)
    return failed.name, failed.error, failed.text


def test_everything_passes_where_nothing_is_wrong() -> None:
    for checkers, of in ((APPROVE, record()), (REVIEW, record()), (REJECT, record()), (APPLY, APPROVED)):
        checks = run_checks(checkers, situation(of))
        assert [check for check in checks if not check.passed] == []
        assert all(check.text and check.error is None for check in checks)


@pytest.mark.parametrize(
    ("changes", "name", "error", "said"),
    [
        ({"record": TAMPERED}, "content", errors.ContentTampered, "proposed"),
        ({"report": "altered"}, "content", errors.ContentTampered, "the file of the report .* was changed since"),
        ({"approver": "meta-pipeline"}, "person", errors.NotPermitted, "never the human eye"),
        ({"approver": None}, "person", errors.NotPermitted, "nobody has decided"),
        ({"approver_active": False}, "approver", errors.NotAnApprover, "not on the list"),
        ({"now": NOW + timedelta(days=14)}, "lifetime", errors.Lapsed, "2026-12-04"),
        ({"live_version": 2, "moved_by": "ann did"}, "base", errors.StaleBase, "version 1 .* version 2 \\(ann did\\)"),
        ({"live_as_hashed": False}, "base", errors.ContentTampered, "version 1 of STRAT is not what was hashed"),
        ({"live_version": None, "live": None}, "base", errors.StaleBase, "no version"),
        ({"live": {"risk": {"max_vol": 0.4}}}, "target", errors.StaleBase, "0.4 now.* from 0.5"),
        ({"live": {"risk": {}}}, "target", errors.StaleBase, "absent now"),
        ({"live": {"risk": {"max_vol": 0.5}, "risk.max_vol": 1}}, "target", errors.Blocked, "ambiguous"),
        ({"knobs": OTHER_KNOBS["none"]}, "knob", errors.Blocked, "not a declared knob of STRAT"),
        ({"knobs": OTHER_KNOBS["tighter"]}, "knob", errors.Blocked, "0.25 is above its upper bound 0.2"),
        ({"knobs": OTHER_KNOBS["turned"]}, "risk", errors.Blocked, "'reduces'.* it is 'raises'"),
        ({"rivals": (RIVAL,)}, "conflicts", errors.Conflict, "prop-rival .risk -> {}. is approved"),
    ],
)
def test_each_check_of_an_approval_fails_by_its_own_error(
    changes: dict[str, Any], name: str, error: type[errors.MetaPipelineError], said: str
) -> None:
    found_name, found_error, text = failure(changes)
    assert (found_name, found_error) == (name, error)
    assert re.search(said, text), text


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("unread", None),
        ("none", None),
        ("whole", "its report is as it was written"),
        ("missing", "is not in this machine's home folder"),
    ],
)
def test_what_became_of_a_report_that_is_not_altered_stops_nothing_and_is_said(report: Any, said: str | None) -> None:
    seen = situation(record(), report=report)
    (content, *_) = run_checks(REVIEW, seen)
    assert content.passed
    assert (said or "the stored text has the digest") in content.text
    assert (";" in content.text) == (said is not None)
    assert bool(seen.notes) == bool(seen.facts) == (report == "missing")


@pytest.mark.parametrize("who", ["Ann", "ann", " ANN ", "\uff21nn"])
def test_the_author_never_approves_however_the_name_is_typed(who: str) -> None:
    made = record(draft(author="ann", author_kind="human"))
    _, error, text = failure({"record": made, "approver": who})
    assert error is errors.FourEyes
    assert "is the author" in text


def test_an_editor_never_approves() -> None:
    _, error, text = failure({"record": record(editor_keys=frozenset({"bob"}))})
    assert error is errors.FourEyes
    assert "edited" in text


def test_an_author_who_is_not_on_the_list_hears_that_he_is_the_author() -> None:
    made = record(draft(author="ann", author_kind="human"))
    _, error, _ = failure({"record": made, "approver": "ann", "approver_active": False})
    assert error is errors.FourEyes


@pytest.mark.parametrize(
    ("changes", "name", "error", "said"),
    [
        ({"record": record()}, "status", errors.IllegalTransition, "is PENDING"),
        ({"approval": None, "approver": None}, "approval", errors.NotPermitted, "no approval"),
        ({"approval": approval(record(), body_digest="0" * 64)}, "approval", errors.DigestMismatch, "have it approved"),
        ({"now": NOW + timedelta(hours=72)}, "approval lifetime", errors.Lapsed, "lapsed on 2026-11-23"),
        ({"approver_active": False}, "approver", errors.NotAnApprover, "not on the list"),
        ({"live_version": 2}, "base", errors.StaleBase, "version 2"),
        ({"knobs": OTHER_KNOBS["none"]}, "knob", errors.Blocked, "not a declared knob"),
    ],
)
def test_each_check_is_made_again_when_applying(
    changes: dict[str, Any], name: str, error: type[errors.MetaPipelineError], said: str
) -> None:
    found_name, found_error, text = failure(changes, applying=True)
    assert (found_name, found_error) == (name, error)
    assert said in text


def test_a_lapsed_approval_and_a_moved_base_end_the_proposal_and_other_failures_do_not() -> None:
    ends = {
        check.name: check.becomes
        for changes in ({"now": NOW + timedelta(days=30)}, {"live_version": 9, "live": {}, "knobs": {}})
        for check in run_checks(APPLY, situation(APPROVED, **changes))
        if not check.passed
    }
    assert ends == {
        "approval lifetime": Status.EXPIRED,
        "base": Status.STALE,
        "target": Status.STALE,
        "knob": None,
        "risk": None,
    }


def test_a_key_that_was_absent_when_proposed_must_still_be_absent() -> None:
    made = record(draft("risk.stop", ABSENT, 0.1))
    _, error, text = failure({"record": made, "live": {**LIVE, "risk": {"stop": None}}})
    assert error is errors.StaleBase
    assert "was absent" in text
    assert "null now" in text


def test_an_open_competitor_is_named_before_anything_is_decided() -> None:
    rival = replace(RIVAL, status=Status.PENDING)
    checks = run_checks(REVIEW, situation(rivals=(rival,)))
    assert first_failure(checks) is None
    (conflicts,) = [check for check in checks if check.name == "conflicts"]
    assert "prop-rival" in conflicts.text


def test_all_checks_are_shown_although_the_first_fails() -> None:
    checks = run_checks(APPLY, situation(TAMPERED, live_version=7, knobs={}))
    assert len(checks) == len(APPLY)
    assert sum(not check.passed for check in checks) >= 4
