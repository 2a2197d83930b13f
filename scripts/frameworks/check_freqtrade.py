"""Run `policy/freqtrade_adapter.py` inside freqtrade's own bot (dry run) and backtesting, and say what passes.

    python -m venv there && there/bin/pip install freqtrade
    there/bin/python scripts/frameworks/check_freqtrade.py

The exchange is freqtrade's own class for one, with a market and prices of our own in the place of what it would fetch;
nothing is sent anywhere. Exit code 1 if anything differs.
"""

import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from executor_kit import KEY, LIFE, SECRET, Checks, copied, document, halted
from freqtrade import __version__
from freqtrade.enums import CandleType, RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.exchange import Exchange
from freqtrade.freqtradebot import FreqtradeBot
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.persistence import Trade
from freqtrade.resolvers import StrategyResolver

PAIR = "BTC/USDT"
PRICE, WALLET, STAKE = 100.0, 10_000.0, 2_000.0
START = 1_767_000_000.0

STRATEGIES = '''
from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy

from freqtrade_adapter import PolicyMixin


class Mine(IStrategy):
    """Always wants in; what it wants of an open trade is set from outside."""

    INTERFACE_VERSION = 3
    timeframe = "5m"
    stoploss = -0.10
    minimal_roi = {"0": 10.0}
    position_adjustment_enable = True
    startup_candle_count = 0
    wanted = None
    fails = ""

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_long"] = 0
        return dataframe

    def confirm_trade_entry(self, pair, **kwargs):
        if self.fails == "mine":
            raise RuntimeError("mine")
        return True

    def adjust_trade_position(self, trade, **kwargs):
        return self.wanted


class Checked(PolicyMixin, Mine):
    policy_strategy_id = "TREND"

    def policy_open_positions(self):
        if self.fails == "positions":
            raise RuntimeError("the database is down")
        return Trade.get_open_trade_count()

    def policy_trades_today(self):
        return 0

    def policy_confidence(self, pair, entry_tag):
        return 0.9

'''

HIDDEN = """
from strategies_checked import Mine

from freqtrade_adapter import PolicyMixin


class Hidden(PolicyMixin, Mine):
    def confirm_trade_entry(self, pair, **kwargs):
        return True
"""

MARKETS = {
    PAIR: {
        "id": "BTCUSDT",
        "symbol": PAIR,
        "base": "BTC",
        "quote": "USDT",
        "active": True,
        "spot": True,
        "swap": False,
        "linear": None,
        "type": "spot",
        "contractSize": None,
        "precision": {"price": 8, "amount": 8, "cost": 8},
        "limits": {
            "amount": {"min": 0.0001, "max": 1e8},
            "price": {},
            "cost": {"min": 5.0, "max": None},
            "leverage": {},
        },
        "info": {},
    }
}


def config_of(folder: str, runmode: RunMode) -> dict[str, Any]:
    """Return the configuration of a bot that trades one pair without money."""
    return {
        "runmode": runmode,
        "dry_run": True,
        "dry_run_wallet": WALLET,
        "db_url": "sqlite://",
        "user_data_dir": Path(folder),
        "datadir": Path(folder),
        "exportfilename": Path(folder),
        "export": "none",
        "strategy": "Checked",
        "strategy_path": folder,
        "stake_currency": "USDT",
        "stake_amount": STAKE,
        "tradable_balance_ratio": 1.0,
        "max_open_trades": 3,
        "timeframe": "5m",
        "fiat_display_currency": "",
        "cancel_open_orders_on_exit": False,
        "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes"},
        "entry_pricing": {
            "price_side": "same",
            "use_order_book": False,
            "order_book_top": 1,
            "price_last_balance": 0.0,
        },
        "exit_pricing": {"price_side": "same", "use_order_book": False, "order_book_top": 1},
        "exchange": {
            "name": "binance",
            "key": "",
            "secret": "",
            "pair_whitelist": [PAIR],
            "pair_blacklist": [],
            "enable_ws": False,
        },
        "pairlists": [{"method": "StaticPairList"}],
        "initial_state": "running",
        "internals": {},
        "original_config": {},
        "dataformat_ohlcv": "feather",
        "dataformat_trades": "feather",
        "candle_type_def": CandleType.SPOT,
        "trading_mode": "spot",
        "margin_mode": "",
    }


