"""Past probabilities and claims, held against what came."""

from dataclasses import replace

import pytest

from meta_pipeline.evidence.expected_value.ledger import EMPTY, Ledger
from meta_pipeline.evidence.expected_value.reliability import reliability
from meta_pipeline_tests.evidence.expected_value.ledgers import NAN, outcomes


def test_brier_and_bins_are_those_of_what_was_said() -> None:
    first, second, third, dead = outcomes(0, 1)[:4]
    rows = [
        replace(first, probability=0.9, claimed=0.2, main=NAN, incumbent=0.1),
        replace(second, probability=0.85, claimed=0.4, incumbent=-0.1),
        replace(third, probability=0.3, claimed=-0.1, incumbent=0.0),
        replace(dead, probability=0.5, claimed=0.1, incumbent=0.0, dead=True),
    ]
    found = reliability(Ledger.of(rows))
    assert found.n == 3
    assert found.brier == pytest.approx((0.1**2 + 0.85**2 + 0.2**2) / 3)
    assert found.claimed == pytest.approx(0.3)
    assert found.realised == pytest.approx(0.0)
    assert [(one.lower, one.n, one.said, one.came) for one in found.bins] == [
        (0.2, 1, 0.3, 0.5),
        (0.8, 2, pytest.approx(0.875), 0.5),
    ]


def test_nothing_said_is_nothing_to_hold() -> None:
    found = reliability(EMPTY)
    assert (found.n, found.brier, found.claimed, found.bins) == (0, None, None, ())
