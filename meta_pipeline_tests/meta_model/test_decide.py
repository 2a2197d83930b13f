"""`decide`: the documented contract, the order of its checks, and what holds for every input."""

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model import AgentState, DecisionSettings, MetaModel, Outcome, decide
from meta_pipeline.meta_model.decide import NEVER
from meta_pipeline.meta_model.decision import GUARDS
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

CLOSED = DecisionSettings(fail_open=False)
SURE_OF_SELL = model_saying(0.8, 0.1, 0.1)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(["BUY", "sell", "HOLD"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*MODELS, "action", "confidence", "volatility", "other"]), inner, max_size=5),
    ),
    max_leaves=12,
)
clean_votes = st.fixed_dictionaries(
    {},
    optional={
        model: st.fixed_dictionaries(
            {"action": st.sampled_from(["SELL", "HOLD", "BUY"]), "confidence": st.floats(0, 1)}
        )
        for model in MODELS
    },
)
regimes = st.fixed_dictionaries({"volatility": st.floats(0, 1), "trend_strength": st.floats(-1, 1)})


class Broken:
    """A model that answers what it is told to, or raises."""

    def __init__(self, answer: Any, schema: str | None = None) -> None:
        self.answer = answer
        self.schema_sha256 = SURE_OF_SELL.schema_sha256 if schema is None else schema
        self.sha256 = "b" * 64
        self.threshold = 0.0

    def probabilities(self, features: bytes, symbol: str | None = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def stopped_at(guards: tuple[tuple[str, str], ...]) -> str | None:
    return next((guard for guard, verdict in guards if verdict == "stopped"), None)


class TestTheDocumentedContract:
    def test_a_confident_model_overrides_with_its_calibrated_probability(self) -> None:
        decision = decide(votes(SPLIT), model=SURE_OF_SELL)
        assert decision.as_contract() == {
            "use_meta": True,
            "action": "SELL",
            "confidence": pytest.approx(0.8),
            "reason": "meta_override_sell",
            "meta_confidence": pytest.approx(0.8),
            "base_ensemble_action": "BUY",
            # (0.25 + 0.20) of the weight votes BUY at 0.6
            "base_ensemble_confidence": pytest.approx(0.27),
        }
        assert decision.outcome is Outcome.OVERRIDE

    def test_strong_consensus_defers_and_says_how_strong(self) -> None:
        for action in ("BUY", "SELL", "HOLD"):
            contract = decide(votes(f"{action} {action} {action} -"), model=SURE_OF_SELL).as_contract()
            assert contract["reason"] == f"strong_consensus_{action.lower()}"
            assert contract["use_meta"] is False
            assert contract["action"] == contract["base_ensemble_action"] == action
            assert contract["consensus_strength"] == 1.0
            assert contract["meta_confidence"] is None

    def test_three_of_four_equal_votes_are_a_consensus_whatever_their_confidence_rounds_to(self) -> None:
        for confidence in np.linspace(0.01, 1, 100):
            decision = decide(votes("BUY BUY SELL BUY", float(confidence)), model=SURE_OF_SELL)
            assert decision.reason == "strong_consensus_buy"

    def test_an_unsure_model_defers_and_the_reason_carries_its_confidence(self) -> None:
        decision = decide(votes(SPLIT), model=model_saying(0.41, 0.30, 0.29))
        assert decision.reason == "meta_low_confidence_0.41"
        assert (decision.action, decision.outcome) == ("BUY", Outcome.DEFER)
        assert decision.meta_confidence == pytest.approx(0.41)

    def test_no_model_defers_even_on_consensus(self) -> None:
        assert decide(votes("BUY BUY BUY BUY"), model=None).reason == "model_not_loaded"

    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (Broken((1, 0, 0), schema="0" * 64), "feature_dim_mismatch"),
            (Broken(RuntimeError("no")), "prediction_error"),
            (Broken("nonsense"), "prediction_error"),
            (Broken(None), "prediction_error"),
            (Broken((float("nan"), 0.5, 0.5)), "invalid_confidence"),
            (Broken((1.4, -0.2, -0.2)), "invalid_confidence"),
            (Broken((0.9, 0.9, 0.9)), "invalid_confidence"),
        ],
    )
    def test_a_model_that_fails_defers_open_and_holds_closed(self, model: Any, reason: str) -> None:
        opened = decide(votes(SPLIT), model=model)
        closed = decide(votes(SPLIT), model=model, settings=CLOSED)
        assert opened.reason == closed.reason == reason
        assert (opened.action, opened.outcome) == ("BUY", Outcome.DEFER)
        assert (closed.action, closed.confidence, closed.outcome) == ("HOLD", 0.0, Outcome.ABSTAIN)

    def test_the_checks_are_made_in_the_documented_order(self) -> None:
        # Each case is wrong in everything its successors check, so that only the order decides the reason.
        consensus, split = votes("BUY BUY BUY BUY"), votes(SPLIT)
        mismatch = Broken(RuntimeError("no"), schema="0" * 64)
        answers = [
            decide({}, "bad", model=None).reason,
            decide(consensus, "bad", model=None).reason,
            decide(consensus, "bad", model=mismatch).reason,
            decide(split, "bad", model=mismatch).reason,
            decide(split, "bad", model=Broken(RuntimeError("no"))).reason,
            decide(split, model=Broken((2.0, 0.1, 0.1))).reason,
            decide(split, model=model_saying(0.4, 0.35, 0.25), state=AgentState(open_for=3)).reason,
            decide(split, model=SURE_OF_SELL, state=AgentState(open_for=3)).reason,
        ]
        assert answers == [
            "no_predictions",
            "model_not_loaded",
            "strong_consensus_buy",
            "feature_dim_mismatch",
            "prediction_error",
            "invalid_confidence",
            "meta_low_confidence_0.40",
            "override_breaker_open",
        ]

    def test_every_guard_has_a_verdict_in_the_order_asked(self) -> None:
        decision = decide(votes(SPLIT), "bad regime", model=model_saying(0.4, 0.35, 0.25))
        assert tuple(guard for guard, _ in decision.guards) == GUARDS
        assert dict(decision.guards) | {"regime": "flagged", "threshold": "stopped", "breaker": "not_reached"} == dict(
            decision.guards
        )
        assert stopped_at(decide(votes(SPLIT), model=SURE_OF_SELL).guards) is None


