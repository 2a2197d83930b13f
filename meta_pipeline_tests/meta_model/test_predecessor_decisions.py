"""The inputs that broke the predecessor's agent, by their ids (M1 to M14, M19, M21 to M23), and what they give now.

M15 to M18 and M20 are about stored models: test_artifact.
"""

import itertools
import socket
import sys
from typing import Any

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model import AgentState, DecisionSettings, MetaAgent, Outcome, decide
from meta_pipeline.meta_model.actions import BUY, HOLD
from meta_pipeline.meta_model.arbiter import MarketSnapshot, arbitrate, judge
from meta_pipeline_tests.meta_model.builders import (
    MODELS,
    SPLIT,
    Votes,
    global_generator,
    mirrored,
    model_saying,
    random_model,
    swapped,
    votes,
)

SURE_OF_SELL = model_saying(0.8, 0.1, 0.1)
SURE_OF_BUY = model_saying(0.1, 0.1, 0.8)
CLOSED = DecisionSettings(fail_open=False)


def market(**changes: float) -> MarketSnapshot:
    calm: dict[str, float] = {
        "rsi": 50.0,
        "macd": 0.0,
        "macd_signal": 0.0,
        "average_true_range": 1.0,
        "bollinger_position": 0.5,
        "volume_ratio": 1.0,
        "momentum": 0.0,
    }
    return MarketSnapshot(**{**calm, **changes})


def test_M1_the_model_is_asked_whenever_consensus_fails() -> None:
    asked = 0
    for actions in itertools.product(("SELL", "HOLD", "BUY"), repeat=4):
        for confidence in (0.3, 0.5, 0.7, 0.9):
            decision = decide(votes(" ".join(actions), confidence), model=SURE_OF_SELL)
            agreed = max(actions.count(action) for action in actions) >= 3
            assert decision.reason.startswith("strong_consensus" if agreed else "meta_override")
            asked += decision.use_meta
    # 81 ballots, 27 of which have three or four equal votes (3 unanimous, 24 of three): 54 at four confidences
    assert asked == 54 * 4


def test_M2_no_predictions_hold() -> None:
    for nothing in ({}, None, {"xgb": None}):
        decision = decide(nothing, model=SURE_OF_SELL)
        assert (decision.action, decision.confidence, decision.reason) == ("HOLD", 0.0, "no_predictions")
        assert decision.base_ensemble_action == "HOLD"


def test_M3_one_faint_vote_is_no_consensus() -> None:
    decision = decide(votes("BUY - - -", [0.01, 0, 0, 0]), model=SURE_OF_BUY)
    assert (decision.action, decision.reason) == ("HOLD", "quorum_not_met")
    faint = decide(votes("BUY BUY BUY BUY", 0.01), model=SURE_OF_BUY)
    assert faint.reason == "strong_consensus_buy"
    assert faint.confidence == pytest.approx(0.01)


def test_M4_votes_without_confidence_do_not_outvote_one_that_has_it() -> None:
    decision = decide(votes("SELL SELL SELL BUY", [0.0, 0.0, 0.0, 0.99]), model=None)
    assert decision.base_ensemble_action == "BUY"
    asked = decide(votes("SELL SELL SELL BUY", [0.0, 0.0, 0.0, 0.99]), model=SURE_OF_SELL)
    assert not asked.reason.startswith("strong_consensus")
    assert decide(votes("SELL SELL SELL SELL", 0.0), model=SURE_OF_BUY).consensus_strength is None


def test_M5_a_tie_is_hold_and_swapping_the_votes_swaps_the_answer() -> None:
    two = DecisionSettings(quorum=2, weights=(1, 1, 1, 1))
    tie = votes("BUY SELL - -", 0.8)
    assert decide(tie, model=None, settings=two).base_ensemble_action == "HOLD"
    assert decide(swapped(tie), model=None, settings=two).base_ensemble_action == "HOLD"
    for actions in itertools.product(("SELL", "HOLD", "BUY"), repeat=4):
        ballot = votes(" ".join(actions), [0.9, 0.8, 0.7, 0.6])
        one, other = decide(ballot, model=SURE_OF_BUY), decide(swapped(ballot), model=mirrored(SURE_OF_BUY))
        assert other.action == {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}[one.action]


