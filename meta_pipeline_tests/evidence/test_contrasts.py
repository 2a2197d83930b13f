import numpy as np
import pytest
from scipy.signal import lfilter

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import contrast, ledoit_wolf, sharpe_influence
from meta_pipeline.evidence.longrun import Kernel
from meta_pipeline.evidence.metrics import summarize


def pair(n_days: int, correlation: float, seed: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(5, n_days)
    own = rng.standard_t(5, (n_days, 2))
    mixed = np.sqrt(correlation) * shared[:, None] + np.sqrt(1 - correlation) * own
    mixed *= 0.01 / np.sqrt(5 / 3)
    return mixed[:, 0] + gain * 0.01 / np.sqrt(252), mixed[:, 1]


def test_the_influence_of_a_sharpe_ratio_is_the_papers_formula() -> None:
    a, _ = pair(200, 0.5, 0)
    z = (a - a.mean()) / a.std()
    sharpe = a.mean() / a.std()
    found = sharpe_influence(a, 252)[:, 0]
    # The estimate has ddof 1, the influence population moments: a relative difference of 1 / 2T.
    assert found == pytest.approx(np.sqrt(252) * (z - sharpe / 2 * (z**2 - 1)) / 200, rel=1e-9)


def test_ledoit_and_wolfs_error_is_the_delta_methods() -> None:
    a, b = pair(2000, 0.6, 1)
    moments = np.column_stack([a, b, a**2, b**2])
    centred = moments - moments.mean(axis=0)
    mean_a, mean_b, square_a, square_b = moments.mean(axis=0)
    gradient = np.array(
        [
            square_a / (square_a - mean_a**2) ** 1.5,
            -square_b / (square_b - mean_b**2) ** 1.5,
            -0.5 * mean_a / (square_a - mean_a**2) ** 1.5,
            0.5 * mean_b / (square_b - mean_b**2) ** 1.5,
        ]
    )
    expected = np.sqrt(gradient @ (centred.T @ centred / 2000) @ gradient / 2000)
    found = ledoit_wolf(a, b)
    assert found.estimate == pytest.approx(a.mean() / a.std(ddof=1) - b.mean() / b.std(ddof=1))
    assert found.standard_error == pytest.approx(expected, rel=0.02)  # or a little more, for memory


def test_a_series_against_itself_has_no_difference() -> None:
    a, _ = pair(300, 0.5, 2)
    found = ledoit_wolf(a, a.copy())
    assert found.estimate == 0.0
    assert found.p_value == 1.0
    assert found.p_value_two_sided == 1.0


def test_leverage_does_not_move_the_sharpe_ratio() -> None:
    a, _ = pair(300, 0.5, 3)
    assert ledoit_wolf(2.5 * a, a).p_value == 1.0


def test_swapping_the_series_turns_the_sign() -> None:
    a, b = pair(500, 0.7, 4, gain=1.0)
    one, two = ledoit_wolf(a, b, 252), ledoit_wolf(b, a, 252)
    assert one.estimate == -two.estimate
    assert one.standard_error == two.standard_error
    assert (one.lower, one.upper) == (-two.upper, -two.lower)


@pytest.mark.parametrize("prewhiten", [False, True])
@pytest.mark.parametrize("kernel", ["bartlett", "quadratic_spectral"])
def test_days_that_follow_each_other_tell_less_than_days_that_do_not(kernel: Kernel, prewhiten: bool) -> None:
    rng = np.random.default_rng(12)
    shocks = rng.normal(0, 0.01, (4000, 2))
    with_memory = lfilter([1.0], [1.0, -0.5], shocks, axis=0)
    order = rng.permutation(4000)
    remembered, forgotten = (
        ledoit_wolf(*series.T, n_draws=9, kernel=kernel, prewhiten=prewhiten).standard_error
        for series in (with_memory, with_memory[order])
    )
    # The mean of an autoregression varies by (1 + r) / (1 - r) more than that of independent days: here threefold.
    assert remembered / forgotten == pytest.approx(np.sqrt(3), rel=0.15)


def test_common_days_make_a_difference_surer() -> None:
    close, far = (ledoit_wolf(*pair(1000, c, 5), 252).standard_error for c in (0.95, 0.0))
    assert close < 0.35 * far


def test_ten_copies_of_the_same_days_are_no_more_evidence_than_one() -> None:
    a, b = pair(600, 0.5, 6, gain=1.0)
    once = contrast(np.column_stack([a, b]), [1, -1], 252)
    tenfold = contrast(np.column_stack([a] * 10 + [b] * 10), [0.1] * 10 + [-0.1] * 10, 252)
    assert tenfold.estimate == pytest.approx(once.estimate)
    assert tenfold.standard_error == pytest.approx(once.standard_error)
    assert tenfold.p_value == once.p_value


def test_short_runs_have_wide_errors() -> None:
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((2520, 2)) * 0.01
    returns[60:, 1] = np.nan
    found = contrast(returns, [-1, 1], 252)
    assert found.standard_error == pytest.approx(np.sqrt(252 / 60 + 252 / 2520), rel=0.15)


def test_markets_are_aligned_by_calendar_day_not_by_row() -> None:
    rng = np.random.default_rng(1)
    shock = rng.standard_normal(500) * 0.01
    days = np.arange("2020-01-01", "2021-05-15", dtype="datetime64[D]")[:500]
    opening = days.astype("datetime64[s]")
    closing = opening + np.timedelta64(8, "h")
    dates = np.sort(np.concatenate([opening, closing]))
    returns = np.full((1000, 2), np.nan)
    returns[0::2, 0] = shock
    returns[1::2, 1] = shock + rng.standard_normal(500) * 0.001
    aligned = contrast(returns, [1, -1], 252, dates=dates)
    by_row = contrast(returns, [1, -1], 252)
    assert aligned.standard_error < 0.2 * by_row.standard_error


@pytest.mark.parametrize("metric", ["mean_return", "volatility", "max_drawdown", "expected_shortfall"])
def test_other_metrics_are_compared_by_the_same_machinery(metric: str) -> None:
    a, b = pair(1500, 0.3, 7)
    returns = np.column_stack([2 * a, b])
    found = contrast(returns, [1, -1], 252, metric=metric)
    values = getattr(summarize(returns, 252), metric)
    assert found.estimate == pytest.approx(values[0] - values[1])
    assert 0 < found.standard_error < 1
    if metric == "volatility":
        assert found.p_value < 0.01


@pytest.mark.parametrize("metric", ["volatility", "expected_shortfall"])
def test_the_error_of_risk_metrics_is_their_spread_over_samples(metric: str) -> None:
    rng = np.random.default_rng(8)
    estimates, errors = [], []
    for _ in range(60):
        returns = rng.standard_normal((500, 2)) * 0.01
        found = contrast(returns, [1, -1], 252, metric=metric, n_draws=99, block_length=1)
        estimates.append(found.estimate)
        errors.append(found.standard_error)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(estimates)), rel=0.25)


def test_a_two_sided_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(150):
        a, b = pair(250, 0.5, 100 + seed)
        found = ledoit_wolf(a, b, 252, n_draws=199, seed=seed)
        inside += found.lower <= 0 <= found.upper
    assert 0.84 <= inside / 150 <= 0.98  # nominal 0.90, Monte Carlo error 0.025


def test_bad_comparisons_are_refused() -> None:
    a, b = pair(100, 0.5, 0)
    with pytest.raises(InputError, match="two of the same days"):
        ledoit_wolf(a, b[:-1])
    with pytest.raises(InputError, match="one weight for each of 2 runs"):
        contrast(np.column_stack([a, b]), [1.0], 252)
    with pytest.raises(InputError, match="no sharpe_ratio"):
        contrast(np.column_stack([a, np.full(100, 0.1)]), [1, -1], 252)
    with pytest.raises(InputError, match="it is one of"):
        ledoit_wolf(a, b, kernel="parzen")  # type: ignore[arg-type]