class TestOurOwnReasons:
    def test_too_few_votes_hold_whatever_the_model_would_say(self) -> None:
        for settings in (DecisionSettings(), CLOSED):
            decision = decide(votes("BUY BUY - -"), model=SURE_OF_SELL, settings=settings)
            assert (decision.reason, decision.action, decision.confidence) == ("quorum_not_met", "HOLD", 0.0)

    def test_a_vote_without_an_action_does_not_make_a_quorum(self) -> None:
        ballot = {**votes("BUY SELL - -"), "nhits": {"confidence": 0.9}}
        assert decide(ballot, model=SURE_OF_SELL).reason == "quorum_not_met"

    def test_the_quorum_is_three_in_four_and_can_be_set(self) -> None:
        five = ("a", "b", "c", "d", "e")
        assert [DecisionSettings(models=five[:n]).votes_needed for n in (1, 2, 3, 4, 5)] == [1, 2, 3, 3, 4]
        one = DecisionSettings(quorum=1)
        assert decide(votes("BUY - - -"), model=SURE_OF_SELL, settings=one).reason == "strong_consensus_buy"

    def test_a_switched_off_meta_model_defers(self) -> None:
        decision = decide(votes(SPLIT), model=SURE_OF_SELL, settings=DecisionSettings(enabled=False))
        assert (decision.reason, decision.action) == ("meta_disabled", "BUY")

    def test_an_alarm_keeps_the_model_out(self) -> None:
        alarmed = AgentState(alarm=True)
        opened = decide(votes(SPLIT), model=SURE_OF_SELL, state=alarmed)
        closed = decide(votes(SPLIT), model=SURE_OF_SELL, state=alarmed, settings=CLOSED)
        assert opened.reason == closed.reason == "exchangeability_alarm"
        assert (opened.action, closed.action) == ("BUY", "HOLD")

    def test_a_tied_ensemble_is_not_deferred_to(self) -> None:
        settings = DecisionSettings(weights=(1, 1, 1, 1))
        decision = decide(votes("BUY BUY SELL SELL"), model=model_saying(0.4, 0.35, 0.25), settings=settings)
        assert (decision.reason, decision.action, decision.outcome) == ("ensemble_tie", "HOLD", Outcome.ABSTAIN)

    def test_a_model_torn_between_buy_and_sell_abstains(self) -> None:
        settings = DecisionSettings(meta_threshold=0.3)
        decision = decide(votes(SPLIT), model=model_saying(0.45, 0.1, 0.45), settings=settings)
        assert (decision.reason, decision.action) == ("meta_tie", "HOLD")

    def test_the_strictest_threshold_holds(self) -> None:
        sure = model_saying(0.8, 0.1, 0.1, threshold=0.5)
        assert decide(votes(SPLIT), model=sure).threshold == 0.65
        stricter = model_saying(0.8, 0.1, 0.1, threshold=0.9)
        assert decide(votes(SPLIT), model=stricter).threshold == 0.9
        assert decide(votes(SPLIT), model=sure, state=AgentState(threshold=0.81)).reason == "meta_low_confidence_0.80"

    def test_a_model_whose_errors_could_not_be_bounded_never_overrides(self) -> None:
        certain = model_saying(1.0, 0.0, 0.0, threshold=None)
        decision = decide(votes(SPLIT), model=certain, settings=DecisionSettings(meta_threshold=0.0))
        assert decision.outcome is Outcome.DEFER
        assert decision.threshold == NEVER

    @pytest.mark.parametrize(
        ("ballot", "probabilities", "reason"),
        [
            (votes("BUY BUY SELL SELL", [0.9, 0.9, 0.9, 0.8]), (0.5, 0.3, 0.2), "split_vote"),
            (votes(SPLIT, 0.9), (0.5, 0.3, 0.2), "high_disagreement"),
            (votes("BUY BUY SELL -", [0.6, 0.6, 0.9, 0]), (0.5, 0.3, 0.2), "low_ensemble_confidence"),
            (votes("BUY BUY SELL -", [0.95, 0.95, 0.1, 0]), (0.4, 0.35, 0.25), "undecided_market"),
            (votes("BUY BUY SELL -", [0.95, 0.95, 0.1, 0]), (0.64, 0.35, 0.01), "meta_low_confidence_0.64"),
        ],
    )
    def test_an_unsure_model_may_escalate_instead_of_deferring(
        self, ballot: Votes, probabilities: tuple[float, float, float], reason: str
    ) -> None:
        weights = (1.0, 1.0, 1.0, 1.0)
        settings = DecisionSettings(
            escalate=True, weights=weights, consensus_threshold=1.0, undecided_entropy=0.8, low_ensemble_confidence=0.45
        )
        decision = decide(ballot, model=model_saying(*probabilities), settings=settings)
        assert decision.reason == reason
        if decision.outcome is Outcome.ESCALATE:
            assert (decision.action, decision.confidence, decision.use_meta) == ("HOLD", 0.0, False)

    def test_escalation_never_stands_before_the_model(self) -> None:
        settings = DecisionSettings(escalate=True)
        for actions in itertools.product(("SELL", "HOLD", "BUY"), repeat=4):
            decision = decide(votes(" ".join(actions)), model=SURE_OF_SELL, settings=settings)
            assert decision.outcome is not Outcome.ESCALATE


