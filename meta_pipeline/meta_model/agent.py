"""The agent: `decide` with a memory. Keeps the state between decisions, counts them, and logs them."""

from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.arbiter import ACCEPTANCE, MarketSnapshot, arbitrate
from meta_pipeline.meta_model.decide import decide
from meta_pipeline.meta_model.decision import Decision
from meta_pipeline.meta_model.decision_log import Question
from meta_pipeline.meta_model.decision_settings import DEFAULT_SETTINGS, DecisionSettings
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.state import FRESH, AgentState, advance, close_breaker
from meta_pipeline.meta_model.statistics import DecisionCounts

Log = Callable[[Question, Decision], None]


class MetaAgent:
    """A meta-model at work. Safe to share between threads.

    Parameters
    ----------
    model
        The trained model; None defers (or holds, failing closed) with the reason `model_not_loaded`.
    settings
        Thresholds and ways to fail.
    arbiter_acceptance
        Confidence from which the arbiter settles an escalated decision; None: there is no arbiter.
    state
        Where to go on from, after a restart.
    log
        Called with every question and its decision, in order, inside the agent's lock.
    """

    def __init__(
        self,
        model: MetaModel | None,
        settings: DecisionSettings = DEFAULT_SETTINGS,
        *,
        arbiter_acceptance: float | None = None,
        state: AgentState = FRESH,
        log: Log | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self._acceptance = ACCEPTANCE if arbiter_acceptance is None else arbiter_acceptance
        self._has_arbiter = arbiter_acceptance is not None
        self._state = state
        self._log = log
        self._counts = DecisionCounts()
        self._breaker_trips = 0
        self._lock = Lock()

    @property
    def state(self) -> AgentState:
        """The state after the latest decision; a value, safe to keep."""
        return self._state

    def decide(
        self,
        predictions: object,
        regime: object = None,
        *,
        symbol: str | None = None,
        market: MarketSnapshot | None = None,
    ) -> Decision:
        """Decide, remember, count and log. Arguments as of `decide`; `market` is for the arbiter."""
        with self._lock:
            before = self._state
            decision = decide(
                predictions, regime, model=self.model, settings=self.settings, symbol=symbol, state=before
            )
            if self._has_arbiter:
                decision = arbitrate(decision, market, acceptance=self._acceptance)
            self._state = advance(before, decision, self.settings)
            self._breaker_trips += self._state.breaker_open and not before.breaker_open
            self._counts.add(decision)
            if self._log is not None:
                acceptance = self._acceptance if self._has_arbiter and market is not None else None
                asked = Question(
                    predictions=predictions,
                    regime=regime,
                    symbol=symbol,
                    market=market if acceptance is not None else None,
                    acceptance=acceptance,
                    state=before,
                )
                self._log(asked, decision)
            return decision

    def predict(
        self, base_predictions: object, regime_info: object = None, symbol: str | None = None
    ) -> dict[str, JsonValue]:
        """Decide under the predecessor's signature, answering with exactly its documented keys."""
        return self.decide(base_predictions, regime_info, symbol=symbol).as_contract()

    def get_statistics(self) -> dict[str, JsonValue]:
        """Return the counters since the last reset, and the state of the model and the guards."""
        with self._lock:
            return {
                **self._counts.as_dict(),
                "model_ready": self.model is not None,
                "model_sha256": None if self.model is None else self.model.sha256,
                "meta_threshold": self.settings.meta_threshold,
                "consensus_threshold": self.settings.consensus_threshold,
                "max_override_rate": self.settings.max_override_rate,
                "recent_override_rate": self._state.override_rate(),
                "breaker_open": self._state.breaker_open,
                "breaker_trips": self._breaker_trips,
                "alarm": self._state.alarm,
                "adaptive_threshold": self._state.threshold,
            }

    def reset_statistics(self) -> None:
        """Set the counters to zero. Breaker and alarm are not statistics: they stay as they are."""
        with self._lock:
            self._counts = DecisionCounts()
            self._breaker_trips = 0

    def close_breaker(self) -> None:
        """Close a tripped breaker by hand."""
        with self._lock:
            self._state = close_breaker(self._state)

    def set_alarm(self, *, raised: bool) -> None:
        """Raise or clear the exchangeability alarm; raised, the model is not asked."""
        with self._lock:
            self._state = replace(self._state, alarm=raised)

    def set_threshold(self, threshold: float | None) -> None:
        """Set the adaptive threshold; None: none is kept."""
        with self._lock:
            self._state = replace(self._state, threshold=threshold)
