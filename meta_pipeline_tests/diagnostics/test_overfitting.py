import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from meta_pipeline.diagnostics.configurations import configurations
from meta_pipeline.diagnostics.overfitting import Overfitting, Period, _ranks, overfitting, periods
from meta_pipeline.evidence.sharpe import deflated_sharpe_ratio
from meta_pipeline_tests.diagnostics.builders import KNOBS, LIVE, Run, panel, run, series


def judged(*runs: Run, n_trials: int = 10, days: int = 500) -> Overfitting:
    made = panel(runs, days=days)
    return overfitting(made, configurations(made, knobs=KNOBS, live=LIVE), n_trials=n_trials)


def sliced(*runs: Run, n_periods: int = 8) -> tuple[Period, ...]:
    made = panel(runs)
    return periods(made, configurations(made, knobs=KNOBS, live=LIVE), n_periods=n_periods)


def test_the_best_configuration_is_deflated_by_all_trials() -> None:
    sharpes = (0.2, 0.9, 1.6)
    found = judged(*(run(i, sharpe=value, seed=i) for i, value in enumerate(sharpes)), n_trials=50)
    best = series(1.6, seed=2)
    z = (best - best.mean()) / best.std()
    expected = deflated_sharpe_ratio(
        1.6 / math.sqrt(252),
        500,
        n_trials=50,
        variance_of_trials=float(np.var(np.array(sharpes) / math.sqrt(252), ddof=1)),
        skewness=float((z**3).mean()),
        kurtosis=float((z**4).mean()),
    )
    assert found.best is not None
    assert found.best.knobs["lookback"] == {"absent": False, "value": 2}
    assert found.sharpe == pytest.approx(1.6)
    assert found.deflated_sharpe == pytest.approx(expected)
    assert found.luck is not None
    assert found.luck > 0


def test_more_trials_make_the_same_result_less_convincing() -> None:
    runs = [run(i, sharpe=value, seed=i) for i, value in enumerate((0.2, 0.9, 1.6))]
    few, many = judged(*runs, n_trials=3), judged(*runs, n_trials=10_000)
    assert few.deflated_sharpe is not None
    assert many.deflated_sharpe is not None
    assert many.deflated_sharpe < few.deflated_sharpe


def test_on_pure_noise_the_best_of_many_is_not_convincing() -> None:
    noise = [Run(config={"lookback": i}, returns=np.random.default_rng(i).normal(0, 0.01, 500)) for i in range(60)]
    found = judged(*noise, n_trials=60)
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe < 0.95


def test_windows_of_one_configuration_are_one_trial_and_not_the_best_of_them_c02() -> None:
    windows = [
        run(20, sharpe=value, seed=i, days=60, start=60 * i, block=f"w{i}")
        for i, value in enumerate((3.0, 2.9, 2.8, -4.0, -4.0, -4.0, -4.0))
    ]
    found = judged(*windows, run(50, sharpe=1.5, seed=9))
    assert found.best is not None
    assert found.best.knobs["lookback"] == {"absent": False, "value": 50}


def test_runs_on_the_same_days_do_not_multiply_the_days() -> None:
    twin = [run(i, sharpe=1.0 + i, seed=5, market="SPX") for i in range(2)]
    more = [run(i, sharpe=1.0 + i, seed=5, market="NDX", volatility=0.1500001) for i in range(2)]
    alone, together = judged(*twin), judged(*twin, *more)
    assert alone.deflated_sharpe is not None
    assert together.deflated_sharpe == pytest.approx(alone.deflated_sharpe, abs=1e-6)


def test_the_winner_of_the_first_half_is_followed_into_the_second() -> None:
    first = {0: 3.0, 1: 1.0, 2: 0.0}
    second = {0: -1.0, 1: 1.0, 2: 2.0}
    halves = [
        Run(
            config={"lookback": i},
            returns=np.concatenate([series(first[i], seed=i, days=250), series(second[i], seed=10 + i, days=250)]),
        )
        for i in range(3)
    ]
    found = judged(*halves).split_half
    assert found.in_sample == pytest.approx(3.0)
    assert found.out_of_sample == pytest.approx(-1.0)
    assert (found.rank, found.n_configurations) == (3, 3)
    assert found.median_out_of_sample == pytest.approx(1.0)
    assert found.rank_correlation == pytest.approx(-1.0)
    assert found.split_at == "2010-12-20"


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([Run(config={"lookback": 1}, reported={"annualised_sharpe": 2.0})], "no run has a return series"),
        ([run(1), run(2, periods=365.0)], "runs of different frequency (252, 365 periods per year) are not compared"),
        ([run(1, days=10), run(2, days=10)], "no configuration has 20 days of returns that vary"),
        ([Run(config={"lookback": 1}, returns=np.zeros(100))], "no configuration has 20 days of returns that vary"),
    ],
)
def test_what_cannot_be_judged_is_null_with_the_reason(runs: list[Run], why: str) -> None:
    found = judged(*runs)
    assert found.best is None
    assert found.deflated_sharpe is None
    assert found.missing["deflated_sharpe"] == why
    assert found.split_half.missing


def test_one_configuration_alone_has_no_spread_of_trials() -> None:
    found = judged(run(1))
    assert found.sharpe == pytest.approx(1.0)
    assert found.deflated_sharpe is None
    assert found.missing["luck"].startswith("one configuration only")


def test_periods_cover_all_days_once_and_follow_the_live_configuration() -> None:
    found = sliced(run(20, sharpe=1.0, seed=1), run(50, sharpe=0.0, seed=2))
    assert len(found) == 8
    assert sum(period.n_days for period in found) == 500
    assert all(one.end < other.start for one, other in pairwise(found))
    live = series(1.0, seed=1)[: found[0].n_days]
    assert found[0].sharpe_live == pytest.approx(live.mean() / live.std(ddof=1) * math.sqrt(252))


def test_without_a_run_of_the_live_configuration_the_periods_say_so() -> None:
    period = sliced(run(50), run(60))[0]
    assert period.sharpe is not None
    assert period.sharpe_live is None
    assert period.missing["sharpe_live"] == "no run replays the live configuration"


def test_short_panels_have_fewer_periods_and_empty_ones_none() -> None:
    made = panel([run(20, days=50)], days=50)
    assert len(periods(made, configurations(made, knobs=KNOBS, live=LIVE))) == 2
    assert sliced(Run(config={"lookback": 1}, reported={"annualised_sharpe": 1.0})) == ()


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=12))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert _ranks(np.array(values)).tolist() == rankdata(values).tolist()