def without_network() -> list[Any]:
    """Return what stands in the place of everything that an exchange would fetch."""
    ticker = {"symbol": PAIR, "bid": PRICE, "ask": PRICE, "last": PRICE}
    book = {"bids": [[PRICE, 1e6]], "asks": [[PRICE, 1e6]]}

    def load(exchange: Exchange, *_: Any, **__: Any) -> None:
        exchange._markets = MARKETS

    return [
        patch.object(Exchange, "reload_markets", load),
        patch.object(Exchange, "validate_timeframes", lambda *_: None),
        patch.object(Exchange, "get_fee", lambda *_, **__: 0.001),
        patch.object(Exchange, "fetch_ticker", lambda *_: ticker),
        patch.object(Exchange, "fetch_l2_order_book", lambda *_, **__: book),
        patch.object(Exchange, "precisionMode", 2),
        patch.object(Exchange, "precision_mode_price", 2),
    ]


class World:
    """A policy client with clocks and a source that only the check moves."""

    def __init__(self, client: Any) -> None:
        self.module = client
        self.time = START
        self.offered: Any = None
        self.client = client.PolicyClient(
            executor_id="check",
            scope="live",
            sources=[self.read],
            verifier=client.HmacVerifier({KEY: SECRET}),
            clock=lambda: self.time,
            monotonic=lambda: self.time,
        )

    def read(self) -> Any:
        """Be the source."""
        return self.offered

    def after(self, seconds: float) -> None:
        """Let time pass, refreshing at its end."""
        self.time += seconds
        self.client.refresh()

    def normal(self, version: int, **changes: Any) -> None:
        """Give a NORMAL document, and let it stand."""
        self.offered = document(self.module, version, self.time, **changes)
        self.after(0.0)
        self.after(61.0)


class Broken:
    """A client that fails, which the real one does not."""

    def current(self) -> Any:
        """Fail."""
        raise RuntimeError("no policy for you")


class Bot:
    """freqtrade's bot in a dry run, with the strategy that asks the policy."""

    def __init__(self, folder: str, world: World) -> None:
        self.bot = FreqtradeBot(config_of(folder, RunMode.DRY_RUN))
        self.strategy: Any = self.bot.strategy
        self.strategy.policy = world.client

    def enters(self, price: float | None = None) -> float:
        """Try an entry as the bot does on a signal; return the stake of the trade, 0 if there is none."""
        if not self.bot.execute_entry(PAIR, STAKE, price):
            return 0.0
        self.bot.wallets.update(require_update=True)
        return float(Trade.get_open_trades()[-1].orders[-1].stake_amount)

    def waiting(self) -> int:
        """Count the trades with an order that waits for its price."""
        return sum(trade.has_open_orders for trade in Trade.get_open_trades())

    def orders_after_adjusting(self, trade: Trade, wanted: Any) -> int:
        """Let the strategy want more or less of a trade; return how many orders it caused."""
        before = len(trade.orders)
        self.strategy.wanted = wanted
        self.bot.check_and_call_adjust_trade_position(trade)
        self.bot.wallets.update(require_update=True)
        return len(trade.orders) - before


def near(value: float, wanted: float) -> bool:
    """Say whether two stakes are the same but for the exchange's precision."""
    return abs(value - wanted) < 0.01


