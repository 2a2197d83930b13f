"""The machine applies only what is fenced in, and stops itself when a proposal that is wrong on purpose gets past."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.errors import InputError, NotFound, NothingToDo, NotPermitted
from meta_pipeline.orchestration.alerts import ALERTS_FILE
from meta_pipeline.orchestration.automation import automatic_application
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.orchestration.sensors import failed_runs
from meta_pipeline.proposals import automatic, checks
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.proposals.situation import Check
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import automation, automation_freezes, governance, tiers
from meta_pipeline.store.automation import Round
from meta_pipeline.store.database import Database
from meta_pipeline.store.diagnosis import Diagnosis
from meta_pipeline.store.doctor_loop import examine_loop
from meta_pipeline.store.rules import rules_of
from meta_pipeline_tests.proposals.governed import KNOBS, LIVE, draft
from meta_pipeline_tests.store.governed import (
    NOW,
    actions,
    approved,
    by_hand,
    contents,
    decide,
    get,
    live,
    prepare,
    propose,
    save,
)
from meta_pipeline_tests.store.known_truth import settings

pytestmark = pytest.mark.database

FENCED = Knob(
    path="risk.max_vol",
    knob_type="float",
    lower=0.05,
    upper=0.95,
    max_step=0.3,
    risk_direction=RiskDirection.HIGHER_IS_RISKIER,
)
CANDIDATE = "c" * 64
ON = settings(automation=True)


@pytest.fixture
def ready(database: Database) -> Database:
    prepare(database, knobs=tuple(FENCED if knob.path == FENCED.path else knob for knob in KNOBS))
    by_hand(
        database,
        "INSERT INTO candidates (candidate_id, strategy_id, evidence_digest, knob_path, grade, body)"
        " VALUES (:id, 'STRAT', :id, 'risk.max_vol', 'A', '{}')",
        id=CANDIDATE,
    )
    tier(database, "risk.max_vol", "automatic")
    return database


def tier(database: Database, path: str, to: str, actor: str = "ann") -> None:
    with database.begin() as connection:
        tiers.set_tier(connection, "STRAT", path, to, actor=actor, now=NOW)


def evidence(**changes: float | None) -> dict[str, Any]:
    """Evidence of grade A, by which every measure of risk falls."""
    measured = {"volatility": -0.02, "max_drawdown": 0.03, "expected_shortfall": 0.001, **changes}
    return {"grade": "A", "risk_effects": [{"metric": name, "estimate": size} for name, size in measured.items()]}


def good(**changes: Any) -> ProposalDraft:
    """A draft of the machine that it may apply by itself."""
    fields: dict[str, Any] = {
        "candidate_id": CANDIDATE,
        "supporting_metrics": evidence(),
        "expected_risk_reduction": 0.02,
        "outcome_rule": OutcomeRule().to_json(),
    }
    return draft(**{**fields, **changes})


def saved(database: Database, made: ProposalDraft) -> str:
    result = save(database, made)
    assert result.new, result.refused
    return result.new[0]


def run(database: Database, *, dry_run: bool = False, **changes: Any) -> Round:
    return automation.run(database, now=NOW, settings=settings(automation=True, **changes), dry_run=dry_run)


def test_what_passes_every_check_is_applied_under_the_machines_name_and_undone_like_any_other(ready: Database) -> None:
    proposal_id = saved(ready, good())
    before = contents(ready)
    assert [one.outcome for one in run(ready, dry_run=True).results] == ["would_apply"]
    after = contents(ready)
    assert {name for name in before if before[name] != after[name]} == {"audit_log"}  # the controls are on record
    done = run(ready)
    (result,) = done.results
    assert (result.outcome, done.frozen) == ("applied", None)
    assert live(ready).config["risk"] == {"max_vol": 0.25, "cap": 3}
    record = get(ready, proposal_id)
    assert (record.status, record.approved_by) == (Status.APPLIED, "meta-pipeline")
    with ready.connect() as connection:
        row = connection.execute(text("SELECT approver, channel FROM approvals")).one()
        kinds = connection.execute(
            text("SELECT DISTINCT actor_kind FROM audit_log WHERE action IN ('proposal.approve', 'change.apply')")
        ).scalars()
        assert list(kinds) == ["machine"]
        by = connection.execute(text("SELECT applied_by FROM meta_controller_config_proposals")).scalar_one()
        assert by == "AUTO"
    assert tuple(row) == ("meta-pipeline", "automation")
    assert run(ready).results == ()
    assert result.change_id is not None
    governance.revert(ready, result.change_id, actor="emil", reason="no", now=NOW, settings=ON)
    assert live(ready).config == LIVE


@pytest.mark.parametrize(
    ("changes", "stopped_by"),
    [
        ({"grade": "B"}, "grade"),
        ({"expected_sharpe_improvement": 0.05}, "uplift"),
        ({"expected_risk_reduction": None}, "risk not raised"),
        ({"expected_risk_reduction": -0.001}, "risk not raised"),
        ({"supporting_metrics": evidence(max_drawdown=-0.01)}, "risk not raised"),
        ({"supporting_metrics": evidence(expected_shortfall=None)}, "risk not raised"),
        ({"supporting_metrics": {"grade": "A"}}, "risk not raised"),
        ({"proposed": 0.6, "risk_change": "raises"}, "risk not raised"),
        ({"candidate_id": None}, "author"),
        ({"outcome_rule": None}, "outcome rule"),
        ({"target_component": "lookback", "current": 63, "proposed": 64, "risk_change": "neutral"}, "whitelist"),
    ],
)
def test_each_check_of_its_own_stops_it(ready: Database, changes: dict[str, Any], stopped_by: str) -> None:
    proposal_id = saved(ready, good(**changes))
    done = automation.run(ready, now=NOW, settings=ON)
    if stopped_by == "whitelist":  # of another knob: not even looked at
        assert done.results == ()
        with ready.begin() as connection:
            result = automation.apply_automatically(connection, proposal_id, now=NOW, rules=rules_of(ON))
    else:
        (result,) = done.results
    assert result.outcome == "refused"
    assert [check.name for check in result.checks if not check.passed] == [stopped_by]
    assert get(ready, proposal_id).status is Status.PENDING
    assert live(ready).version == 1


def test_off_frozen_stale_controls_a_freeze_or_no_budget_each_stop_it(ready: Database) -> None:
    proposal_id = saved(ready, good())
    assert automation.run(ready, now=NOW, settings=settings()).results == ()

    def failed(**changes: Any) -> list[str]:
        chosen = settings(**{"automation": True, **changes})
        at = changes.get("now", NOW)
        with ready.begin() as connection:
            result = automation.apply_automatically(connection, proposal_id, now=at, rules=rules_of(chosen))
        return [check.name for check in result.checks if not check.passed]

    assert failed(automation=False) == ["automation"]
    assert failed(now=NOW + timedelta(hours=27)) == ["negative controls"]
    assert failed(now=NOW - timedelta(minutes=1)) == ["negative controls"]
    assert failed(max_changes=0) == ["budget"]
    automation_freezes.freeze(ready, reason="holiday", actor="zoe", now=NOW)
    assert failed() == ["automation"]
    assert run(ready).frozen == "holiday"
    with pytest.raises(NotPermitted, match="a person lifts it"):
        automation_freezes.unfreeze(ready, reason="go on", actor="meta-pipeline", now=NOW)
    automation_freezes.unfreeze(ready, reason="back", actor="zoe", now=NOW)
    with pytest.raises(NothingToDo):
        automation_freezes.unfreeze(ready, reason="back", actor="zoe", now=NOW)
    assert [one.outcome for one in run(ready).results] == ["applied"]


def test_every_bad_proposal_is_refused_by_the_check_it_is_meant_for_and_leaves_no_trace(ready: Database) -> None:
    before = contents(ready)
    done = run(ready)
    assert all(one.refused for one in done.controls), [one for one in done.controls if not one.refused]
    kinds = {one.kind for one in done.controls}
    assert {"grade_b", "harmful", "out_of_bounds", "step_too_large", "raises_risk", "tampered_body", "lapsed"} <= kinds
    said = {one.kind: one.detail for one in done.controls}
    assert "above its upper bound" in said["out_of_bounds"]
    assert "larger than the largest allowed step" in said["step_too_large"]
    after = contents(ready)
    assert {name for name in before if before[name] != after[name]} == {"audit_log"}


OWN = ("_grade", "_uplift", "_risk", "_by_the_machine", "_judged_later")
OF_THE_GATE = ("knob_allows", "risk_as_stated", "content", "undecided_in_time", "target")


def lenient(real: Callable[..., Check]) -> Callable[..., Check]:
    return lambda *arguments: replace(real(*arguments), passed=True)


def test_a_check_that_no_longer_works_freezes_automation_before_anything_is_applied(
    ready: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal_id = saved(ready, good())
    for hour, broken in enumerate((*OWN, *OF_THE_GATE)):
        at = NOW + timedelta(hours=hour)
        with monkeypatch.context() as patched:
            if broken in OWN:
                patched.setattr(automatic, broken, lenient(getattr(automatic, broken)))
            else:
                real = getattr(checks, broken)
                reviewed = tuple(lenient(one) if one is real else one for one in checks.REVIEW)
                patched.setattr(automatic, "REVIEW", reviewed)
            done = automation.run(ready, now=at, settings=ON)
        assert done.frozen is not None, broken
        assert "a deliberately bad proposal passed" in done.frozen
        assert done.results == ()
        automation_freezes.unfreeze(ready, reason=f"{broken} mended", actor="zoe", now=at)
    assert get(ready, proposal_id).status is Status.PENDING
    assert actions(ready).count("automation.freeze") == len((*OWN, *OF_THE_GATE))


def diagnosed(database: Database, now: datetime, **changes: Any) -> Diagnosis:
    with database.connect() as connection:
        found = {one.what: one for one in examine_loop(connection, settings(**changes), now)}
    return found["automation"]


def test_a_bad_proposal_that_passes_fails_the_run_is_an_alert_and_the_doctor_says_so(
    ready: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert diagnosed(ready, NOW).text == "switched off: people decide on every change"
    assert diagnosed(ready, NOW, automation=True).level == "WARN", "the controls never ran"
    resource = DatabaseResource(ready, settings=lambda: settings(automation=True, home=tmp_path), clock=lambda: NOW)
    with dg.DagsterInstance.ephemeral() as instance:
        job: Any = automatic_application
        done = job.execute_in_process(instance=instance, resources={"database": resource})
        assert done.success
        assert diagnosed(ready, NOW, automation=True).level == "OK"
        assert diagnosed(ready, NOW + timedelta(hours=27), automation=True).level == "WARN", "they are too old"
        monkeypatch.setattr(automatic, "_grade", lenient(automatic._grade))
        failed = job.execute_in_process(instance=instance, resources={"database": resource}, raise_on_error=False)
        assert not failed.success
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
            dagster_event=failed.get_run_failure_event(),
        ).for_run_failure()
        failed_runs(context, database=resource)
    (alert,) = [json.loads(line) for line in (tmp_path / ALERTS_FILE).read_text().splitlines()]
    assert (alert["kind"], alert["subject"]) == ("run_failure", "automatic_application")
    assert "automation is frozen: a deliberately bad proposal passed: grade_b" in alert["message"]
    for switched_on in (True, False):
        found = diagnosed(ready, NOW, automation=switched_on)
        assert (found.level, "frozen by meta-pipeline" in found.text) == ("FAIL", True)
        assert "automation unfreeze" in found.mend
    automation_freezes.unfreeze(ready, reason="the check is mended", actor="zoe", now=NOW)
    assert diagnosed(ready, NOW, automation=True).level == "WARN", "until a round is healthy again"
    automation_freezes.freeze(ready, reason="holiday", actor="zoe", now=NOW)
    assert diagnosed(ready, NOW).level == "WARN", "a person's freeze is no fault"


def test_a_blocked_knob_is_moved_by_nobody_and_four_eyes_take_two_people(ready: Database) -> None:
    tier(ready, "risk.max_vol", "four_eyes")
    record = approved(ready)
    for applier in ("Bob", "meta-pipeline"):
        (result,) = governance.apply_approved(ready, actor=applier, now=NOW, settings=ON)
        assert result.outcome == "refused"
        assert "takes two people" in result.message
    assert governance.apply(ready, record.proposal_id, actor="Cleo", now=NOW, settings=ON).outcome == "applied"
    tier(ready, "*", "blocked")
    blocked = decide(ready, propose(ready, "lookback", 30))
    assert (blocked.outcome, "is blocked" in blocked.message) == ("refused", True)


def test_a_tier_that_makes_no_sense_is_refused(ready: Database) -> None:
    for path, to, said in (
        ("*", "automatic", "whole strategy"),
        ("alpha", "automatic", "direction of risk"),
        ("lookback", "automatic", "max_step"),
        ("frozen", "automatic", "not changeable"),
        ("lookback", "reckless", "no tier"),
    ):
        with pytest.raises(InputError, match=said):
            tier(ready, path, to)
    with pytest.raises(NotFound, match="no declared knob"):
        tier(ready, "nowhere", "human")
    with pytest.raises(NotPermitted):
        tier(ready, "lookback", "human", actor="dagster")
    tier(ready, "risk.max_vol", "human")
    with pytest.raises(NothingToDo, match="no knob is automatic"):
        run(ready)
