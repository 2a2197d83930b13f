"""The policy inside a freqtrade strategy. Imports neither freqtrade nor this package: copy it beside the client.

freqtrade calls a strategy's callbacks through a wrapper that swallows exceptions and goes on with a default, and the
defaults let trades through: `confirm_trade_entry` counts as True, `custom_stake_amount` as the proposed stake,
`adjust_trade_position` as "no objection". So nothing here may raise, and whatever fails answers "no".

    class MyStrategy(PolicyMixin, Mine):               # Mine: your IStrategy, with its callbacks
        policy = client.start()
        policy_strategy_id = "TREND"

        def policy_open_positions(self): return Trade.get_open_trade_count()
        def policy_trades_today(self): return ...
        def policy_confidence(self, pair, entry_tag): return ...

List `PolicyMixin` first, and add no callback of these names in the class itself, which would hide the mixin's: such a
class is refused when it is defined. Those of the classes after the mixin are asked too, and both must agree. Exits
(`confirm_trade_exit` and the like) are not touched.
"""

import math
from contextlib import suppress
from typing import Any

ASKED = ("confirm_trade_entry", "custom_stake_amount", "adjust_trade_position", "check_entry_timeout")


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
    _policy_leverage: tuple[str, float] = ("", 1.0)  # of the entry that is being sized: pair, leverage

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a strategy in which a callback would never reach the policy.

        Raises
        ------
        TypeError
            If one of the callbacks is not the mixin's.
        """
        super().__init_subclass__(**options)
        hidden = [name for name in ASKED if getattr(cls, name) is not getattr(PolicyMixin, name)]
        if hidden:
            raise TypeError(
                f"{cls.__name__} hides {', '.join(hidden)} of PolicyMixin, and would trade without asking the policy; "
                "move your own into a class of its own, and list that after PolicyMixin"
            )

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
        """Return the money at risk by a stake (the margin, without leverage), as a fraction of the equity.

        As it stands: the stake times the strategy's `stoploss`, which freqtrade counts on the stake, over the total of
        the wallet. None where that cannot be said.
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
            sized, leverage = self._policy_leverage
            stake = float(amount) * float(rate) / (leverage if sized == pair else 1.0)
            if not self._policy_allows(pair, stake, entry_tag):
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
        """Return a stake within the risk per trade and the weights of the policy; 0, no trade, if none is."""
        try:
            self._policy_leverage = (pair, max(float(leverage), 1.0) if leverage < math.inf else 1.0)
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
        """Return what the strategy's own callback wants, but an increase only if the policy allows an entry of it all.

        freqtrade asks nobody else before it adds to a position, and raises what is less than `min_stake` to that.
        """
        try:
            own = getattr(super(), "adjust_trade_position", None)
            wanted = None if own is None else own(trade, *args, **kwargs)
            change = wanted[0] if isinstance(wanted, tuple) else wanted
            if change is None or not float(change) > 0:
                return wanted  # nothing, or less of it: exits are always allowed
            stake = float(trade.stake_amount) + max(float(change), float(kwargs.get("min_stake") or 0.0))
            tag = getattr(trade, "enter_tag", None)
            return wanted if self._policy_allows(str(trade.pair), stake, tag, growing=True) else None
        except Exception:  # unknown is no reason to buy more
            return None

    def check_entry_timeout(self, pair: str, trade: Any, order: Any, current_time: Any, **kwargs: Any) -> bool:
        """Give an entry up that still waits for its price when the book is halted; else as the strategy wants."""
        with suppress(Exception):  # what cannot be asked is no halt: the entry was allowed when it was made
            if self.policy.current().halted is True:
                return True
        own = getattr(super(), "check_entry_timeout", None)
        return bool(own(pair=pair, trade=trade, order=order, current_time=current_time, **kwargs)) if own else False

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
        stake *= float(decision.size_factor(self.policy_strategy_id))
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
