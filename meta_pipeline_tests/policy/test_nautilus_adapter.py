"""The nautilus_trader adapter before stand-ins for a kernel; inside it: scripts/frameworks/check_nautilus.py."""

from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from meta_pipeline.policy.nautilus_adapter import PolicyGuard, no_facts
from meta_pipeline_tests.policy.documents import EXPIRY, World, document

HALTED = document(2, "DEFENSIVE", reduce_only=True, halt={"active": True, "by": "a", "reason": "b", "since": None})


class State(Enum):
    ACTIVE = 1
    HALTED = 2
    REDUCING = 3


class Unique:
    """A stand-in for nautilus_trader's UUID4."""


@dataclass
class Order:
    """An order, with what the adapter looks at."""

    side: str = "BUY"
    quantity: float = 5.0
    client_order_id: str = "O-1"
    instrument_id: str = "X"
    strategy_id: str = "A"
    is_reduce_only: bool = False
    is_closed: bool = False
    is_pending_cancel: bool = False
    filled_qty: float = 0.0
    trader_id: str = "T"
    venue_order_id: str | None = None
    account_id: str | None = None
    init_id: Unique = field(default_factory=Unique)
    is_quote_quantity: bool = False

    @property
    def is_sell(self) -> bool:
        return self.side == "SELL"

    @property
    def leaves_qty(self) -> float:
        return self.quantity - self.filled_qty


def held(quantity: float = 10.0, *, name: str = "X-A", side: str = "LONG", symbol: str = "X") -> Any:
    return SimpleNamespace(
        id=name,
        instrument_id=symbol,
        strategy_id=name.rsplit("-", maxsplit=1)[-1],
        quantity=quantity,
        is_long=side == "LONG",
        is_short=side == "SHORT",
        is_closed=False,
    )


class Kernel:
    """A kernel with a message bus, a cache and engines that keep what reaches them."""

    def __init__(self, *positions: Any, waiting: tuple[Order, ...] = ()) -> None:
        self.state = State.ACTIVE
        self.states: list[State] = []
        self.executed: list[Any] = []
        self.answers: list[Any] = []
        self.cancelled: list[Any] = []
        self.orders = {order.client_order_id: order for order in waiting}
        self.risk_engine = self
        self.exec_engine = SimpleNamespace(execute=self.executed.append)
        self.endpoints: dict[str, Any] = {"ExecEngine.execute": self.exec_engine.execute}
        self.msgbus = SimpleNamespace(deregister=self.deregister, register=self.endpoints.__setitem__, send=self.send)
        self.clock = SimpleNamespace(timestamp_ns=lambda: 7)
        self.cache = SimpleNamespace(
            order=self.orders.get,
            position_id=lambda order_id: None,
            positions_open=lambda: list(positions),
            orders_open=lambda: list(self.orders.values()),
            orders_inflight=list,
            orders_emulated=list,
        )
        strategy = SimpleNamespace(id="A", cancel_order=lambda order: self.cancelled.append(order.client_order_id))
        self.trader = SimpleNamespace(strategies=lambda: [strategy])

    @property
    def trading_state(self) -> State:
        return self.state

    def set_trading_state(self, state: State) -> None:
        self.state = state
        self.states.append(state)

    def deregister(self, endpoint: str, handler: Any) -> None:
        assert self.endpoints.pop(endpoint) == handler

    def send(self, endpoint: str, event: Any) -> None:
        assert endpoint == "ExecEngine.process"
        self.answers.append(event)

    def sends(self, command: Any) -> bool:
        """Hand a command to whoever stands at the endpoint; say whether it reached the engine."""
        before = len(self.executed)
        self.endpoints["ExecEngine.execute"](command)
        return len(self.executed) > before


EVENTS = SimpleNamespace(
    OrderDenied=lambda **fields: SimpleNamespace(kind="denied", **fields),
    OrderModifyRejected=lambda **fields: SimpleNamespace(kind="not changed", **fields),
)
FACTS = {"confidence": 0.9, "trades_today": 0, "risk": 0.002}


