"""The limits of each risk mode, as documented.

The predecessor's code had 8 and 20 positions where its document says 4 and 15; the document stands.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.policy.modes import RiskMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What executors may do at most.

    Parameters
    ----------
    max_risk_per_trade
        Money at risk per trade, as a fraction of the equity.
    min_confidence
        A signal below this is not traded, 0..1.
    max_positions
        Open positions of the whole book.
    max_daily_trades
        New trades per UTC day.
    max_slippage
        As a fraction of the price.
    """

    max_risk_per_trade: float
    min_confidence: float
    max_positions: int
    max_daily_trades: int
    max_slippage: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the limits as a JSON object."""
        return asdict(self)


LIMITS: Final[Mapping[RiskMode, Limits]] = MappingProxyType(
    {
        RiskMode.DEFENSIVE: Limits(
            max_risk_per_trade=0.003, min_confidence=0.70, max_positions=4, max_daily_trades=10, max_slippage=0.001
        ),
        RiskMode.NORMAL: Limits(
            max_risk_per_trade=0.0075, min_confidence=0.60, max_positions=10, max_daily_trades=30, max_slippage=0.002
        ),
        RiskMode.AGGRESSIVE: Limits(
            max_risk_per_trade=0.015, min_confidence=0.50, max_positions=15, max_daily_trades=50, max_slippage=0.003
        ),
    }
)
