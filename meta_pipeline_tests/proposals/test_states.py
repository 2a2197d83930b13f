"""The states of a proposal: which transitions there are, and what is said about all others."""

from itertools import product

import pytest

from meta_pipeline.errors import Conflict, IllegalTransition, Lapsed, StaleBase
from meta_pipeline.proposals.states import OPEN, SOURCES, Status, require_transition

ALLOWED = {
    ("PENDING", "APPROVED"),
    ("APPROVED", "APPLIED"),
    ("APPLIED", "KEPT"),
    ("APPLIED", "REVERTED"),
    ("KEPT", "REVERTED"),
    *product(("PENDING", "APPROVED"), ("REJECTED", "EXPIRED", "STALE", "SUPERSEDED", "WITHDRAWN")),
}


@pytest.mark.parametrize(("present", "target"), list(product(Status, Status)))
def test_every_pair_of_states_is_either_a_transition_or_an_error_that_names_the_present_one(
    present: Status, target: Status
) -> None:
    if (present.value, target.value) in ALLOWED:
        require_transition("prop-1", present, target)
    else:
        with pytest.raises(Conflict, match=f"prop-1 is {present} .*cannot become {target}"):
            require_transition("prop-1", present, target, reason="so it was decided")


def test_the_reason_on_record_is_told() -> None:
    with pytest.raises(IllegalTransition, match="REJECTED \\(rejected by bob: too risky\\)"):
        require_transition("p", Status.REJECTED, Status.APPROVED, reason="rejected by bob: too risky")


def test_a_stale_and_a_lapsed_proposal_are_told_apart_by_type() -> None:
    with pytest.raises(StaleBase):
        require_transition("p", Status.STALE, Status.APPLIED)
    with pytest.raises(Lapsed):
        require_transition("p", Status.EXPIRED, Status.APPROVED)


def test_every_status_is_known_and_only_open_ones_can_lead_to_a_new_configuration() -> None:
    assert set(SOURCES) == set(Status)
    assert set(SOURCES[Status.APPLIED]) < set(OPEN)
