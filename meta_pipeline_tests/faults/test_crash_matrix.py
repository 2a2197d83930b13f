"""Every named step of every act, with the process killed there; other faults at the steps that matter most.

The whole matrix, every step and every fault, is run by `make test-faults`.
"""

import pytest

from meta_pipeline import failpoints
from meta_pipeline_tests.faults.acts import ACTS, Act
from meta_pipeline_tests.faults.injection import COMMIT, NeverReachedError, Site, inject, steps_of

pytestmark = pytest.mark.database


def act_of(step: str) -> Act:
    """Return the act that a step belongs to by its name. A step of a new act needs the act first."""
    return ACTS[step.partition(".")[0]]


@pytest.mark.parametrize("step", failpoints.STEPS)
def test_a_process_killed_at_a_step_leaves_all_or_nothing_and_the_retry_ends_in_one_change(
    site: Site, step: str
) -> None:
    inject(site, act_of(step), step, "process killed", name=f"killed {step}")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("reject", "approve.audited"),
        ("auto-revert", "revert.audited"),
        *(("batch's outcome", step) for step in failpoints.STEPS if step.startswith("outcome.")),
        ("batch's auto-revert", "revert.audited"),  # of the first of two changes
    ],
)
def test_acts_that_share_their_steps_with_others_are_killed_too(site: Site, name: str, step: str) -> None:
    inject(site, ACTS[name], step, "process killed", name=f"killed {name} {step}")


def test_a_step_that_is_never_reached_fails_its_test(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NeverReachedError, match=r"reject ended without passing revert\.locked"):
        inject(site, ACTS["reject"], "revert.locked", "process killed", name="never")
    monkeypatch.setattr(failpoints, "STEPS", (*failpoints.STEPS, "anneal.locked"))
    with pytest.raises(KeyError):
        act_of("anneal.locked")


def test_the_acts_pass_every_step_there_is_and_no_other(site: Site) -> None:
    passed = {step for act in ACTS.values() for step in steps_of(site.database, act, name=f"passes {act.name}")}
    assert passed == set(failpoints.STEPS)


@pytest.mark.parametrize("step", ["apply.moved", "batch.one_written", "batch.committed"])
def test_a_process_whose_connection_is_cut_says_what_is_on_record(site: Site, step: str) -> None:
    inject(site, act_of(step), step, "connection cut", name=f"cut {step}")


@pytest.mark.parametrize("step", ["approve.locked", "apply.audited", "revert.computed", "batch.committed"])
def test_while_one_stands_still_at_a_step_another_does_the_same_and_each_part_is_done_once(
    site: Site, step: str
) -> None:
    inject(site, act_of(step), step, "process frozen, a rival", name=f"frozen {step}")


@pytest.mark.parametrize(
    ("step", "fault"),
    [("apply.audited", "server restarted"), ("apply.moved", "server killed"), ("apply.committed", "server killed")],
)
def test_a_server_that_ends_in_the_middle_of_a_transaction_leaves_all_or_nothing(
    fragile_site: Site, step: str, fault: str
) -> None:
    inject(fragile_site, act_of(step), step, fault, name=f"{fault} {step}")


@pytest.mark.parametrize("name", ["apply", "batch", "approve", "revert"])
def test_who_never_hears_of_the_commit_does_not_claim_that_nothing_was_written(fragile_site: Site, name: str) -> None:
    inject(fragile_site, ACTS[name], COMMIT, "answer to COMMIT lost", name=f"unheard {name}")
