"""The policy inside a nautilus_trader node. Imports neither of the two packages: copy it beside the client.

    from nautilus_trader.model import events
    from nautilus_trader.model.enums import TradingState

    def facts(order):                                    # what only you know of an order
        return {"confidence": ..., "trades_today": ..., "risk": ..., "strategy_id": "TREND", "symbol": "SP500"}

    guard = PolicyGuard(client.start(), node.kernel, TradingState, events, facts=facts)   # before the node trades
    clock.set_timer("policy", timedelta(seconds=1), callback=guard.on_timer)

It does two things. It keeps the risk engine REDUCING until a policy allows a strategy. That alone is not enough: in
REDUCING nautilus_trader denies what adds to a position, and lets a flat book open one. So the guard also stands before
the execution engine, the last station that every order passes, whether the risk engine is bypassed, an emulator
releases it, or an algorithm spawns it: what opens or adds is denied unless the policy allows an entry. Cancels,
queries and exits pass.

An exit is an order with `reduce_only`, or one against the position that it names, or, in a netting book, against the
strategy's own position there, and no larger than that.

The guard never sets HALTED: there nautilus_trader denies every order, exits included. A halt is REDUCING.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

GATE = "ExecEngine.execute"
ANSWERS = "ExecEngine.process"

Facts = Callable[[Any], Mapping[str, Any]]
"""Order -> confidence, trades_today and risk; strategy_id, symbol and open_positions where they are not what the
framework knows. What is missing is not known, and not known is refused."""


def no_facts(order: Any) -> Mapping[str, Any]:  # noqa: ARG001
    """Know nothing of an order: nothing new is opened."""
    return {}


class PolicyGuard:
    """Keeps what a node sends to its venues within the policy.

    Parameters
    ----------
    client
        A `PolicyClient`; anything with `current()`.
    kernel
        nautilus_trader's kernel (`node.kernel`, `engine.kernel`): its `risk_engine`, `exec_engine`, `msgbus`, `cache`
        and `clock` are used.
    states
        nautilus_trader's `TradingState`: ACTIVE, REDUCING and HALTED.
    events
        The module `nautilus_trader.model.events`: OrderDenied and OrderModifyRejected.
    facts
        What only the executor knows of an order.
    """

    def __init__(self, client: Any, kernel: Any, states: Any, events: Any, *, facts: Facts = no_facts) -> None:
        self._client = client
        self._kernel = kernel
        self._cache = kernel.cache
        self._states = states
        self._events = events
        self._facts = facts
        self._halted = False
        self._set(states.REDUCING)
        self._pass_on: Callable[[Any], None] = kernel.exec_engine.execute
        kernel.msgbus.deregister(GATE, self._pass_on)
        kernel.msgbus.register(GATE, self.execute)

    def on_timer(self, event: Any = None) -> None:  # noqa: ARG002 -- nautilus hands the event in
        """Apply the policy; raises only what nautilus_trader itself raises."""
        self.apply()

    def apply(self) -> str:
        """Set the trading state by the policy, and return what holds: ACTIVE, REDUCING, or HALTED by somebody else.

        When a halt begins, entries that wait in the market are cancelled.
        """
        try:
            decision = self._client.current()
            allows = decision.reduce_only is False and bool(decision.strategies)
            halted = decision.halted is True
        except Exception:  # what cannot be asked allows nothing new
            allows, halted = False, self._halted
        state = self._set(self._states.ACTIVE if allows else self._states.REDUCING)
        if halted and not self._halted:
            self._cancel_entries()
        self._halted = halted
        return state

    def execute(self, command: Any) -> None:
        """Stand where nautilus_trader hands commands to its execution engine."""
        try:
            why = next(self._objections(command), "")
        except Exception as error:  # an error must never become an entry
            why = f"the check failed: {error!r}"
        if why:
            self._refuse(command, f"policy: {why}")
        else:
            self._pass_on(command)

    def why_not(self, order: Any, position_id: Any = None) -> str:
        """Say why an order would be denied now; "" if it would pass. Raises nothing."""
        try:
            return self._objection(order, position_id, order.quantity)
        except Exception as error:  # an error must never become an entry
            return f"the check failed: {error!r}"

    def _objections(self, command: Any) -> Iterator[str]:
        position_id = getattr(command, "position_id", None)
        if hasattr(command, "order_list"):
            found = [self._objection(order, position_id, order.quantity) for order in command.order_list.orders]
        elif hasattr(command, "order"):
            found = [self._objection(command.order, position_id, command.order.quantity)]
        elif hasattr(command, "trigger_price"):
            found = [self._objection_to_change(command)]
        else:
            return  # cancels and queries
        yield from filter(None, found)

    def _objection(self, order: Any, position_id: Any, quantity: Any) -> str:
        if self._reduces(order, position_id, quantity):
            return ""
        known = {
            "strategy_id": str(order.strategy_id),
            "symbol": str(order.instrument_id),
            "open_positions": self._open_positions(order),
            "confidence": None,
            "trades_today": None,
            "risk": None,
            **self._facts(order),
        }
        verdict = self._client.current().check_entry(
            known["strategy_id"],
            known["symbol"],
            confidence=known["confidence"],
            open_positions=known["open_positions"],
            trades_today=known["trades_today"],
            risk=known["risk"],
        )
        return "" if verdict.allowed is True else str(verdict.why) or "refused"

    def _objection_to_change(self, command: Any) -> str:
        order = self._cache.order(command.client_order_id)
        if order is None:
            return ""  # there is nothing to change, and the engine says so
        quantity = order.quantity if command.quantity is None else command.quantity
        if command.price is None and command.trigger_price is None and quantity <= order.quantity:
            return ""
        return self._objection(order, self._position_of(order), quantity - order.filled_qty)

    def _reduces(self, order: Any, position_id: Any, quantity: Any) -> bool:
        """Say whether an order can only make a position smaller."""
        if order.is_reduce_only:
            return True
        if getattr(order, "is_quote_quantity", False):
            return False  # an amount of money is not comparable to a position
        netted = self._netted(order)
        position = self._named(position_id) if position_id is not None else self._position(netted)
        if position is None or position.is_closed:
            return False
        opposite = position.is_long if order.is_sell else position.is_short
        return bool(opposite) and bool(quantity <= position.quantity)

    def _netted(self, order: Any) -> str:
        return f"{order.instrument_id}-{order.strategy_id}"

    def _named(self, position_id: Any) -> Any:
        return self._position(str(position_id))

    def _position(self, name: str) -> Any:
        return next((one for one in self._cache.positions_open() if str(one.id) == name), None)

    def _open_positions(self, order: Any) -> int:
        """Count the positions of the book and those that wait in the market to be opened, without this one."""
        own = self._netted(order)
        names = {str(one.id) for one in self._cache.positions_open()}
        waiting = {self._netted(one) for one in self._waiting() if one.client_order_id != order.client_order_id}
        return len(names - {own}) + len(waiting - names - {own})

    def _waiting(self) -> list[Any]:
        """Return the entries that may still be filled."""
        orders = [*self._cache.orders_open(), *self._cache.orders_inflight(), *self._cache.orders_emulated()]
        return [one for one in orders if not self._reduces(one, self._position_of(one), one.leaves_qty)]

    def _position_of(self, order: Any) -> Any:
        return self._cache.position_id(order.client_order_id)

    def _cancel_entries(self) -> None:
        strategies = {str(one.id): one for one in self._kernel.trader.strategies()}
        for order in self._waiting():
            if str(order.strategy_id) in strategies and not order.is_pending_cancel:
                strategies[str(order.strategy_id)].cancel_order(order)

    def _refuse(self, command: Any, why: str) -> None:
        now = self._kernel.clock.timestamp_ns()
        if hasattr(command, "order_list"):
            orders = [order for order in command.order_list.orders if not order.is_closed]
        elif hasattr(command, "order"):
            orders = [command.order]
        else:
            self._refuse_change(command, why, now)
            return
        for order in orders:
            self._answer(self._events.OrderDenied, order, why, ts_init=now)

    def _refuse_change(self, command: Any, why: str, now: int) -> None:
        order = self._cache.order(command.client_order_id)
        if order is None:
            return
        times = {"ts_event": now, "ts_init": now}
        ids = {"venue_order_id": order.venue_order_id, "account_id": order.account_id}
        self._answer(self._events.OrderModifyRejected, order, why, **ids, **times)

    def _answer(self, kind: Any, order: Any, why: str, **more: Any) -> None:
        event = kind(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            reason=why,
            event_id=type(order.init_id)(),  # nautilus_trader's UUID4, which nobody has to import
            **more,
        )
        self._kernel.msgbus.send(ANSWERS, event)

    def _set(self, state: Any) -> str:
        """Set the trading state; HALTED is somebody else's, and tighter than anything here."""
        engine = self._kernel.risk_engine
        if engine.trading_state == self._states.HALTED:
            return "HALTED"
        if engine.trading_state != state:
            engine.set_trading_state(state)
        return "ACTIVE" if state == self._states.ACTIVE else "REDUCING"
