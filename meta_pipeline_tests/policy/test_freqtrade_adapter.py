"""The freqtrade adapter in a harness that treats it as freqtrade does, which is not imported.

Inside freqtrade itself: scripts/frameworks/check_freqtrade.py.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from meta_pipeline.policy.freqtrade_adapter import PolicyMixin
from meta_pipeline_tests.policy.documents import EXPIRY, World, document


def safe_wrapper(callback: Callable[..., Any], default: Any) -> Callable[..., Any]:
    """Call a strategy's callback as freqtrade does: whatever it raises, the default counts."""

    def call(**kwargs: Any) -> Any:
        try:
            return callback(**kwargs)
        except Exception:
            return default

    return call


class Bot(PolicyMixin):
    """A strategy without callbacks of its own."""

    policy_strategy_id = "A"
    stoploss = -0.10

    def __init__(self, policy: Any, *, open_positions: Any = 1, trades_today: Any = 3, confidence: Any = 0.8) -> None:
        self.policy = policy
        self.wallets = SimpleNamespace(get_total_stake_amount=lambda: 10_000.0)
        self.counts = open_positions, trades_today, confidence

    def policy_open_positions(self) -> Any:
        if isinstance(self.counts[0], Exception):
            raise self.counts[0]
        return self.counts[0]

    def policy_trades_today(self) -> Any:
        return self.counts[1]

    def policy_confidence(self, pair: str, entry_tag: str | None) -> Any:
        return self.counts[2]


ENTRY = {
    "pair": "X",
    "order_type": "limit",
    "amount": 5.0,
    "rate": 100.0,
    "time_in_force": "GTC",
    "current_time": None,
    "entry_tag": None,
    "side": "long",
}
STAKE = {
    "pair": "X",
    "current_time": None,
    "current_rate": 100.0,
    "proposed_stake": 2000.0,
    "min_stake": 10.0,
    "max_stake": 5000.0,
    "leverage": 1.0,
    "entry_tag": None,
    "side": "long",
}


def enters(bot: Any, **changes: Any) -> bool:
    answer: bool = safe_wrapper(bot.confirm_trade_entry, True)(**{**ENTRY, **changes})
    return answer


def stakes(bot: Any, **changes: Any) -> float:
    return float(safe_wrapper(bot.custom_stake_amount, STAKE["proposed_stake"])(**{**STAKE, **changes}))


def adjusts(bot: Any, wanted: Any, *, stake: Any = 100.0, min_stake: float | None = 10.0) -> Any:
    bot.wanted = wanted
    trade = SimpleNamespace(pair="X", enter_tag=None, stake_amount=stake)
    return safe_wrapper(bot.adjust_trade_position, None)(trade=trade, min_stake=min_stake)


def allowed() -> Any:
    return World().settled(document()).client


class Broken:
    def current(self) -> Any:
        raise RuntimeError("no policy for you")


def test_an_entry_within_the_policy_is_let_through_and_one_outside_is_not() -> None:
    assert enters(Bot(allowed())) is True
    assert enters(Bot(allowed()), amount=8.0) is False  # 0.8 % at risk
    assert enters(Bot(allowed(), open_positions=10)) is False
    assert enters(Bot(allowed(), confidence=0.5)) is False
    assert enters(Bot(World().client)) is False


@pytest.mark.parametrize(
    "bot", [Bot(Broken()), Bot(None), Bot(allowed(), open_positions=ValueError("db")), PolicyMixin()]
)
def test_what_fails_inside_a_callback_never_lets_a_trade_through(bot: Any) -> None:
    assert enters(bot) is False
    assert stakes(bot) == 0.0
    assert adjusts(bot, 100.0) is None


@pytest.mark.parametrize("unknown", [{"open_positions": None}, {"trades_today": None}, {"confidence": None}])
def test_what_is_not_known_allows_no_entry(unknown: dict[str, Any]) -> None:
    assert enters(Bot(allowed(), **unknown)) is False
    assert stakes(Bot(allowed(), **unknown)) == 0.0


def test_a_stake_is_cut_to_the_risk_per_trade_and_dropped_where_that_is_too_little() -> None:
    bot = Bot(allowed())
    assert stakes(bot) == pytest.approx(750.0)
    assert stakes(bot, proposed_stake=300.0) == 300.0
    assert stakes(bot, max_stake=100.0) == 100.0
    assert stakes(bot, min_stake=800.0) == 0.0
    assert stakes(Bot(World().client)) == 0.0
    assert stakes(Bot(World().settled(document()).after(EXPIRY).client)) == pytest.approx(300.0)