class TestWhatHoldsForEveryInput:
    @given(anything, anything, st.booleans(), st.booleans())
    def test_nothing_that_is_handed_in_makes_it_raise(
        self, ballot: object, regime: object, fail_open: bool, escalate: bool
    ) -> None:
        settings = DecisionSettings(fail_open=fail_open, escalate=escalate, meta_threshold=0.3)
        decision = decide(ballot, regime, model=random_model(), settings=settings)
        assert decision.action in {"SELL", "HOLD", "BUY"}
        assert 0.0 <= decision.confidence <= 1.0
        assert 0.0 <= decision.base_ensemble_confidence <= 1.0
        canonical_json(decision.as_dict())

    @given(clean_votes, regimes)
    def test_swapping_buy_and_sell_everywhere_swaps_the_answer(self, ballot: Votes, regime: dict[str, float]) -> None:
        model = random_model()
        settings = DecisionSettings(meta_threshold=0.4)
        other = {**regime, "trend_strength": -regime["trend_strength"]}
        one = decide(ballot, regime, model=model, settings=settings)
        two = decide(swapped(ballot), other, model=mirrored(model), settings=settings)
        assert two.action == {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}[one.action]
        assert two.outcome is one.outcome
        assert two.confidence == pytest.approx(one.confidence, abs=1e-11)

    @given(clean_votes, st.integers(0, 50))
    def test_confidence_never_rises_above_its_evidence(self, ballot: Votes, seed: int) -> None:
        decision = decide(ballot, model=random_model(seed))
        strongest = max((vote["confidence"] for vote in ballot.values()), default=0.0)
        assert decision.base_ensemble_confidence <= strongest + 1e-12
        if decision.use_meta:
            assert decision.confidence == decision.meta_confidence == max(decision.probabilities or ())
        else:
            assert decision.confidence <= strongest + 1e-12

    @given(st.lists(st.tuples(clean_votes, regimes), min_size=5, max_size=15), st.integers(0, 20))
    def test_a_higher_threshold_never_overrides_more(
        self, questions: list[tuple[Votes, dict[str, float]]], seed: int
    ) -> None:
        model = random_model(seed)
        counts = [
            sum(
                decide(ballot, regime, model=model, settings=DecisionSettings(meta_threshold=threshold)).use_meta
                for ballot, regime in questions
            )
            for threshold in (0.0, 0.2, 0.4, 0.5, 0.65, 0.8, 0.95, 1.0)
        ]
        assert counts == sorted(counts, reverse=True)

    @given(clean_votes, regimes)
    def test_it_is_a_function_of_its_arguments(self, ballot: Votes, regime: dict[str, float]) -> None:
        before = global_generator()
        assert decide(ballot, regime, model=random_model()) == decide(ballot, regime, model=random_model())
        assert global_generator() == before


