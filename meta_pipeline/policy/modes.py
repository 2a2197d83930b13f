"""The words of the policy: risk modes, market regimes, volatility levels, and the reasons of a decision.

Belongs here: names and their order. Does not belong here: thresholds (risk_mode, classic) and limits (parameters).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from meta_pipeline.canonical import JsonValue


class RiskMode(StrEnum):
    """How much risk is allowed. The order is DEFENSIVE < NORMAL < AGGRESSIVE."""

    DEFENSIVE = "DEFENSIVE"
    NORMAL = "NORMAL"
    AGGRESSIVE = "AGGRESSIVE"

    @property
    def rank(self) -> int:
        """0 for DEFENSIVE, 1 for NORMAL, 2 for AGGRESSIVE."""
        return _RANKS[self]

    def one_up(self) -> "RiskMode":
        """Return the next looser mode; AGGRESSIVE stays."""
        return _BY_RANK[min(self.rank + 1, 2)]

    def one_down(self) -> "RiskMode":
        """Return the next tighter mode; DEFENSIVE stays."""
        return _BY_RANK[max(self.rank - 1, 0)]


_BY_RANK = (RiskMode.DEFENSIVE, RiskMode.NORMAL, RiskMode.AGGRESSIVE)
_RANKS = {mode: rank for rank, mode in enumerate(_BY_RANK)}


def tightest(modes: Iterable[RiskMode]) -> RiskMode:
    """Return the tightest of some modes; of none, DEFENSIVE."""
    return min(modes, key=lambda mode: mode.rank, default=RiskMode.DEFENSIVE)


class Regime(StrEnum):
    """What the market does."""

    BULL_TRENDING = "BULL_TRENDING"
    BEAR_TRENDING = "BEAR_TRENDING"
    RANGING = "RANGING"
    CHOPPY = "CHOPPY"
    VOLATILE = "VOLATILE"
    LOW_LIQUIDITY = "LOW_LIQUIDITY"


class Volatility(StrEnum):
    """How much the market moves, against its own past."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    EXTREME = "EXTREME"


class Profile(StrEnum):
    """Which rules decide: the predecessor's documented ones, or ours."""

    DEFAULT = "default"
    CLASSIC = "classic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason of a decision: a stable code for machines, a sentence for people."""

    code: str
    text: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the reason as a JSON object."""
        return {"code": self.code, "text": self.text}