def check_bot(checks: Checks, folder: str, client: Any) -> None:
    """Check the dry run: entries, growth, and an entry that waits for its price."""
    world = World(client)
    one = Bot(folder, world)
    checks.that(one.enters() == 0, "before any policy no entry")
    for fails in ("positions", "mine"):
        one.strategy.fails = fails
        world.normal({"positions": 1, "mine": 2}[fails])
        checks.that(one.enters() == 0, f"a callback that raises ({fails}) lets no entry through")
    one.strategy.fails = ""
    checks.that(near(one.enters(), 750.0), "NORMAL: an entry, its stake cut to 0.75 % at risk")
    trade = Trade.get_open_trades()[0]
    checks.that(one.orders_after_adjusting(trade, 100.0) == 0, "NORMAL: it grows no further, all of it counts")
    world.normal(3, mode="AGGRESSIVE")
    checks.that(one.orders_after_adjusting(trade, 100.0) == 1, "AGGRESSIVE: it grows")
    one.strategy.policy = Broken()
    checks.that(one.enters() == 0, "a client that fails: no entry")
    checks.that(one.orders_after_adjusting(trade, 100.0) == 0, "a client that fails: it does not grow")
    checks.that(one.orders_after_adjusting(trade, -100.0) == 1, "a client that fails: it shrinks")
    one.strategy.policy = world.client
    world.normal(4, weights={"TREND": 0.05})
    checks.that(near(one.enters(), 100.0), "a weight of a twentieth: a twentieth of the stake")
    world.normal(5)
    checks.that(one.enters(price=50.0) > 0, "an entry that waits for its price")
    one.bot.manage_open_orders()
    checks.that(one.waiting() == 1, "it goes on waiting while the policy allows it")
    world.offered = halted(client, 6, world.time)
    world.after(0.0)
    checks.that(one.enters() == 0, "halted: no entry")
    one.bot.manage_open_orders()
    checks.that(one.waiting() == 0, "halted: the entry that waited is cancelled")
    checks.that(one.orders_after_adjusting(trade, -100.0) == 1, "halted: a position shrinks")
    world.normal(7)
    world.after(LIFE)
    stake = one.enters()
    checks.that(
        290.0 < stake <= 300.0, f"expired: an entry within DEFENSIVE, 0.3 % of what is left at risk: {stake:.2f}"
    )

    config = {**config_of(folder, RunMode.DRY_RUN), "strategy": "Mine"}
    bare: Any = StrategyResolver.load_strategy(config)
    bare.wallets, bare.dp, bare.fails = one.bot.wallets, one.bot.dataprovider, "mine"
    one.bot.strategy = bare
    checks.that(one.enters() > 0, "without the mixin freqtrade takes the same exception for a yes")
    one.bot.cleanup()


def check_backtesting(checks: Checks, folder: str, client: Any) -> None:
    """Check freqtrade's backtesting: the same callbacks by another way."""
    times = pd.date_range(datetime.fromtimestamp(START, UTC), periods=60, freq="5min")
    prices = np.full(60, PRICE)
    candles = pd.DataFrame(
        {"date": times, "open": prices, "high": prices, "low": prices, "close": prices, "volume": np.ones(60)}
    )

    def trades(policy: Any, fails: str = "") -> pd.DataFrame:
        tested = Backtesting(config_of(folder, RunMode.BACKTEST))
        strategy: Any = tested.strategylist[0]
        strategy.policy, strategy.fails = policy, fails
        tested._set_strategy(strategy)
        processed = strategy.advise_all_indicators({PAIR: candles.copy()})
        done: pd.DataFrame = tested.backtest(processed=deepcopy(processed), start_date=times[0], end_date=times[-1])[
            "results"
        ]
        tested.cleanup()
        return done

    world = World(client)
    checks.that(trades(world.client).empty, "backtesting: before any policy no trade")
    world.normal(1)
    checks.that(trades(Broken()).empty, "backtesting: with a client that fails no trade")
    checks.that(trades(world.client, "positions").empty, "backtesting: with a callback that raises no trade")
    found = trades(world.client)
    sizes = found["stake_amount"].round(1).tolist()
    checks.that(sizes == [750.0], f"backtesting: with NORMAL trades within its risk: {sizes}")


def check_loading(checks: Checks, folder: str) -> None:
    """Check that a strategy whose own callback would hide the mixin's is not loaded."""
    Path(folder, "hidden.py").write_text(HIDDEN, encoding="utf-8")
    config = {**config_of(folder, RunMode.DRY_RUN), "strategy": "Hidden"}
    try:
        StrategyResolver.load_strategy(config)
        why = ""
    except (OperationalException, TypeError) as error:
        why = str(error)
    checks.that("Hidden" in why, f"a strategy that hides the mixin is not loaded: {why[:90]}...")


def main() -> None:
    """Check all."""
    logging.disable(logging.CRITICAL)  # freqtrade logs every exception that it swallows
    sys.stdout.write(f"freqtrade {__version__}, Python {sys.version.split()[0]}\n")
    checks = Checks()
    steps: tuple[Callable[..., None], ...] = (check_bot, check_backtesting)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as patched:
        client, _ = copied(folder, "client", "freqtrade_adapter")
        Path(folder, "strategies_checked.py").write_text(STRATEGIES, encoding="utf-8")
        for one in without_network():
            patched.enter_context(one)
        for step in steps:
            step(checks, folder, client)
        check_loading(checks, folder)
    checks.end()


if __name__ == "__main__":
    main()
