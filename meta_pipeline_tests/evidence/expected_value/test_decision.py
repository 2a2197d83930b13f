"""One change at a time: the largest claim that is worth the trouble."""

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.decision import choose

CLAIMS = np.asarray([0.02, 0.09, float("nan"), 0.30, 0.11])
KNOBS = np.asarray(["a", "b", "b", "c", "b"], dtype=np.object_)


def test_the_largest_claim_is_chosen_alone() -> None:
    assert choose(CLAIMS) == (3,)


def test_nothing_is_chosen_that_is_not_worth_the_switching_cost() -> None:
    assert choose(CLAIMS, switching_cost=0.31) == ()
    assert choose(CLAIMS, switching_cost=0.30) == (3,)
    assert choose(np.asarray([float("nan")])) == ()


def test_what_is_forbidden_leaves_the_next_one() -> None:
    assert choose(CLAIMS, allowed=np.asarray([True, True, True, False, True])) == (4,)


def test_several_at_once_are_asked_for_and_one_per_knob() -> None:
    assert choose(CLAIMS, knob=KNOBS, several=True) == (3, 4)
    with pytest.raises(InputError, match="pass knob"):
        choose(CLAIMS, several=True)
