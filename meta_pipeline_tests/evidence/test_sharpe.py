import math
from statistics import NormalDist

import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.sharpe import (
    deflated_sharpe_ratio,
    expected_maximum_sharpe_ratio,
    minimum_backtest_length,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)


def test_the_probabilistic_sharpe_ratio_of_the_paper() -> None:
    sharpe = 1.585 / math.sqrt(12)
    found = probabilistic_sharpe_ratio(sharpe, 24, skewness=-2.448, kurtosis=10.164)
    assert found == pytest.approx(0.9132343, abs=5e-8)
    assert probabilistic_sharpe_ratio(sharpe, 24) == pytest.approx(0.9815912, abs=5e-8)


def test_the_convention_of_2025_takes_the_variance_at_the_null() -> None:
    found = probabilistic_sharpe_ratio(0.036 / 0.079, 24, skewness=-2.448, kurtosis=10.164, variance_at="null")
    assert found == pytest.approx(0.987, abs=5e-4)


def test_the_deflated_sharpe_ratio_of_the_paper() -> None:
    found = deflated_sharpe_ratio(
        2.5 / math.sqrt(250), 1250, n_trials=100, variance_of_trials=0.5 / 250, skewness=-3, kurtosis=10
    )
    assert found == pytest.approx(0.9003968, abs=5e-8)
    assert expected_maximum_sharpe_ratio(100, 0.5 / 250) == pytest.approx(0.113172, abs=5e-7)


def test_a_deflated_sharpe_ratio_by_the_convention_of_2025_takes_the_variance_at_what_luck_gives() -> None:
    sharpe, luck = 2.5 / math.sqrt(250), expected_maximum_sharpe_ratio(100, 0.5 / 250)
    found = deflated_sharpe_ratio(
        sharpe, 1250, n_trials=100, variance_of_trials=0.5 / 250, skewness=-3, kurtosis=10, variance_at="null"
    )
    scale = math.sqrt(1 + 3 * luck + 9 / 4 * luck**2)
    assert found == pytest.approx(NormalDist().cdf((sharpe - luck) * math.sqrt(1250) / scale))
    assert found > 0.91  # and 0.9003968 at the estimate


def test_the_expected_maximum_of_many_trials() -> None:
    assert expected_maximum_sharpe_ratio(10) == pytest.approx(1.574598, abs=5e-7)
    assert expected_maximum_sharpe_ratio(100) == pytest.approx(2.530603, abs=5e-7)
    assert expected_maximum_sharpe_ratio(1, 4.0, mean=0.3) == 0.3


def test_the_track_record_that_is_needed() -> None:
    days = minimum_track_record_length(2 / math.sqrt(250), benchmark=1 / math.sqrt(250))
    assert days / 250 == pytest.approx(2.731188, abs=5e-7)
    months = minimum_track_record_length(0.036 / 0.079, skewness=-2.448, kurtosis=10.164, variance_at="null")
    assert months == pytest.approx(13.029, abs=5e-4)
    assert minimum_track_record_length(0.1, benchmark=0.1) == math.inf


def test_the_minimum_backtest_length_of_the_paper() -> None:
    assert minimum_backtest_length(45, 1.0) == pytest.approx(4.998087, abs=5e-7)


def test_a_minimum_track_record_reaches_exactly_its_confidence() -> None:
    n = minimum_track_record_length(0.12, skewness=-0.5, kurtosis=5, confidence=0.9)
    assert probabilistic_sharpe_ratio(0.12, n, skewness=-0.5, kurtosis=5) == pytest.approx(0.9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probabilistic_sharpe_ratio(0.1, 1), "at least 2 returns"),
        (lambda: probabilistic_sharpe_ratio(0.1, 10, kurtosis=0.0), "give raw kurtosis"),
        (lambda: probabilistic_sharpe_ratio(0.1, 10, variance_at="both"), "variance_at is 'both'"),  # type: ignore[arg-type]
        (lambda: expected_maximum_sharpe_ratio(0), "n_trials is 0"),
        (lambda: expected_maximum_sharpe_ratio(5, -1.0), "cannot be negative"),
        (lambda: minimum_track_record_length(0.1, confidence=1.0), "confidence is 1.0"),
        (lambda: minimum_backtest_length(10, 0.0), "must be positive"),
    ],
)
def test_impossible_inputs_are_refused(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()  # type: ignore[operator]
