import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.hyperband.performance import NAMES, Figure, buy_and_hold, performance, values

GENERATOR = np.random.default_rng(5)
RETURNS = 0.01 * GENERATOR.standard_t(5, 2000) + 0.0004
PROFITS = 0.02 * GENERATOR.standard_normal(120) + 0.002
SIZES = GENERATOR.uniform(0.3, 0.9, 120)
FOUND = performance(RETURNS, PROFITS, SIZES, periods_per_year=252.0)


def test_figures_agree_with_those_of_the_evidence_room() -> None:
    own = summarize(RETURNS, 252.0).of_run(0)
    for ours, theirs in {
        "sharpe_ratio": "sharpe_ratio",
        "volatility": "volatility",
        "max_drawdown": "max_drawdown",
        "annual_return": "annual_return",
        "expected_shortfall": "expected_shortfall",
    }.items():
        assert FOUND[ours].value == pytest.approx(own[theirs], rel=1e-12)


def test_figures_are_what_their_definitions_say() -> None:
    gained, lost = PROFITS[PROFITS > 0].sum(), -PROFITS[PROFITS < 0].sum()
    assert FOUND["profit_factor"].value == pytest.approx(gained / lost)
    assert FOUND["win_rate"].value == np.mean(PROFITS > 0)
    downside = math.sqrt(np.mean(np.minimum(RETURNS, 0) ** 2))
    assert FOUND["sortino_ratio"].value == pytest.approx(RETURNS.mean() / downside * math.sqrt(252))
    assert FOUND["kelly_fraction"].value == pytest.approx(RETURNS.mean() / RETURNS.var(ddof=1))
    depth = -FOUND["max_drawdown"].value
    assert FOUND["calmar_ratio"].value == pytest.approx(FOUND["annual_return"].value / depth)
    assert FOUND["recovery_factor"].value == pytest.approx((np.prod(1 + RETURNS) - 1) / depth)
    years = 2000 / 252
    assert FOUND["turnover"].value == pytest.approx(2 * SIZES.sum() / years)
    pace = 1 / (1 + abs(120 / years - 50) / 50)
    assert FOUND["trade_efficiency"].value == pytest.approx(0.7 * np.mean(PROFITS > 0) + 0.3 * pace)


SIMULATED = ("sharpe_ratio", "volatility", "sortino_ratio", "kelly_fraction", "expected_shortfall", "profit_factor")


def test_standard_errors_are_the_scatter_over_samples() -> None:
    generator = np.random.default_rng(8)
    samples = [
        performance(
            0.01 * generator.standard_normal(600) + 0.0008,
            0.02 * generator.standard_normal(150) + 0.003,
            np.ones(150),
            periods_per_year=252.0,
            errors=False,
        )
        for _ in range(300)
    ]
    for name in (*SIMULATED, "win_rate"):
        scatter = np.std([sample[name].value for sample in samples], ddof=1)
        stated = np.mean([sample[name].standard_error for sample in samples])
        assert stated == pytest.approx(scatter, rel=0.15), name


def test_errors_of_the_path_have_the_size_of_the_scatter() -> None:
    generator = np.random.default_rng(9)
    samples = [
        performance(0.01 * generator.standard_normal(400) + 0.001, [0.1], [1.0], periods_per_year=252.0)
        for _ in range(60)
    ]
    for name in ("max_drawdown", "annual_return"):
        scatter = np.std([sample[name].value for sample in samples], ddof=1)
        stated = np.mean([sample[name].standard_error for sample in samples])
        assert 0.6 * scatter < stated < 1.6 * scatter, name


@settings(max_examples=60, deadline=None)
@given(
    returns=st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=80),
    profits=st.lists(st.floats(-1.0, 1.0), max_size=12),
)
@example(returns=[0.1], profits=[1.0, -2.2e-313])
def test_every_figure_has_an_error_or_says_why_not(returns: list[float], profits: list[float]) -> None:
    found = performance(returns, profits, [0.5] * len(profits), periods_per_year=2190.0)
    assert tuple(found) == NAMES
    for figure in found.values():
        assert figure.reason or (math.isfinite(figure.value) and figure.standard_error >= 0)
    assert all(value is None or math.isfinite(value) for value in values(found).values())
    assert -1.0 <= found["max_drawdown"].value <= 0.0
    for name in ("alpha_persistence", "trade_efficiency"):
        assert math.isnan(found[name].value) or 0.0 <= found[name].value <= 1.0


@pytest.mark.parametrize(
    ("returns", "profits", "name", "reason"),
    [
        ([0.0] * 50, [], "sharpe_ratio", "zero volatility"),
        ([0.0] * 50, [], "profit_factor", "no round trip"),
        ([0.01, 0.02] * 30, [0.1], "profit_factor", "no losing round trip"),
        ([0.01, 0.02] * 30, [0.1], "sortino_ratio", "no bar lost"),
        ([0.01, 0.02] * 30, [0.1], "calmar_ratio", "no drawdown"),
        ([0.01] * 9, [0.1], "expected_shortfall", "the tail holds 1 returns"),
        ([0.0] * 500, [], "alpha_persistence", "never invested"),
        ([0.01, -0.01] * 10, [0.1], "alpha_persistence", "20 bars; two windows of 19 are needed"),
    ],
)
def test_what_does_not_exist_says_why(returns: list[float], profits: list[float], name: str, reason: str) -> None:
    found = performance(returns, profits, [1.0] * len(profits), periods_per_year=252.0)
    assert not math.isfinite(found[name].value)
    assert found[name].reason.startswith(reason)


def test_persistence_is_against_the_market_not_with_it() -> None:
    market = 0.01 * np.random.default_rng(1).standard_normal(1000) + 0.002
    rides = performance(2 * market, [0.1], [1.0], periods_per_year=252.0, benchmark=market)
    skill = performance(2 * market + 0.001, [0.1], [1.0], periods_per_year=252.0, benchmark=market)
    assert rides["alpha_persistence"].value < 0.8  # what is left of it is rounding
    assert skill["alpha_persistence"].value == pytest.approx(1.0)


def test_annual_figures_follow_the_bars_a_year() -> None:
    hourly = performance(RETURNS, PROFITS, SIZES, periods_per_year=8760.0)
    assert hourly["sharpe_ratio"].value == pytest.approx(FOUND["sharpe_ratio"].value * math.sqrt(8760 / 252))


def test_buy_and_hold_starts_with_nothing() -> None:
    assert buy_and_hold([100.0, 110.0, 99.0]).tolist() == pytest.approx([0.0, 0.1, -0.1])


def test_figures_that_hide_something_are_refused() -> None:
    with pytest.raises(InputError, match="a figure of nan \\+- nan needs a reason"):
        Figure(value=math.nan)
    with pytest.raises(InputError, match="at least one finite return"):
        performance([0.1, math.nan], [], [], periods_per_year=252.0)
    with pytest.raises(InputError, match="periods_per_year is 0"):
        performance([0.1], [], [], periods_per_year=0)
