"""The agent: statistics under their documented names, the breaker's memory, the log and its replay."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model import (
    AgentState,
    Decision,
    DecisionSettings,
    MetaAgent,
    MetaModel,
    Outcome,
    advance,
    decide,
)
from meta_pipeline.meta_model.arbiter import MarketSnapshot
from meta_pipeline.meta_model.decision_log import Question, decision_line, header_line, logged_model, replay
from meta_pipeline.meta_model.predecessor_environment import read_environment
from meta_pipeline_tests.meta_model.builders import SPLIT, model_saying, random_model, votes
from meta_pipeline_tests.meta_model.test_decide import anything

SURE_OF_SELL = model_saying(0.8, 0.1, 0.1)
UNSURE = model_saying(0.4, 0.35, 0.25)


def logging_agent(model: MetaModel | None, settings: DecisionSettings) -> tuple[MetaAgent, list[str]]:
    lines = [header_line(settings, model)]

    def log(question: Question, decision: Decision) -> None:
        lines.append(decision_line(question, decision))

    return MetaAgent(model, settings, log=log, arbiter_acceptance=0.7), lines


class TestStatistics:
    def test_they_count_under_the_documented_names(self) -> None:
        agent = MetaAgent(UNSURE, DecisionSettings(meta_threshold=0.5))
        agent.decide(votes("BUY BUY BUY BUY"))
        agent.decide(votes("SELL SELL SELL SELL"))
        agent.decide(votes(SPLIT))
        agent.decide({**votes(SPLIT), "xgb": {"action": "CLOSE"}})
        agent.decide({})
        figures = agent.get_statistics()
        assert figures["total_predictions"] == 5
        assert figures["meta_overrides"] == 0
        assert figures["override_rate"] == 0.0
        assert figures["rejected_votes"] == 1
        assert figures["fallback_reasons"] == {"low_meta_confidence": 2, "no_predictions": 1, "strong_consensus": 2}
        assert figures["model_ready"] is True
        assert (figures["meta_threshold"], figures["consensus_threshold"]) == (0.5, 0.75)

    def test_overrides_are_overrides_and_escalations_are_not(self) -> None:
        agent = MetaAgent(SURE_OF_SELL)
        agent.decide(votes(SPLIT))
        agent.decide(votes("BUY BUY BUY BUY"))
        assert agent.get_statistics()["override_rate"] == 0.5
        escalating = MetaAgent(UNSURE, DecisionSettings(escalate=True))
        escalating.decide(votes(SPLIT))
        figures = escalating.get_statistics()
        assert (figures["meta_overrides"], figures["escalations"]) == (0, 1)
        assert figures["fallback_reasons"] == {"high_disagreement": 1}

    def test_a_missing_model_is_counted(self) -> None:
        agent = MetaAgent(None)
        agent.decide(votes(SPLIT))
        figures = agent.get_statistics()
        assert (figures["model_ready"], figures["fallback_reasons"]) == (False, {"model_not_loaded": 1})

    def test_a_reset_clears_the_counts_and_neither_breaker_nor_alarm(self) -> None:
        agent = MetaAgent(SURE_OF_SELL, DecisionSettings(max_override_rate=0.0))
        agent.decide(votes(SPLIT))
        agent.set_alarm(raised=True)
        agent.reset_statistics()
        figures = agent.get_statistics()
        assert (figures["total_predictions"], figures["fallback_reasons"], figures["breaker_trips"]) == (0, {}, 0)
        assert (figures["breaker_open"], figures["alarm"]) == (True, True)

    def test_threads_lose_no_count(self) -> None:
        agent = MetaAgent(UNSURE)

        def ask() -> None:
            for _ in range(200):
                agent.decide(votes(SPLIT))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert agent.get_statistics()["total_predictions"] == 800


class TestBreaker:
    def test_it_closes_after_its_cooldown_when_the_window_has_room_again(self) -> None:
        settings = DecisionSettings(max_override_rate=0.1, breaker_minimum=20, breaker_window=20, breaker_cooldown=30)
        agent = MetaAgent(SURE_OF_SELL, settings)
        reasons = [agent.decide(votes(SPLIT)).reason for _ in range(40)]
        # two of twenty may override; the third trips it, for that decision and the thirty after it
        assert reasons[:2] == ["meta_override_sell"] * 2
        assert reasons[2:33] == ["override_breaker_open"] * 31
        assert reasons[33:35] == ["meta_override_sell"] * 2

    def test_it_can_be_closed_by_hand(self) -> None:
        agent = MetaAgent(SURE_OF_SELL, DecisionSettings(max_override_rate=0.02, breaker_minimum=50))
        assert [agent.decide(votes(SPLIT)).use_meta for _ in range(3)] == [True, False, False]
        agent.close_breaker()
        assert agent.decide(votes(SPLIT)).use_meta

    @given(
        st.lists(st.booleans(), max_size=120), st.floats(0, 1), st.integers(5, 40), st.integers(1, 5), st.integers(1, 9)
    )
    def test_no_window_ever_holds_more_overrides_than_the_bound(
        self, wishes: list[bool], bound: float, window: int, minimum: int, cooldown: int
    ) -> None:
        settings = DecisionSettings(
            max_override_rate=bound, breaker_window=window, breaker_minimum=minimum, breaker_cooldown=cooldown
        )
        state, done = AgentState(), []
        for wish in wishes:
            decision = decide(
                votes(SPLIT if wish else "BUY BUY BUY BUY"), model=SURE_OF_SELL, settings=settings, state=state
            )
            state = advance(state, decision, settings)
            done.append(decision.use_meta)
            assert AgentState.from_dict(state.as_dict()) == state
        for end in range(1, len(done) + 1):
            recent = done[max(0, end - window) : end]
            assert sum(recent) <= bound * max(len(recent), minimum)


class TestAlarmAndThreshold:
    def test_the_alarm_and_the_adaptive_threshold_take_effect_at_once(self) -> None:
        agent = MetaAgent(SURE_OF_SELL)
        agent.set_threshold(0.95)
        assert agent.decide(votes(SPLIT)).reason == "meta_low_confidence_0.80"
        agent.set_threshold(None)
        agent.set_alarm(raised=True)
        assert agent.decide(votes(SPLIT)).reason == "exchangeability_alarm"
        agent.set_alarm(raised=False)
        assert agent.decide(votes(SPLIT)).use_meta


class TestLog:
    def test_a_log_of_ordinary_decisions_replays_byte_for_byte(self) -> None:
        rng = np.random.default_rng(5)
        model, settings = random_model(7), DecisionSettings(meta_threshold=0.5, escalate=True, max_override_rate=0.2)
        agent, lines = logging_agent(model, settings)
        snapshot = MarketSnapshot(
            rsi=5, macd=1, macd_signal=0, average_true_range=1, bollinger_position=0, volume_ratio=3, momentum=0.05
        )
        for _ in range(300):
            ballot = votes(" ".join(rng.choice(["SELL", "HOLD", "BUY"], 4)), [float(c) for c in rng.uniform(0, 1, 4)])
            regime = {"volatility": float(rng.uniform()), "trend_strength": float(rng.uniform(-1, 1))}
            agent.decide(ballot, regime, symbol="BTCUSDT", market=snapshot if rng.uniform() < 0.5 else None)
        report = replay([line + "\n" for line in lines], model)
        assert report.identical
        assert report.n_decisions == 300
        reasons = agent.get_statistics()["fallback_reasons"]
        assert isinstance(reasons, dict)
        assert {"override_breaker_open", "strong_consensus", "arbiter_buy"} <= set(reasons)

    @given(anything, anything, st.text(max_size=5))
    def test_whatever_was_asked_replays(self, ballot: object, regime: object, symbol: str) -> None:
        settings = DecisionSettings(meta_threshold=0.3, fail_open=False)
        agent, lines = logging_agent(random_model(), settings)
        agent.decide(ballot, regime, symbol=symbol)
        agent.decide({"xgb": object(), 3: 4, "lgbm": {"action": "BUY", "confidence": np.float32(0.3)}}, b"bytes")
        agent.decide({"xgb": {"$float": "nan"}, "lgbm": {"action": "BUY", "confidence": 10**400}, "n\n": 1})
        assert replay(lines, random_model()).first_difference is None

    def test_a_changed_line_is_found(self) -> None:
        agent, lines = logging_agent(SURE_OF_SELL, DecisionSettings())
        for _ in range(3):
            agent.decide(votes(SPLIT))
        lines[2] = lines[2].replace('"action":"SELL"', '"action":"HOLD"', 1)
        report = replay(lines, SURE_OF_SELL)
        assert report.differing_lines == (3,)
        assert not report.identical

    def test_a_log_says_which_model_it_needs_and_refuses_another(self) -> None:
        _, lines = logging_agent(SURE_OF_SELL, DecisionSettings())
        assert logged_model(lines[0]) == SURE_OF_SELL.sha256
        with pytest.raises(InputError, match="was written with model"):
            replay(lines, random_model())
        with pytest.raises(InputError, match="was written with model"):
            replay(lines, None)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ([], "is empty"),
            (["{}"], "not the header"),
            (["not json"], "not the header"),
            (['{"log_version":9,"settings":{},"model_sha256":null}'], "not the header"),
            (['{"log_version":1,"settings":{},"model_sha256":null}'], "too many or too few"),
        ],
    )
    def test_what_is_no_log_is_refused(self, lines: list[str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            replay(lines, None)

    def test_a_broken_line_is_named_by_its_number(self) -> None:
        agent, lines = logging_agent(None, DecisionSettings())
        agent.decide(votes(SPLIT))
        with pytest.raises(InputError, match="line 2 of the decision log"):
            replay([lines[0], lines[1][:50]], None)


class TestPredecessorEnvironment:
    def test_unset_it_is_the_documented_defaults(self) -> None:
        read = read_environment({})
        assert (read.enabled, read.meta_threshold, read.fail_open) == (False, 0.65, True)
        assert (read.model_dir, read.arbiter_acceptance) == (None, None)
        assert decide(votes(SPLIT), model=SURE_OF_SELL, settings=read.settings()).reason == "meta_disabled"

    def test_every_variable_takes_effect(self) -> None:
        read = read_environment(
            {
                "META_AGENT_ENABLED": "TRUE",
                "META_OVERRIDE_THRESHOLD": "0.85",
                "META_FAIL_OPEN": "false",
                "META_V2_MODEL_DIR": "models/here",
                "ARBITER_ENABLED": "1",
                "ARBITER_THRESHOLD": "0.8",
            }
        )
        assert read.model_dir is not None
        assert (read.model_dir.as_posix(), read.arbiter_acceptance) == ("models/here", 0.8)
        settings = read.settings()
        assert decide(votes(SPLIT), model=SURE_OF_SELL, settings=settings).outcome is Outcome.ESCALATE
        assert decide(votes(SPLIT), model=model_saying(0.9, 0.05, 0.05), settings=settings).use_meta
        closed = decide(votes(SPLIT), model=None, settings=replace(settings, escalate=False))
        assert (closed.action, closed.reason) == ("HOLD", "model_not_loaded")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("META_AGENT_ENABLED", "maybe"),
            ("META_OVERRIDE_THRESHOLD", "high"),
            ("META_OVERRIDE_THRESHOLD", "65"),
            ("META_FAIL_OPEN", "2"),
        ],
    )
    def test_a_value_that_cannot_be_read_is_refused_by_name(self, name: str, value: str) -> None:
        with pytest.raises(InputError, match=f"{name} is '{value}'"):
            read_environment({name: value})
