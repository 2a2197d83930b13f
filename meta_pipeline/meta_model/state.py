"""What one decision leaves behind for the next: the circuit breaker's window, the alarm, the adaptive threshold.

The state is a value: `decide` reads it, `advance` makes the next one, and a log that holds it replays exactly.
"""

from dataclasses import dataclass, replace
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.decision import Decision, Outcome
from meta_pipeline.meta_model.decision_settings import DecisionSettings

BREAKER_REASON: Final = "override_breaker_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """State between decisions.

    Parameters
    ----------
    n_recent
        Decisions in the window so far, at most the settings' `breaker_window`.
    overrides
        The window itself, one bit per decision, the latest lowest, set where it was an override.
    open_for
        Decisions for which the tripped breaker stays open; 0 is closed.
    alarm
        Whether the exchangeability alarm is raised: the model is not trusted then.
    threshold
        Adaptive threshold, 0..1 or above; None where none is kept.
    """

    n_recent: int = 0
    overrides: int = 0
    open_for: int = 0
    alarm: bool = False
    threshold: float | None = None

    @property
    def breaker_open(self) -> bool:
        """Whether the breaker has tripped and not yet closed again."""
        return self.open_for > 0

    def override_rate(self) -> float:
        """Return the share of overrides among the recent decisions, 0 where there are none."""
        return self.overrides.bit_count() / self.n_recent if self.n_recent else 0.0

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the state, ready for JSON. The window is hexadecimal, as it is longer than a JSON number."""
        return {
            "n_recent": self.n_recent,
            "overrides": f"{self.overrides:x}",
            "open_for": self.open_for,
            "alarm": self.alarm,
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, value: object) -> "AgentState":
        """Read what `as_dict` wrote.

        Raises
        ------
        InputError
            If a field is missing or has another type.
        """
        try:
            assert isinstance(value, dict)
            threshold = value["threshold"]
            return cls(
                n_recent=int(value["n_recent"]),
                overrides=int(value["overrides"], 16),
                open_for=int(value["open_for"]),
                alarm=bool(value["alarm"]),
                threshold=None if threshold is None else float(threshold),
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"state {value!r} cannot be read ({error!r}); it must be as written in the log") from error


FRESH: Final = AgentState()
"""The state before any decision."""


def would_trip(state: AgentState, settings: DecisionSettings) -> bool:
    """Say whether one more override would put the rate above its bound.

    Asked before the override, so that the bound holds in every window and is not merely noticed afterwards.
    """
    n, kept = _shifted(state, settings)
    return kept.bit_count() + 1 > settings.max_override_rate * max(n, settings.breaker_minimum)


def advance(state: AgentState, decision: Decision, settings: DecisionSettings) -> AgentState:
    """Return the state after a decision."""
    n, kept = _shifted(state, settings)
    overrides = kept | (decision.outcome is Outcome.OVERRIDE)
    open_for = max(state.open_for - 1, 0)
    if decision.reason == BREAKER_REASON and not state.breaker_open:
        open_for = settings.breaker_cooldown
    # The window goes on while the breaker is open, so that the bound holds in every window, also in one that
    # spans the cooldown.
    return replace(state, n_recent=n, overrides=overrides, open_for=open_for)


def close_breaker(state: AgentState) -> AgentState:
    """Close the breaker by hand and forget its window."""
    return replace(state, open_for=0, n_recent=0, overrides=0)


def _shifted(state: AgentState, settings: DecisionSettings) -> tuple[int, int]:
    """Make room for one decision in the window: how many it then holds, and which of them were overrides."""
    window = settings.breaker_window
    return min(state.n_recent + 1, window), (state.overrides << 1) & ((1 << window) - 1)
