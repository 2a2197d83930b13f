import pytest

from meta_pipeline.proposals.legacy import legacy_confidence


def test_the_predecessors_score_to_the_last_bit() -> None:
    assert legacy_confidence(4, 0.1, 0.7) == 0.30000000000000004
    assert legacy_confidence(0, -1.0, 2.0) == 0.2


@pytest.mark.parametrize(
    ("n_runs", "delta", "expected"), [(20, 0.25, 0.74), (40, 0.2, 0.70), (20, 0.5, 0.94), (1000, 3.0, 0.94)]
)
def test_the_predecessors_score_at_its_consistency(n_runs: int, delta: float, expected: float) -> None:
    assert legacy_confidence(n_runs, delta, 0.7) == pytest.approx(expected, abs=1e-15)


def test_its_constant_consistency_is_the_default() -> None:
    assert legacy_confidence(20, 0.25) == legacy_confidence(20, 0.25, 0.7)
