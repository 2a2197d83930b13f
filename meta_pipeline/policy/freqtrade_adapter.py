"""The policy inside a freqtrade strategy. Imports neither freqtrade nor this package: copy it beside the client.

freqtrade calls a strategy's callbacks through a wrapper that swallows exceptions and goes on with a default, and the
defaults let trades through: `confirm_trade_entry` counts as True, `custom_stake_amount` as the proposed stake,
`adjust_trade_position` as "no objection". So nothing here may raise, and whatever fails answers "no".

    class MyStrategy(PolicyMixin, IStrategy):
        policy = client.start()
        policy_strategy_id = "TREND"

        def policy_open_positions(self): return Trade.get_open_trade_count()
        def policy_trades_today(self): return ...
        def policy_confidence(self, pair, entry_tag): return ...

List `PolicyMixin` first; callbacks of your own that are defined further on are asked too, and both must agree. Exits
(`confirm_trade_exit` and the like) are not touched.
"""

from typing import Any


class PolicyMixin:
    """Asks the policy before every entry, sizes it within the limits, and lets a position grow only if allowed.

    Attributes
    ----------
    policy
        A `PolicyClient`; anything with `current()`.
    policy_strategy_id
        The strategy's id in the policy.
    """

    policy: Any = None
    policy_strategy_id: str = ""

    def policy_open_positions(self) -> int | None:
        """Return the open positions of the whole book; None where not known, which allows no entry."""
        return None

    def policy_trades_today(self) -> int | None:
        """Return the trades opened since 00:00 UTC; None where not known, which allows no entry."""
        return None

    def policy_confidence(self, pair: str, entry_tag: str | None) -> float | None:  # noqa: ARG002
        """Return the confidence of the signal, 0..1; None where not known, which allows no entry."""
        return None

    def policy_risk(self, pair: str, stake: float) -> float | None:  # noqa: ARG002
        """Return the money at risk by a stake, as a fraction of the equity.

        As it stands: the stake times the strategy's `stoploss`, over the total of the wallet. None where that cannot
        be said.
        """
        total = float(self.wallets.get_total_stake_amount())  # type: ignore[attr-defined]
        return abs(float(self.stoploss)) * float(stake) / total if total > 0 else None  # type: ignore[attr-defined]

    def confirm_trade_entry(
        self,
        pair: str,
        order_type: str,
        amount: float,
        rate: float,
        time_in_force: str,
        current_time: Any,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> bool:
        """Let an entry through if the policy allows it, and the strategy's own callback, if there is one, too."""
        try:
            if not self._policy_allows(pair, float(amount) * float(rate), entry_tag):
                return False
            own = getattr(super(), "confirm_trade_entry", None)
            if own is None:
                return True
            said = own(
                pair=pair,
                order_type=order_type,
                amount=amount,
                rate=rate,
                time_in_force=time_in_force,
                current_time=current_time,
                entry_tag=entry_tag,
                side=side,
                **kwargs,
            )
            return said is True
        except Exception:  # freqtrade would take an exception for a yes
            return False

    def custom_stake_amount(
        self,
        pair: str,
        current_time: Any,
        current_rate: float,
        proposed_stake: float,
        min_stake: float | None,
        max_stake: float,
        leverage: float,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> float:
        """Return a stake within the risk per trade of the policy; 0, which freqtrade takes for no trade, if none."""
        try:
            stake = proposed_stake
            own = getattr(super(), "custom_stake_amount", None)
            if own is not None:
                stake = own(
                    pair=pair,
                    current_time=current_time,
                    current_rate=current_rate,
                    proposed_stake=proposed_stake,
                    min_stake=min_stake,
                    max_stake=max_stake,
                    leverage=leverage,
                    entry_tag=entry_tag,
                    side=side,
                    **kwargs,
                )
            return self._policy_stake(pair, float(stake), min_stake, float(max_stake), entry_tag)
        except Exception:  # freqtrade would take the proposed stake
            return 0.0

    def adjust_trade_position(self, trade: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the strategy's own callback wants, but an increase only if the policy allows an entry."""
        try:
            own = getattr(super(), "adjust_trade_position", None)
            wanted = None if own is None else own(trade, *args, **kwargs)
            change = wanted[0] if isinstance(wanted, tuple) else wanted
            if change is None or not float(change) > 0:
                return wanted  # nothing, or less of it: exits are always allowed
            tag = getattr(trade, "enter_tag", None)
            return wanted if self._policy_allows(str(trade.pair), float(change), tag, growing=True) else None
        except Exception:  # unknown is no reason to buy more
            return None

    def _policy_allows(self, pair: str, stake: float, entry_tag: str | None, *, growing: bool = False) -> bool:
        open_positions = self.policy_open_positions()
        if growing and open_positions is not None:
            open_positions -= 1  # its own position is among them
        verdict = self.policy.current().check_entry(
            self.policy_strategy_id,
            pair,
            confidence=self.policy_confidence(pair, entry_tag),
            open_positions=open_positions,
            trades_today=self.policy_trades_today(),
            risk=self.policy_risk(pair, stake),
        )
        return bool(verdict.allowed)

    def _policy_stake(
        self, pair: str, stake: float, min_stake: float | None, max_stake: float, entry_tag: str | None
    ) -> float:
        decision = self.policy.current()
        risk = self.policy_risk(pair, stake)
        if risk is None or not stake > 0 or not risk >= 0:
            return 0.0
        allowed = float(decision.limits["max_risk_per_trade"])
        if risk > allowed:
            stake *= allowed / risk * (1.0 - 1e-9)
        stake = min(stake, max_stake)
        if min_stake is not None and stake < min_stake:
            return 0.0
        return stake if self._policy_allows(pair, stake, entry_tag) else 0.0