def guard_of(client: Any, kernel: Kernel, **facts: Any) -> PolicyGuard:
    known = {**FACTS, **facts}
    return PolicyGuard(client, kernel, State, EVENTS, facts=lambda order: known)


def allowing() -> World:
    return World().settled(document())


def submit(order: Order, position_id: str | None = None) -> Any:
    return SimpleNamespace(order=order, position_id=position_id)


def submit_list(*orders: Order) -> Any:
    return SimpleNamespace(order_list=SimpleNamespace(orders=list(orders)), position_id=None)


def change(order_id: str, *, quantity: float | None = None, price: float | None = None) -> Any:
    return SimpleNamespace(client_order_id=order_id, quantity=quantity, price=price, trigger_price=None)


class Broken:
    def current(self) -> Any:
        raise RuntimeError("no policy for you")


def test_the_risk_engine_is_reducing_before_the_first_valid_policy_and_active_with_one() -> None:
    world, kernel = World(), Kernel()
    guard = guard_of(world.client, kernel)
    assert kernel.states == [State.REDUCING]
    assert guard.apply() == "REDUCING"
    world.settled(document())
    guard.on_timer("event")
    assert guard.apply() == "ACTIVE"
    assert kernel.states == [State.REDUCING, State.ACTIVE]


@pytest.mark.parametrize(
    "stopped", [HALTED, document(2, allowed_strategies=[], weights={}), document(2).replace("NORMAL", "normal")]
)
def test_a_halt_an_empty_policy_and_a_forged_one_reduce_and_never_halt_the_exits(stopped: str) -> None:
    world, kernel = allowing(), Kernel(held())
    guard = guard_of(world.client, kernel)
    guard.apply()
    world.given(stopped)
    assert guard.apply() == "REDUCING"
    assert State.HALTED not in kernel.states
    assert not kernel.sends(submit(Order()))
    assert kernel.sends(submit(Order("SELL")))


def test_an_entry_of_a_flat_book_is_denied_without_a_policy_and_passes_with_one() -> None:
    # nautilus_trader itself lets it pass in REDUCING: it denies only what adds to a position.
    kernel = Kernel()
    guard_of(World().client, kernel)
    assert not kernel.sends(submit(Order()))
    assert not kernel.sends(submit_list(Order(), Order("SELL", is_reduce_only=True)))
    assert [one.kind for one in kernel.answers] == ["denied"] * 3
    assert "only exits are allowed (DEFAULT)" in kernel.answers[0].reason
    kernel = Kernel()
    guard_of(allowing().client, kernel)
    assert kernel.sends(submit(Order()))
    assert kernel.sends(submit_list(Order(), Order("SELL", is_reduce_only=True)))


@pytest.mark.parametrize(
    "facts",
    [
        {"risk": 0.0076},
        {"risk": None},
        {"confidence": 0.5},
        {"trades_today": 30},
        {"strategy_id": "C"},
        {"symbol": "Z"},
        {"open_positions": 10},
    ],
)
def test_every_limit_of_the_policy_counts_and_what_is_not_known_is_refused(facts: dict[str, Any]) -> None:
    kernel = Kernel()
    guard = guard_of(allowing().client, kernel, **facts)
    assert not kernel.sends(submit(Order()))
    assert guard.why_not(Order()) != ""


def test_without_facts_or_with_facts_that_fail_nothing_is_opened_and_exits_pass() -> None:
    def failing(order: Any) -> dict[str, Any]:
        raise RuntimeError("the database is down")

    for facts in (no_facts, failing):
        kernel = Kernel(held())
        PolicyGuard(allowing().client, kernel, State, EVENTS, facts=facts)
        assert not kernel.sends(submit(Order()))
        assert kernel.sends(submit(Order("SELL", 10.0)))


