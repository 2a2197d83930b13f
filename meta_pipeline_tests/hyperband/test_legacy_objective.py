"""The predecessor's figures, as its own formulas give them; by hand, not by our code."""

import numpy as np
import pytest

from meta_pipeline.hyperband.legacy_objective import (
    FAILED,
    LegacyRow,
    composite,
    legacy_better,
    legacy_score,
    volatility_penalty,
)

FLAWLESS = {
    "sharpe_ratio": 3.0,
    "profit_factor": 3.0,
    "max_drawdown": 0.0,
    "alpha_persistence": 1.0,
    "trade_efficiency": 1.0,
    "volatility_penalty": 0.0,
}


def rows(*profits: float) -> list[LegacyRow]:
    return [
        row
        for pnl in profits
        for row in (LegacyRow(action="BUY", value=1.0), LegacyRow(action="SELL", value=1.0, pnl=pnl))
    ]


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({}, 0.65),
        ({"max_drawdown": -0.30}, 0.85),
        ({"max_drawdown": -0.90}, 0.85),
        ({"volatility_penalty": -2.0}, 0.75),
        ({"max_drawdown": -0.30, "volatility_penalty": -2.0}, 0.95),
        ({"sharpe_ratio": 0.0, "profit_factor": 1.0, "alpha_persistence": 0.0, "trade_efficiency": 0.0}, -0.2),
    ],
)
def test_the_composite_has_its_golden_numbers(change: dict[str, float], score: float) -> None:
    assert composite({**FLAWLESS, **change}) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("volatility", "penalty"), [(0.1, 0.0), (0.2, 0.0), (0.3, -0.648721), (0.4197, -1.9996), (0.42, -2.0), (3.0, -2.0)]
)
def test_the_volatility_penalty_has_its_golden_numbers(volatility: float, penalty: float) -> None:
    assert volatility_penalty(volatility) == pytest.approx(penalty, abs=1e-3)


def test_nothing_scores_minus_999() -> None:
    for trades, equity in (([], [1.0]), (rows(1.0), [])):
        found = legacy_score(trades, equity)
        assert (found.composite, found.viable) == (FAILED, False)


def test_its_metrics_are_its_formulas() -> None:
    equity = 100_000 * np.cumprod(1 + 0.01 * np.random.default_rng(0).standard_normal(300) + 0.001)
    found = legacy_score(rows(10.0, -5.0, 20.0), equity.tolist()).metrics
    changes = np.diff(equity) / equity[:-1]
    assert found["sharpe_ratio"] == pytest.approx(changes.mean() / changes.std(ddof=1) * np.sqrt(252))
    assert found["profit_factor"] == 6.0
    peak = np.maximum.accumulate(equity)
    assert found["max_drawdown"] == pytest.approx(((equity - peak) / peak).min())
    rolling = equity[28:] / equity[:-28] - 1
    assert found["alpha_persistence"] == pytest.approx(0.7 * (rolling > 0).mean() + 0.3 / (1 + rolling.std(ddof=1)))
    assert found["trade_efficiency"] == pytest.approx(0.7 * 2 / 6 + 0.3 / (1 + 44 / 50))
    losses = changes[changes < 0]
    assert found["sortino_ratio"] == pytest.approx(changes.mean() * 252 / (losses.std(ddof=1) * np.sqrt(252)))
    depth = -found["max_drawdown"]
    assert found["calmar_ratio"] == pytest.approx(((equity[-1] / equity[0]) ** (252 / 300) - 1) / depth)
    assert found["recovery_factor"] == pytest.approx((equity[-1] / equity[0] - 1) / depth)
    assert found["trade_consistency"] == pytest.approx(1 / (1 + np.std([0, 10, 0, -5, 0, 20], ddof=1)))


@pytest.mark.parametrize(
    ("trades", "factor"),
    [
        (rows(1.0, 2.0), 10.0),
        (rows(0.0), 1.0),
        ([LegacyRow(action="BUY", value=50.0, pnl=None), LegacyRow(action="SELL", value=60.0, pnl=None)], 1.2),
    ],
)
def test_its_profit_factor_has_its_special_cases(trades: list[LegacyRow], factor: float) -> None:
    assert legacy_score(trades, [1.0, 1.1, 1.2]).metrics["profit_factor"] == pytest.approx(factor)


def test_it_refuses_in_its_order_and_names_the_first() -> None:
    rising = np.linspace(100, 200, 200) + 5 * np.sin(np.arange(200))
    assert legacy_score(rows(*[1.0] * 5), rising.tolist()).viable
    assert legacy_score(rows(1.0), rising.tolist()).reason == "Too few trades: 2 < 10"
    assert legacy_score(rows(*[1.0] * 5), rising[::-1].tolist()).reason.startswith("Sharpe ratio too low")
    assert legacy_score(rows(*[1.0, -1.0] * 5), rising.tolist()).reason == "Profit factor too low: 1.00 < 1.1"
    deep = [100.0, 60.0, *np.linspace(70, 400, 100)]
    assert legacy_score(rows(*[1.0] * 5), deep).reason.startswith("Drawdown too deep: -0.40")


@pytest.mark.parametrize(("a", "b", "better"), [(0.10, 0.149, False), (0.90, 0.951, True), (0.5, 0.509, False)])
def test_it_compares_by_an_absolute_distance(a: float, b: float, better: bool) -> None:
    assert legacy_better(a, b) is better