def test_M6_actions_are_normalised_and_unknown_ones_rejected() -> None:
    decision = decide(votes("buy Sell CLOSE BUY"), model=SURE_OF_SELL)
    assert decision.rejected == (("nhits", "unknown_action"),)
    assert decision.use_meta
    assert decide(votes("buy buy BUY  Buy"), model=None).base_ensemble_action == "BUY"


@pytest.mark.parametrize(
    ("confidence", "reason"),
    [
        (None, "confidence_not_a_number"),
        (float("nan"), "confidence_not_a_number"),
        ("0.7", "confidence_not_a_number"),
        (True, "confidence_not_a_number"),
        (70.0, "confidence_out_of_range"),
        (-3, "confidence_out_of_range"),
        (float("inf"), "confidence_out_of_range"),
        (10**400, "confidence_out_of_range"),
    ],
)
def test_M7_a_vote_with_an_impossible_confidence_is_rejected(confidence: Any, reason: str) -> None:
    ballot = votes("SELL BUY BUY HOLD", [confidence, 0.9, 0.9, 0.6])
    decision = decide(ballot, model=model_saying(0.4, 0.35, 0.25))
    assert decision.rejected == (("xgb", reason),)
    assert dict(decision.guards)["votes"] == "flagged"
    # lgbm .25 and nhits .30 at 0.9, of 0.75 of the weight
    assert decision.action == "BUY"
    assert decision.confidence == pytest.approx(0.9 * 0.55 / 0.75)


def test_M8_only_registered_models_vote() -> None:
    ballot = {**votes("BUY BUY BUY", 0.2, models=("foo", "bar", "baz")), **votes("SELL - - -", [0.99, 0, 0, 0])}
    decision = decide(ballot, model=SURE_OF_BUY)
    assert (decision.action, decision.reason) == ("HOLD", "quorum_not_met")
    assert decision.rejected == tuple((name, "unregistered_model") for name in ("bar", "baz", "foo"))


def test_M9_the_threshold_binds_and_the_override_rate_falls_with_it() -> None:
    rng = np.random.default_rng(9)
    questions: list[tuple[Votes, dict[str, float]]] = [
        (
            votes(" ".join(rng.choice(["SELL", "HOLD", "BUY"], 4)), [float(c) for c in rng.uniform(0, 1, 4)]),
            {"volatility": float(rng.uniform()), "trend_strength": float(rng.uniform(-1, 1))},
        )
        for _ in range(300)
    ]
    rates = []
    for threshold in (0.0, 0.4, 0.65, 0.9, 1.0):
        settings = DecisionSettings(meta_threshold=threshold)
        overrides = [decide(b, r, model=random_model(3), settings=settings).use_meta for b, r in questions]
        rates.append(sum(overrides) / len(overrides))
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)
    assert rates[-1] == 0.0


@pytest.mark.parametrize("bound", [0.01, 0.10, 0.40])
def test_M10_the_breaker_trips_at_its_bound_and_says_so(bound: float) -> None:
    agent = MetaAgent(SURE_OF_SELL, DecisionSettings(max_override_rate=bound, breaker_cooldown=20))
    decisions = [agent.decide(votes(SPLIT)) for _ in range(100)]
    for end in range(1, 101):
        recent = decisions[max(0, end - 200) : end]
        assert sum(decision.use_meta for decision in recent) <= bound * max(len(recent), 50)
    tripped = [decision for decision in decisions if decision.reason == "override_breaker_open"]
    assert tripped
    assert all(decision.action == "BUY" for decision in tripped)
    figures = agent.get_statistics()
    assert figures["breaker_trips"] in range(1, 100)
    assert figures["fallback_reasons"] == {"override_breaker_open": len(tripped)}


def test_M11_fail_closed_holds_where_fail_open_defers() -> None:
    opened = decide(votes(SPLIT), model=None)
    closed = decide(votes(SPLIT), model=None, settings=CLOSED)
    assert opened.action == "BUY"
    assert opened.confidence == pytest.approx(0.27)
    assert (closed.action, closed.confidence) == ("HOLD", 0.0)