def test_deciding_needs_numpy_alone() -> None:
    code = (
        "import sys; from meta_pipeline.meta_model import decide;"
        "decide({}, model=None);"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'sqlalchemy', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_pooled_over_symbols_uses_the_weights_of_the_symbol() -> None:
    common, own = model_saying(0.8, 0.1, 0.1), model_saying(0.1, 0.1, 0.8)
    model = MetaModel(models=MODELS, weights=common.weights, symbols={"WTI": own.weights}, sha256="e" * 64)
    actions = [decide(votes(SPLIT), model=model, symbol=symbol).action for symbol in ("WTI", "SP500", None)]
    assert actions == ["BUY", "SELL", "SELL"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"models": ()}, "name at least one"),
        ({"models": ("a", "a")}, "repeats a name"),
        ({"weights": (1.0,)}, "1 weights for 4"),
        ({"weights": (1.0, 1.0, 0.0, 1.0)}, "positive"),
        ({"meta_threshold": 1.2}, "meta_threshold is 1.2"),
        ({"meta_threshold": float("nan")}, "meta_threshold is nan"),
        ({"consensus_threshold": 0.5}, "a majority"),
        ({"quorum": 5}, "from 1 to the 4"),
        ({"breaker_window": 10}, "never reach its bound"),
        ({"breaker_cooldown": 0}, "at least 1 decision"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DecisionSettings(**values)