@pytest.mark.parametrize(
    ("order", "position_id", "passes"),
    [
        (Order("SELL", 10.0), None, True),
        (Order("SELL", 10.5), None, False),
        (Order("BUY", 1.0), None, False),
        (Order("SELL", 99.0, is_reduce_only=True), None, True),
        (Order("SELL", 10.0, strategy_id="B"), None, False),
        (Order("SELL", 10.0, strategy_id="B"), "X-A", True),
        (Order("SELL", 10.0), "P-1", False),
        (Order("SELL", 10.0, is_quote_quantity=True), None, False),
    ],
)
def test_only_what_makes_a_position_smaller_is_an_exit(order: Order, position_id: str | None, passes: bool) -> None:
    kernel = Kernel(held(10.0))
    guard_of(World().client, kernel)
    assert kernel.sends(submit(order, position_id)) is passes


def test_cancels_and_queries_always_pass() -> None:
    kernel = Kernel()
    guard_of(Broken(), kernel)
    assert kernel.sends(SimpleNamespace(client_order_id="O-1"))
    assert kernel.sends(SimpleNamespace(cancels=[1, 2]))


def test_an_entry_that_waits_is_neither_moved_nor_raised_without_a_policy_and_a_stop_is() -> None:
    entry, stop = Order(client_order_id="E"), Order("SELL", client_order_id="S", is_reduce_only=True)
    kernel = Kernel(waiting=(entry, stop))
    guard_of(World().client, kernel)
    assert not kernel.sends(change("E", price=99.0))
    assert not kernel.sends(change("E", quantity=6.0))
    assert [one.kind for one in kernel.answers] == ["not changed"] * 2
    assert kernel.sends(change("E", quantity=4.0))
    assert kernel.sends(change("S", price=99.0))
    assert kernel.sends(change("nobody's", price=99.0))


def test_entries_that_wait_are_cancelled_when_a_halt_begins_and_only_then() -> None:
    entry, stop = Order(client_order_id="E"), Order("SELL", client_order_id="S", is_reduce_only=True)
    kernel, world = Kernel(waiting=(entry, stop)), allowing()
    guard = guard_of(world.client, kernel)
    guard.apply()
    world.after(EXPIRY)
    guard.apply()
    assert kernel.cancelled == []
    world.given(HALTED)
    guard.apply()
    guard.apply()
    assert kernel.cancelled == ["E"]


def test_entries_that_wait_count_as_positions_and_a_position_that_grows_counts_not_twice() -> None:
    def positions(n: int) -> list[Any]:
        return [held(name=f"S{i}-A", symbol=f"S{i}") for i in range(n)]

    def passes(kernel: Kernel) -> bool:
        guard_of(allowing().client, kernel)
        return kernel.sends(submit(Order()))

    assert passes(Kernel(*positions(9)))
    assert not passes(Kernel(*positions(10)))
    assert not passes(Kernel(*positions(9), waiting=(Order(client_order_id="E", instrument_id="W"),)))
    assert passes(Kernel(*positions(9), held(), waiting=(Order(client_order_id="E", instrument_id="X"),)))


def test_a_trading_state_that_somebody_set_to_halted_stays() -> None:
    kernel = Kernel()
    guard = guard_of(allowing().client, kernel)
    kernel.state = State.HALTED
    assert guard.apply() == "HALTED"
    assert kernel.state is State.HALTED


def test_a_trading_state_that_somebody_set_to_active_is_set_back() -> None:
    kernel = Kernel()
    guard = guard_of(World().client, kernel)
    kernel.state = State.ACTIVE
    assert guard.apply() == "REDUCING"
    assert kernel.state is State.REDUCING


def test_a_client_that_fails_reduces_and_allows_nothing() -> None:
    kernel = Kernel(held())
    guard = guard_of(Broken(), kernel)
    assert guard.apply() == "REDUCING"
    assert not kernel.sends(submit(Order()))
    assert "no policy for you" in guard.why_not(Order())
    assert kernel.sends(submit(Order("SELL")))
