from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from meta_pipeline import lab
from meta_pipeline.errors import InputError
from meta_pipeline.lab.backtest import backtest

every_strategy = pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
HELD_BACK = (date(2013, 1, 1), date(2018, 12, 31))


@every_strategy
def test_a_replay_of_the_campaigns_days_is_the_campaigns_run(strategy: lab.LabStrategy) -> None:
    run = lab.campaign(strategy, n_configs=20, seed=1, markets=["SP500"])[7]
    assert run.start_date is not None
    assert run.end_date is not None
    assert run.dates is not None
    assert run.returns is not None
    dates, returns = lab.replay(strategy.strategy_id, run.config, "SP500", run.start_date, run.end_date)
    assert np.array_equal(dates, run.dates)
    assert returns.tobytes() == run.returns.tobytes()


@every_strategy
def test_adjoining_windows_are_the_days_of_the_one_that_spans_them(strategy: lab.LabStrategy) -> None:
    def returns(start: date, end: date) -> bytes:
        return lab.replay(strategy.strategy_id, strategy.live_config, "WTI", start, end)[1].tobytes()

    middle = date(2015, 6, 30)
    assert returns(*HELD_BACK) == returns(HELD_BACK[0], middle) + returns(middle + timedelta(days=1), HELD_BACK[1])


def test_the_held_back_years_can_be_replayed_in_every_market() -> None:
    live = lab.strategy_named("LAB_TREND").live_config
    for market in lab.markets():
        dates, returns = lab.replay("LAB_TREND", live, market.market_id, *HELD_BACK)
        assert len(dates) == len(returns) >= 1500
        assert dates[0] > np.datetime64(lab.CAMPAIGN_END)
        assert np.isfinite(returns).all()


def test_many_replays_at_once_are_the_single_ones() -> None:
    strategy = lab.strategy_named("LAB_BREAKOUT")
    configs = [strategy.live_config, {**strategy.live_config, "stop_distance": 6.0}]
    dates, returns = lab.replay_many("LAB_BREAKOUT", configs, "NASDAQ", *HELD_BACK)
    for column, config in enumerate(configs):
        single = lab.replay("LAB_BREAKOUT", config, "NASDAQ", *HELD_BACK)
        assert np.array_equal(single[0], dates)
        assert single[1].tobytes() == returns[:, column].tobytes()


@every_strategy
@pytest.mark.parametrize("market_id", ["SP500", "WTI"])
def test_trades_explain_the_replay_to_the_last_cent(strategy: lab.LabStrategy, market_id: str) -> None:
    """Holding the listed trades through the listed closes earns the returns before costs, compounded."""
    capital = 250_000.0
    listed = lab.trades(strategy.strategy_id, strategy.live_config, market_id, *HELD_BACK, capital=capital)
    prices = lab.load_prices(market_id).until(HELD_BACK[1])
    market = lab.market_named(market_id)
    free = backtest(strategy, [strategy.live_config], market, prices, cost=0.0)
    inside = free.dates >= np.datetime64(HELD_BACK[0])
    units, profit = 0.0, 0.0
    for trade, following in zip(listed, [*listed[1:], None], strict=True):
        units += trade.size if trade.direction == "BUY" else -trade.size
        until = prices.closes[-1] if following is None else following.price
        profit += units * (until - trade.price)
    growth = float(np.prod(1 + free.returns[inside, 0]))
    assert capital + profit == pytest.approx(capital * growth, rel=1e-9)
    assert len(listed) > 10


def test_trades_are_dated_and_priced_at_real_closes() -> None:
    live = lab.strategy_named("LAB_REVERSION").live_config
    prices = lab.load_prices("SP500")
    closes = dict(zip(prices.dates.tolist(), prices.closes.tolist(), strict=True))
    listed = lab.trades("LAB_REVERSION", live, "SP500", *HELD_BACK)
    assert listed == sorted(listed, key=lambda trade: trade.trade_date)
    for trade in listed:
        assert closes[trade.trade_date] == trade.price
        assert trade.direction in {"BUY", "SELL"}
        assert trade.size > 0
        assert trade.ticker == "SP500"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy_id": "NOPE"}, "strategy 'NOPE' is not in the lab"),
        ({"market": "GOLD"}, "market 'GOLD' is not in the lab"),
        ({"config": {}}, "LAB_TREND: fast_days must be present"),
        ({"start": date(2019, 1, 1)}, "ends on 2018-12-31, before it starts on 2019-01-01"),
        ({"start": date(1999, 2, 1)}, "can be simulated from 2000-03-13 on"),
        ({"end": date(2020, 1, 1)}, "prices end on 2018-12-31"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_with_the_way_out(arguments: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "strategy_id": "LAB_TREND",
        "config": lab.strategy_named("LAB_TREND").live_config,
        "market": "SP500",
        "start": HELD_BACK[0],
        "end": HELD_BACK[1],
    }
    for function in (lab.replay, lab.trades):
        with pytest.raises(InputError, match=message):
            function(**{**usual, **arguments})


@pytest.mark.parametrize("capital", [0.0, -1.0, float("nan")])
def test_capital_must_be_positive(capital: float) -> None:
    live = lab.strategy_named("LAB_TREND").live_config
    with pytest.raises(InputError, match="it must be positive"):
        lab.trades("LAB_TREND", live, "SP500", *HELD_BACK, capital=capital)
