import hashlib
import importlib
from collections import defaultdict
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest

from meta_pipeline import lab
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.errors import InputError
from meta_pipeline.lab.metrics import reported_metrics

TREND = lab.strategy_named("LAB_TREND")


def fingerprint(runs: list[BacktestRun]) -> str:
    text = hashlib.sha256()
    for run in runs:
        assert run.dates is not None
        assert run.returns is not None
        text.update(repr((run.campaign_id, run.market_id, run.config, run.metrics)).encode())
        text.update(run.dates.tobytes() + run.returns.tobytes())
    return text.hexdigest()


@pytest.fixture(scope="module")
def runs() -> list[BacktestRun]:
    return lab.campaign(TREND, n_configs=40, seed=20261120)


def test_a_campaign_runs_the_same_configs_in_every_market(runs: list[BacktestRun]) -> None:
    by_market = defaultdict(list)
    for run in runs:
        by_market[run.market_id].append(run.config)
    assert list(by_market) == ["SP500", "NASDAQ", "WTI"]
    assert by_market["SP500"] == by_market["NASDAQ"] == by_market["WTI"]
    assert len(runs) == 3 * 40
    assert by_market["SP500"][0] == TREND.live_config


def test_a_campaign_stops_at_the_split(runs: list[BacktestRun]) -> None:
    assert {run.end_date for run in runs} == {date(2012, 12, 31)}
    assert {(run.market_id, run.start_date) for run in runs} == {
        ("SP500", date(2000, 3, 13)),
        ("NASDAQ", date(2000, 3, 13)),
        ("WTI", date(1987, 3, 13)),
    }


def test_runs_of_one_market_share_one_calendar_that_nobody_can_change(runs: list[BacktestRun]) -> None:
    assert len({id(run.dates) for run in runs}) == 3
    assert all(run.dates is not None and not run.dates.flags.writeable for run in runs)


def test_every_run_is_whole_and_finite(runs: list[BacktestRun]) -> None:
    for run in runs:
        assert run.dates is not None
        assert run.returns is not None
        assert run.dates.shape == run.returns.shape
        assert run.returns.flags.c_contiguous
        assert np.isfinite(run.returns).all()
        assert run.returns.std() > 0
        assert len(run.campaign_id) <= 64


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(runs: list[BacktestRun]) -> None:
    again = lab.campaign(TREND, n_configs=40, seed=20261120)
    other = lab.campaign(TREND, n_configs=40, seed=1)
    assert fingerprint(again) == fingerprint(runs) != fingerprint(other)
    assert {run.campaign_id for run in runs}.isdisjoint(run.campaign_id for run in other)


def test_a_changed_live_configuration_makes_another_campaign() -> None:
    moved = lab.with_live(TREND, {**TREND.live_config, "short_scale": 0.5})
    first, second = (lab.campaign(s, n_configs=20, seed=1, markets=["SP500"]) for s in (TREND, moved))
    assert first[0].campaign_id != second[0].campaign_id


def test_a_campaign_can_be_named() -> None:
    assert lab.campaign(TREND, n_configs=20, seed=1, campaign_id="mine", markets=["WTI"])[0].campaign_id == "mine"


def test_reported_metrics_agree_with_an_independent_library(runs: list[BacktestRun]) -> None:
    empyrical: Any = importlib.import_module("empyrical")  # untyped
    for run in runs[::13]:
        assert run.metrics["annualised_sharpe"] == pytest.approx(empyrical.sharpe_ratio(run.returns), rel=1e-9)
        assert run.metrics["annualised_vol"] == pytest.approx(empyrical.annual_volatility(run.returns), rel=1e-9)
        assert run.metrics["max_drawdown"] == pytest.approx(empyrical.max_drawdown(run.returns), rel=1e-9)
        assert run.metrics["cumulative_return"] == pytest.approx(empyrical.cum_returns_final(run.returns), rel=1e-9)


def test_a_loss_on_the_first_day_counts_as_drawdown() -> None:
    assert reported_metrics(np.array([[-0.1], [0.05]]), 252)[0]["max_drawdown"] == pytest.approx(-0.1)


def test_after_ruin_compounding_stops() -> None:
    metrics = reported_metrics(np.array([[0.1], [-1.2], [-1.5], [9.0]]), 252)[0]
    assert metrics["cumulative_return"] == -1.0
    assert metrics["max_drawdown"] == -1.0


def test_a_metric_that_does_not_exist_is_none_and_not_zero() -> None:
    assert reported_metrics(np.zeros((10, 1)), 252)[0]["annualised_sharpe"] is None
    single = reported_metrics(np.array([[0.01]]), 252)[0]
    assert single["annualised_sharpe"] is None
    assert single["annualised_vol"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"markets": ["DAX"]}, "'DAX' is not in the lab"),
        ({"n_configs": 3}, "n_configs is 3; give at least 16"),
        ({"seed": -1}, "seed is -1; give a whole number that is not negative"),
        ({"start": date(1999, 1, 4)}, "SP500 can be simulated from 2000-03-13 on"),
        ({"end": date(2031, 1, 1)}, "SP500's prices end on 2018-12-31; end 2031-01-01 is too late"),
        ({"start": date(2010, 1, 1), "end": date(2009, 1, 1)}, "ends on 2009-01-01, before it starts on 2010-01-01"),
        ({"start": date(2010, 1, 2), "end": date(2010, 1, 3)}, "did not trade between 2010-01-02 and 2010-01-03"),
        ({"start": datetime(2010, 1, 2)}, "of type datetime; give a datetime.date"),  # noqa: DTZ001
        ({"start": "2010-01-02"}, "start is '2010-01-02' of type str; give a datetime.date"),
    ],
)
def test_bad_arguments_are_refused_with_the_value_and_the_way_out(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lab.campaign(TREND, **{"n_configs": 20, "seed": 1, **arguments})
