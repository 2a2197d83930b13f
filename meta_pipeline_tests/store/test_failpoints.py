"""Failpoints: every named step is passed, in its order; none is armed without both settings; an armed one kills."""

import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from meta_pipeline import failpoints
from meta_pipeline.store import governance
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import NOW, SETTINGS, approved, contents, declare, prepare
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.processes import start_process


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


@pytest.mark.parametrize(
    ("failpoint", "armed"), [("apply.moved", False), (None, True), (None, False)], ids=["named", "armed", "neither"]
)
def test_one_setting_alone_arms_nothing(failpoint: str | None, armed: bool) -> None:
    failpoints.arm_by(SETTINGS.model_copy(update={"failpoint": failpoint, "failpoints_armed": armed}))
    for step in failpoints.STEPS:
        failpoints.reach(step)


def test_a_step_that_is_none_is_refused_for_its_test_would_test_nothing() -> None:
    with pytest.raises(ValueError, match=r"there is no failpoint 'apply\.nowhere'"):
        failpoints.arm_by(SETTINGS.model_copy(update={"failpoint": "apply.nowhere", "failpoints_armed": True}))


@pytest.mark.database
def test_every_step_is_passed_by_approving_applying_batching_and_reverting(database: Database) -> None:
    prepare(database)
    declare(database, "B")
    passed: list[str] = []
    failpoints.arm(passed.append)
    record = approved(database)
    for knob, to in (("lookback", 21), ("alpha", 0.5)):
        approved(database, knob, to, strategy_id="B", reason="one campaign")
    change_id = governance.apply(database, record.proposal_id, actor="dora", now=NOW, settings=SETTINGS).change_id
    assert change_id is not None
    governance.apply_approved(database, actor="dora", now=NOW + timedelta(minutes=1), settings=SETTINGS)
    governance.revert(database, change_id, actor="emil", reason="x", now=NOW, settings=SETTINGS)
    assert set(passed) == {step for step in failpoints.STEPS if not step.startswith("outcome.")}
    applying = [step for step in failpoints.STEPS if step.startswith("apply.")]
    first = passed.index("apply.locked")
    assert passed[first : first + len(applying)] == applying


def armed_apply(database: Database, proposal_id: str, step: str) -> None:
    failpoints.arm_by(SETTINGS.model_copy(update={"failpoint": step, "failpoints_armed": True}))
    governance.apply(database, proposal_id, actor="dora", now=NOW, settings=SETTINGS)


@pytest.mark.database
def test_a_process_dies_at_its_failpoint_and_leaves_nothing_half_done(database: Database) -> None:
    prepare(database)
    record = approved(database)
    before = contents(database)
    for step, done in (("apply.audited", False), ("apply.committed", True)):
        process = start_process(database, armed_apply, record.proposal_id, step)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert (contents(database) == before) is not done
        check_invariants(database)
    again = governance.apply(database, record.proposal_id, actor="emil", now=NOW, settings=SETTINGS)
    assert again.outcome == "already_applied"