@pytest.mark.parametrize(
    "regime",
    [
        "bull",
        7,
        ["a"],
        {"volatility": float("nan")},
        {"volatility": 35.0},
        {"trend_strength": -1.5},
        {"volatility": "0.4"},
        {"volatility": None},
        {"trend_strength": True},
    ],
)
def test_M12_a_regime_that_cannot_be_used_is_neutral_and_flagged_or_fails_closed(regime: Any) -> None:
    settings = DecisionSettings(meta_threshold=0.0)
    opened = decide(votes(SPLIT), regime, model=random_model(), settings=settings)
    neutral = decide(votes(SPLIT), None, model=random_model(), settings=settings)
    assert opened.features_sha256 == neutral.features_sha256
    assert dict(opened.guards)["regime"] == "flagged"
    assert dict(neutral.guards)["regime"] == "passed"
    closed = decide(votes(SPLIT), regime, model=SURE_OF_SELL, settings=CLOSED)
    assert (closed.action, closed.reason) == ("HOLD", "feature_error")


def test_M13_an_absent_model_does_not_vote_for_hold() -> None:
    five = (*MODELS, "tft")
    settings = DecisionSettings(models=five)
    alone = {"xgb": {"action": "BUY", "confidence": 0.99}, **dict.fromkeys(five[1:])}
    decision = decide(alone, model=model_saying(0.1, 0.1, 0.8, models=five), settings=settings)
    assert (decision.action, decision.reason) == ("HOLD", "quorum_not_met")
    assert decision.base_ensemble_action == "BUY"


def test_M14_deciding_touches_no_network_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decide reached out")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    agent = MetaAgent(SURE_OF_SELL)
    assert agent.predict(votes(SPLIT), {"volatility": 0.2}, "BTCUSDT")["use_meta"] is True
    assert not {"httpx", "requests", "urllib.request"} & {
        name.removeprefix("meta_pipeline.") for name in vars(sys.modules["meta_pipeline.meta_model.decide"])
    }


def test_M19_making_an_agent_leaves_the_global_generator_alone() -> None:
    before = global_generator()
    agent = MetaAgent(SURE_OF_SELL)
    agent.decide(votes(SPLIT))
    assert global_generator() == before


def test_M21_the_arbiter_can_act_without_a_regime_and_takes_typed_input() -> None:
    settings = DecisionSettings(escalate=True)
    escalated = decide(votes("BUY BUY SELL SELL"), model=model_saying(0.4, 0.35, 0.25), settings=settings)
    assert escalated.outcome is Outcome.ESCALATE
    cheap = market(rsi=5.0, macd=1.0, bollinger_position=0.0, volume_ratio=3.0, momentum=0.05)
    settled = arbitrate(escalated, cheap)
    assert (settled.action, settled.reason) == ("BUY", "arbiter_buy")
    assert arbitrate(escalated, None) == escalated
    with pytest.raises(InputError, match="rsi is nan"):
        market(rsi=float("nan"))
    with pytest.raises(InputError, match="average_true_range"):
        market(average_true_range=0.0)


def test_M22_the_arbiter_is_free_of_scale_and_its_acceptance_can_be_missed() -> None:
    bitcoin = market(macd=1.0, average_true_range=600.0)  # one dollar in a daily range of 600
    dogecoin = market(macd=0.002, average_true_range=0.004)  # half of a daily range
    assert judge(bitcoin).action == HOLD
    assert judge(dogecoin).score > judge(bitcoin).score
    scaled = market(macd=1000.0, average_true_range=2000.0)
    assert judge(scaled) == judge(dogecoin)
    weak = judge(market(macd=1.0))
    assert weak.action == BUY
    assert weak.confidence == pytest.approx(0.625)  # below the acceptance of 0.70
    escalated = decide(
        votes("BUY BUY SELL SELL"),
        model=model_saying(0.4, 0.35, 0.25),
        settings=DecisionSettings(escalate=True),
    )
    assert arbitrate(escalated, market(macd=1.0)) == escalated
    assert arbitrate(escalated, market(macd=1.0), acceptance=0.6).action == "BUY"


def test_M23_confidence_is_never_raised_to_pass_a_later_gate() -> None:
    five = (*MODELS, "tft")
    ballot = votes("BUY BUY HOLD HOLD HOLD", 0.6, models=five)
    decision = decide(ballot, model=model_saying(0.3, 0.4, 0.3, models=five), settings=DecisionSettings(models=five))
    assert decision.action == "HOLD"
    assert decision.confidence == pytest.approx(0.6 * 0.6)
    assert AgentState().override_rate() == 0.0
