"""The policy inside a nautilus_trader node. Imports neither of the two packages: copy it beside the client.

    guard = PolicyGuard(client.start(), node.kernel.risk_engine, TradingState)
    guard.apply()                                  # before the node trades: REDUCING until a policy allows more
    clock.set_timer("policy", timedelta(seconds=1), callback=guard.on_timer)

The guard never sets HALTED: there nautilus_trader denies every command but cancels, exits included. A halt is REDUCING.
"""

from typing import Any


class PolicyGuard:
    """Keeps the trading state of a risk engine within the policy.

    Parameters
    ----------
    client
        A `PolicyClient`; anything with `current()`.
    risk_engine
        nautilus_trader's `RiskEngine`; anything with `set_trading_state`.
    states
        nautilus_trader's `TradingState`; anything with ACTIVE and REDUCING.
    """

    def __init__(self, client: Any, risk_engine: Any, states: Any) -> None:
        self._client = client
        self._engine = risk_engine
        self._states = states
        self._applied: Any = None
        self._reduce()

    def on_timer(self, event: Any = None) -> None:  # noqa: ARG002 -- nautilus hands the event in
        """Apply the policy; raises only what the risk engine itself raises."""
        self.apply()

    def apply(self) -> str:
        """Set the trading state by the policy, and return its name: "ACTIVE" or "REDUCING"."""
        try:
            decision = self._client.current()
            if decision.reduce_only is not False or not decision.strategies:
                return self._reduce()
            self._set(self._states.ACTIVE)
        except Exception:  # what cannot be asked allows nothing new
            return self._reduce()
        return "ACTIVE"

    def allows(
        self,
        strategy_id: str,
        instrument_id: Any,
        *,
        confidence: float | None,
        open_positions: int | None,
        trades_today: int | None,
        risk: float | None,
    ) -> bool:
        """Say whether a strategy may open a position; ask before `submit_order`. Raises nothing."""
        try:
            verdict = self._client.current().check_entry(
                strategy_id,
                str(instrument_id),
                confidence=confidence,
                open_positions=open_positions,
                trades_today=trades_today,
                risk=risk,
            )
            return verdict.allowed is True
        except Exception:  # an error must never become an entry
            return False

    def _reduce(self) -> str:
        self._set(self._states.REDUCING)
        return "REDUCING"

    def _set(self, state: Any) -> None:
        if state != self._applied:
            self._engine.set_trading_state(state)
            self._applied = state