class Own:
    """A user's strategy with callbacks of its own."""

    wanted: Any = None

    def confirm_trade_entry(self, pair: str, order_type: str, **kwargs: Any) -> bool:
        if kwargs["entry_tag"] == "raise":
            raise RuntimeError("mine")
        return str(kwargs["entry_tag"]) != "no"

    def custom_stake_amount(self, pair: str, proposed_stake: float, **kwargs: Any) -> float:
        return proposed_stake / 10

    def adjust_trade_position(self, trade: Any, **kwargs: Any) -> Any:
        return self.wanted


class Both(Bot, Own):  # type: ignore[misc]  # freqtrade passes everything by name
    """The mixin first, then the strategy."""


def test_callbacks_of_the_strategy_are_asked_too_and_both_must_agree() -> None:
    bot = Both(allowed())
    assert enters(bot) is True
    assert enters(bot, entry_tag="no") is False
    assert enters(bot, entry_tag="raise") is False
    assert stakes(bot) == 200.0


def test_a_position_grows_only_if_an_entry_is_allowed_and_shrinks_always() -> None:
    assert adjusts(Both(allowed()), 100.0) == 100.0
    assert adjusts(Both(allowed(), open_positions=10), 100.0) == 100.0  # its own is one of the ten
    assert adjusts(Both(allowed(), open_positions=11), 100.0) is None
    assert adjusts(Both(World().client), (100.0, "tag")) is None
    assert adjusts(Both(World().client), -50.0) == -50.0
    assert adjusts(Both(Broken()), (-50.0, "out")) == (-50.0, "out")
    assert adjusts(Bot(allowed()), 100.0) is None


def test_what_a_position_has_already_at_risk_counts_when_it_grows() -> None:
    bot = Both(allowed())
    assert adjusts(bot, 100.0, stake=650.0) == 100.0  # 0.75 % in all
    assert adjusts(bot, 100.0, stake=651.0) is None
    assert adjusts(bot, 100.0, stake=None) is None
    assert adjusts(bot, 100.0, stake=float("nan")) is None
    assert adjusts(bot, 100.0, stake=600.0, min_stake=151.0) is None  # freqtrade would make it 151
    assert adjusts(bot, 100.0, stake=600.0, min_stake=None) == 100.0


def test_a_stake_is_cut_to_the_strategys_weight() -> None:
    half = World().settled(document(weights={"A": 0.25, "B": 0.5})).client
    assert stakes(Bot(half), proposed_stake=400.0) == 200.0
    none = World().settled(document(weights={"A": 0.0, "B": 0.5})).client
    assert stakes(Bot(none), proposed_stake=400.0) == 0.0
    assert enters(Bot(none), amount=0.1) is False


def test_leverage_counts_once_and_only_for_the_entry_that_was_sized_with_it() -> None:
    bot = Bot(allowed())
    assert stakes(bot, leverage=5.0) == pytest.approx(750.0)
    assert enters(bot, amount=37.5) is True  # 3,750 in the market on 750 of margin
    assert enters(bot, amount=38.0) is False
    assert enters(bot, amount=37.5, pair="Y") is False
    for unusable in (float("nan"), float("inf"), 0.0):
        stakes(bot, leverage=unusable)
        assert enters(bot, amount=37.5) is False


def waits_in_vain(bot: Any) -> Any:
    asked = {"pair": "X", "trade": None, "order": None, "current_time": None}
    return safe_wrapper(bot.check_entry_timeout, False)(**asked)


def test_an_entry_that_waits_for_its_price_is_given_up_when_the_book_is_halted() -> None:
    halt = {"active": True, "by": "a", "reason": "b", "since": None}
    halted = World().settled(document()).given(document(2, halt=halt)).client
    assert waits_in_vain(Bot(halted)) is True
    assert waits_in_vain(Bot(allowed())) is False
    assert waits_in_vain(Bot(Broken())) is False


def test_a_strategy_that_hides_the_mixin_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="Careless hides confirm_trade_entry of PolicyMixin"):

        class Careless(PolicyMixin):
            def confirm_trade_entry(self, *_: Any, **__: Any) -> bool:
                return True

    with pytest.raises(TypeError, match="hides confirm_trade_entry, custom_stake_amount, adjust_trade_position"):

        class Reversed(Own, PolicyMixin):  # type: ignore[misc]
            """The mixin last: nobody would ask it."""
