"""Run `policy/nautilus_adapter.py` inside nautilus_trader's own backtest engine, and say what goes through when.

    python -m venv there && there/bin/pip install nautilus_trader
    there/bin/python scripts/frameworks/check_nautilus.py

The strategy only follows a script; what is checked is which of its orders the engine lets through. The client's clocks
are the engine's, so that a policy ages and expires in the simulation as it would outside. Exit code 1 if anything
differs.
"""

import sys
import tempfile
from collections.abc import Callable
from typing import Any

from executor_kit import DWELL, KEY, LIFE, SECRET, Checks, copied, document, halted
from nautilus_trader import __version__
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model import events
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TradingState, TriggerType
from nautilus_trader.model.identifiers import TraderId, Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = TestInstrumentProvider.equity(symbol="SP500", venue="SIM")
START = 1_767_000_000
SECONDS = 1200
BUY, SELL = OrderSide.BUY, OrderSide.SELL
Step = Callable[["Node"], object]


class Scripted(Strategy):
    """Sends the orders that its script wants at each second, and keeps what became of them."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(strategy_id="TREND", order_id_tag="000"))
        self.heard: dict[str, list[str]] = {}
        self.why: list[str] = []
        self.orders: dict[str, Any] = {}
        self.each_second: Callable[[], None] = lambda: None

    def on_start(self) -> None:
        """Listen."""
        self.subscribe_quote_ticks(INSTRUMENT.id)

    def on_quote_tick(self, _tick: QuoteTick) -> None:
        """Do what the script says."""
        self.each_second()

    def on_order_event(self, event: Any) -> None:
        """Keep what became of an order."""
        self.heard.setdefault(event.client_order_id.value, []).append(type(event).__name__)
        self.why.append(getattr(event, "reason", ""))

    def market(self, name: str, side: OrderSide, quantity: int, **options: Any) -> None:
        """Send a market order."""
        self.send(name, self.order_factory.market(INSTRUMENT.id, side, INSTRUMENT.make_qty(quantity), **options))

    def limit(self, name: str, side: OrderSide, quantity: int, price: float, **options: Any) -> None:
        """Send a limit order."""
        made = self.order_factory.limit(
            INSTRUMENT.id, side, INSTRUMENT.make_qty(quantity), INSTRUMENT.make_price(price), **options
        )
        self.send(name, made)

    def stop_order(self, name: str, side: OrderSide, quantity: int, price: float, **options: Any) -> None:
        """Send a stop order."""
        made = self.order_factory.stop_market(
            INSTRUMENT.id, side, INSTRUMENT.make_qty(quantity), INSTRUMENT.make_price(price), **options
        )
        self.send(name, made)

    def bracket(self, name: str) -> None:
        """Send an entry with its stop and its target in one list."""
        made = self.order_factory.bracket(
            INSTRUMENT.id,
            BUY,
            INSTRUMENT.make_qty(1),
            sl_trigger_price=INSTRUMENT.make_price(50.0),
            tp_price=INSTRUMENT.make_price(500.0),
        )
        self.orders[name] = made.orders[0]
        self.submit_order_list(made)

    def send(self, name: str, order: Any) -> None:
        """Submit an order under a name."""
        self.orders[name] = order
        self.submit_order(order)

    def became(self, name: str) -> str:
        """Say what became of an order in the end."""
        return self.heard.get(self.orders[name].client_order_id.value, ["nothing"])[-1].removeprefix("Order")


class Node:
    """A backtest engine with the guard in front of it, and a source of documents that the script feeds."""

    def __init__(self, script: dict[int, Step], modules: list[Any], **options: Any) -> None:
        self.script = script
        self.client_module, adapter = modules
        self.offered: Any = None
        self.risk = 0.002
        self.states: dict[int, TradingState] = {}
        self.strategy = Scripted()
        self.strategy.each_second = self.each_second
        risk_engine = RiskEngineConfig(bypass=options.get("bypass", False))
        logging = LoggingConfig(bypass_logging=True)
        self.engine = BacktestEngine(
            BacktestEngineConfig(trader_id=TraderId("CHECK-001"), logging=logging, risk_engine=risk_engine)
        )
        oms = options.get("oms", OmsType.NETTING)
        self.engine.add_venue(Venue("SIM"), oms, AccountType.MARGIN, [Money(10_000_000, USD)])
        self.engine.add_instrument(INSTRUMENT)
        self.engine.add_data([quote(second, options.get("prices")) for second in range(SECONDS)])
        kernel = self.engine.kernel
        self.client = self.client_module.PolicyClient(
            executor_id="check",
            scope="live",
            sources=[self.read],
            verifier=self.client_module.HmacVerifier({KEY: SECRET}),
            loosen_after_seconds=DWELL,
            clock=kernel.clock.timestamp,
            monotonic=kernel.clock.timestamp,
        )
        self.guard = adapter.PolicyGuard(self.client, kernel, TradingState, events, facts=self.facts)
        self.engine.add_strategy(self.strategy)

    def read(self) -> Any:
        """Be a source of the client."""
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered

    def facts(self, _order: Any) -> dict[str, Any]:
        """Say what nautilus_trader does not know of an order."""
        return {"confidence": 0.9, "trades_today": 0, "risk": self.risk, "strategy_id": "TREND"}

    def each_second(self) -> None:
        """Refresh and apply, as a timer would, and do the step."""
        self.client.refresh()
        self.guard.on_timer()
        self.states[self.second()] = self.engine.kernel.risk_engine.trading_state
        step = self.script.get(self.second())
        if step is not None:
            step(self)

    def now(self) -> float:
        """Return the time of the simulation."""
        return float(self.engine.kernel.clock.timestamp())

    def second(self) -> int:
        """Return the second of the simulation."""
        return int(self.now()) - START

    def offers(self, version: int, **changes: Any) -> None:
        """Let the source give a document that is issued now."""
        self.offered = document(self.client_module, version, self.now(), **changes)

    def halts(self, version: int) -> None:
        """Let the source give the document of a halted book."""
        self.offered = halted(self.client_module, version, self.now())

    def forges(self, version: int) -> None:
        """Let the source give a document that was altered."""
        self.offered = document(self.client_module, version, self.now()).replace("NORMAL", "AGGRESSIVE")

    def falls_silent(self) -> None:
        """Let the source fail."""
        self.offered = ConnectionError("down")

    def loses_its_client(self) -> None:
        """Break the guard from within."""
        self.guard._client = None

    def buys_at_risk(self, name: str, risk: float) -> None:
        """Send an entry with so much money at risk."""
        self.risk, before = risk, self.risk
        self.strategy.market(name, BUY, 1)
        self.risk = before

    def moves(self, name: str, **changes: Any) -> None:
        """Change an order."""
        self.strategy.modify_order(self.strategy.orders[name], **changes)

    def run(self) -> "Node":
        """Run it all."""
        self.engine.run()
        return self

    def is_flat(self) -> bool:
        """Say whether no position is left."""
        return not self.engine.kernel.cache.positions_open()


def quote(second: int, prices: Callable[[int], float] | None) -> QuoteTick:
    """Return a quote with a spread of a cent; at 100 unless prices say otherwise."""
    price = 100.0 if prices is None else prices(second)
    at = (START + second) * 10**9
    bid, ask = INSTRUMENT.make_price(price), INSTRUMENT.make_price(price + 0.01)
    return QuoteTick(INSTRUMENT.id, bid, ask, INSTRUMENT.make_qty(10**6), INSTRUMENT.make_qty(10**6), at, at)


EXPIRED = 200 + int(LIFE) + 10
STOP = "a stop, by reduce_only"
SCRIPT: dict[int, Step] = {
    1: lambda n: n.strategy.market("before any policy", BUY, 10),
    2: lambda n: n.strategy.bracket("a bracket before any policy"),
    5: lambda n: n.offers(1),
    8: lambda n: n.strategy.market("within the dwell", BUY, 10),
    20: lambda n: n.strategy.market("NORMAL", BUY, 10),
    21: lambda n: n.buys_at_risk("NORMAL, too much risk", 0.0076),
    22: lambda n: n.strategy.limit("an entry that waits", BUY, 5, 90.0),
    23: lambda n: n.strategy.stop_order(STOP, SELL, 4, 80.0, reduce_only=True),
    24: lambda n: n.strategy.limit("an emulated entry that waits", BUY, 5, 91.0, emulation_trigger=TriggerType.BID_ASK),
    30: lambda n: n.halts(2),
    31: lambda n: n.strategy.market("halted", BUY, 1),
    32: lambda n: n.strategy.market("halted, more than the position", SELL, 11),
    33: lambda n: n.strategy.market("halted, an exit", SELL, 4),
    34: lambda n: n.strategy.market("halted, an exit by reduce_only", SELL, 1, reduce_only=True),
    35: lambda n: n.moves(STOP, trigger_price=INSTRUMENT.make_price(85.0)),
    36: lambda n: n.strategy.cancel_order(n.strategy.orders[STOP]),
    200: lambda n: n.offers(3),
    220: lambda n: n.strategy.market("resumed", BUY, 1),
    221: lambda n: n.strategy.limit("an entry to be moved", BUY, 1, 90.0),
    222: lambda n: n.falls_silent(),
    EXPIRED: lambda n: n.buys_at_risk("expired, a risk that NORMAL allows", 0.005),
    EXPIRED + 1: lambda n: n.buys_at_risk("expired, a risk that DEFENSIVE allows", 0.002),
    EXPIRED + 5: lambda n: n.forges(9),
    EXPIRED + 7: lambda n: n.strategy.market("forged", BUY, 1),
    EXPIRED + 8: lambda n: n.moves("an entry to be moved", price=INSTRUMENT.make_price(99.0)),
    EXPIRED + 9: lambda n: n.strategy.market("forged, an exit", SELL, 2),
    EXPIRED + 12: lambda n: n.loses_its_client(),
    EXPIRED + 13: lambda n: n.strategy.market("a client that fails", BUY, 1),
    EXPIRED + 14: lambda n: n.strategy.close_all_positions(INSTRUMENT.id),
}


def check_policy(checks: Checks, modules: list[Any]) -> None:
    """Check: no policy, the dwell, NORMAL, a halt, the resumption, expiry, a forged document, a client that fails."""
    node = Node(SCRIPT, modules).run()
    expected = {
        "before any policy": "Denied",
        "a bracket before any policy": "Denied",
        "within the dwell": "Denied",
        "NORMAL": "Filled",
        "NORMAL, too much risk": "Denied",
        "an entry that waits": "Canceled",
        "an emulated entry that waits": "Canceled",
        "halted": "Denied",
        "halted, more than the position": "Denied",
        "halted, an exit": "Filled",
        "halted, an exit by reduce_only": "Filled",
        STOP: "Canceled",
        "resumed": "Filled",
        "expired, a risk that NORMAL allows": "Denied",
        "expired, a risk that DEFENSIVE allows": "Filled",
        "forged": "Denied",
        "an entry to be moved": "ModifyRejected",
        "forged, an exit": "Filled",
        "a client that fails": "Denied",
    }
    for name, want in expected.items():
        checks.that(node.strategy.became(name) == want, f"{name}: {node.strategy.became(name)}")
    stop = node.strategy.heard[node.strategy.orders[STOP].client_order_id.value]
    checks.that("OrderUpdated" in stop, "a stop is moved while halted")
    for second, state in ((1, "REDUCING"), (8, "REDUCING"), (20, "ACTIVE"), (31, "REDUCING"), (220, "ACTIVE")):
        checks.that(node.states[second] == TradingState[state], f"after {second} s the engine is {state}")
    checks.that(node.states[EXPIRED + 7] == TradingState.REDUCING, "with a forged document the engine is REDUCING")
    checks.that(node.states[EXPIRED + 13] == TradingState.REDUCING, "with a client that fails the engine is REDUCING")
    checks.that(node.is_flat(), "whatever failed, the position was closed")
    broken = [why for why in node.strategy.why if "check failed" in why and "NoneType" not in why]
    checks.that(not broken, f"what was denied was denied by the policy, not by an error {broken}")
    node.engine.dispose()


def check_ways_around(checks: Checks, modules: list[Any]) -> None:
    """Check a bypassed risk engine, an order that an emulator releases after the policy ended, and a hedging book."""
    around = Node({1: lambda n: n.strategy.market("bypassed", BUY, 1)}, modules, bypass=True).run()
    checks.that(around.strategy.became("bypassed") == "Denied", "a bypassed risk engine: no entry without a policy")
    around.engine.dispose()

    script: dict[int, Step] = {
        1: lambda n: n.offers(1),
        20: lambda n: n.strategy.stop_order("late", BUY, 1, 105.0, emulation_trigger=TriggerType.BID_ASK),
        21: lambda n: n.falls_silent(),
    }
    late = Node(script, modules, prices=lambda second: 100.0 if second < LIFE + 30 else 110.0)
    late.risk = 0.005
    became = late.run().strategy.became("late")
    checks.that(became == "Denied", f"an emulated entry that is released after the policy expired: {became}")
    late.engine.dispose()

    script = {
        1: lambda n: n.offers(1),
        20: lambda n: n.strategy.market("long", BUY, 5),
        25: lambda n: n.halts(2),
        30: lambda n: n.strategy.market("a hedge", SELL, 5),
        31: lambda n: n.strategy.close_all_positions(INSTRUMENT.id),
    }
    hedging = Node(script, modules, oms=OmsType.HEDGING).run()
    checks.that(hedging.strategy.became("a hedge") == "Denied", "a hedging book: the other side is a new position")
    checks.that(hedging.strategy.became("long") == "Filled", "a hedging book: the first side was allowed")
    checks.that(hedging.is_flat(), "a hedging book: its position was closed while halted")
    hedging.engine.dispose()


def check_live_node(checks: Checks, modules: list[Any]) -> None:
    """Check that the guard finds all it needs in the kernel of a node for live trading, too."""
    logging = LoggingConfig(log_level="OFF")
    node = TradingNode(TradingNodeConfig(trader_id=TraderId("CHECK-002"), logging=logging))
    verifier = modules[0].HmacVerifier({KEY: SECRET})
    client = modules[0].PolicyClient(executor_id="check", scope="live", sources=[], verifier=verifier)
    modules[1].PolicyGuard(client, node.kernel, TradingState, events)
    checks.that(node.kernel.risk_engine.trading_state == TradingState.REDUCING, "a node for live trading: REDUCING")
    node.dispose()


def main() -> None:
    """Check all."""
    sys.stdout.write(f"nautilus_trader {__version__}, Python {sys.version.split()[0]}\n")
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        modules = copied(folder, "client", "nautilus_adapter")
        check_policy(checks, modules)
        check_ways_around(checks, modules)
        check_live_node(checks, modules)
    checks.end()


if __name__ == "__main__":
    main()
