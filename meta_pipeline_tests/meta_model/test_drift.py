"""What happens after promotion: the adaptive threshold, the alarm, several horizons, and fills as outcomes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model import AgentState, DecisionSettings, MetaAgent, MetaModel, Outcome
from meta_pipeline.meta_model.conformal import AdaptiveThreshold, first_threshold
from meta_pipeline.meta_model.exchangeability import ExchangeabilityMonitor, disjoint_rows, watch
from meta_pipeline.meta_model.horizons import decide_horizons, train_horizons
from meta_pipeline.meta_model.instants import microseconds_of
from meta_pipeline.meta_model.monitoring import health
from meta_pipeline.meta_model.round_trips import Fill, round_trips
from meta_pipeline.meta_model.synthetic import Truth
from meta_pipeline.meta_model.training import train
from meta_pipeline.meta_model.training_table import TrainingTable, join
from meta_pipeline_tests.meta_model.builders import MODELS, SPLIT, model_saying, random_model, votes
from meta_pipeline_tests.meta_model.training_logs import SETTINGS, fill, outcomes_of, planted

SURE_OF_SELL = model_saying(0.8, 0.1, 0.1)
SURE_OF_BUY = model_saying(0.1, 0.1, 0.8)
UNSURE = model_saying(0.4, 0.35, 0.25)
DAY = datetime(2026, 2, 5, tzinfo=UTC)


class TestAdaptiveThreshold:
    @given(
        st.lists(st.floats(0, 1), min_size=1, max_size=300),
        st.floats(0.05, 0.95),
        st.floats(0.005, 0.5),
        st.floats(0, 1),
    )
    def test_the_share_of_misses_keeps_its_bound_on_every_sequence(
        self, probabilities: list[float], misses: float, step: float, start: float
    ) -> None:
        threshold = AdaptiveThreshold(quantile=start, misses=misses, step=step)
        for probability in probabilities:
            threshold = threshold.updated(probability)
            assert -step - 1e-9 <= threshold.quantile <= 1 + step + 1e-9
        missed = threshold.n_missed / threshold.n
        assert abs(missed - misses) <= (1 + 2 * step) / (step * threshold.n) + 1e-9

    def test_coverage_is_held_under_a_drift_that_breaks_a_fixed_threshold(self) -> None:
        rng = np.random.default_rng(3)
        before, after = rng.beta(6, 2, 1500), rng.beta(2, 6, 1500)
        adaptive = first_threshold([1 - float(p) for p in before[:500]], misses=0.3)
        fixed, inside = adaptive, 0
        for probability in after:
            inside += fixed.contains(float(probability))
            adaptive = adaptive.updated(float(probability))
        assert inside / len(after) < 0.2
        assert adaptive.coverage == pytest.approx(0.7, abs=0.06)

    def test_a_model_that_is_wrong_must_be_surer(self) -> None:
        threshold = first_threshold([0.3] * 50)
        assert threshold.threshold == pytest.approx(0.7)
        for _ in range(60):
            threshold = threshold.updated(0.05)
        assert threshold.threshold > 0.9
        agent = MetaAgent(SURE_OF_SELL)
        agent.set_threshold(threshold.threshold)
        assert agent.decide(votes(SPLIT)).outcome is Outcome.DEFER

    def test_at_the_threshold_one_action_is_left_in_the_set(self) -> None:
        rng = np.random.default_rng(4)
        for quantile in (0.2, 0.5, 0.62, 0.9):
            threshold = AdaptiveThreshold(quantile=quantile)
            for probabilities in rng.dirichlet([0.4, 0.4, 0.4], size=300):
                if probabilities.max() > threshold.threshold:
                    assert sum(threshold.contains(float(p)) for p in probabilities) == 1

    @pytest.mark.parametrize(
        "values", [{"misses": 0.0}, {"misses": 1.0}, {"step": 0.0}, {"step": 2.0}, {"quantile": float("nan")}]
    )
    def test_values_that_cannot_be_meant_are_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            AdaptiveThreshold(**{"quantile": 0.5, **values})


class TestAlarm:
    def test_false_alarms_are_as_rare_as_promised(self) -> None:
        rng = np.random.default_rng(5)
        raised = sum(
            watch(rng.uniform(size=200), rng.uniform(size=300), seed=run, limit=1000).raised for run in range(60)
        )
        # 60 x 300 outcomes, one false alarm in 1,000 or fewer: 18 at most, and CUSUM stays well below
        assert raised <= 18

    def test_a_shift_is_found(self) -> None:
        rng = np.random.default_rng(6)
        quiet, worse = rng.beta(2, 6, 300), rng.beta(6, 2, 150)
        report = watch(quiet, worse, seed=1)
        assert report.raised_at is not None
        assert report.raised_at < 100
        assert report.largest >= report.limit

    def test_the_alarm_is_a_function_of_what_was_seen(self) -> None:
        scores = [0.1, 0.1, 0.2, 0.9, 0.9]
        assert watch(scores, scores, seed=1) == watch(scores, scores, seed=1)

    def test_ties_do_not_raise_it(self) -> None:
        assert not watch([0.5] * 100, [0.5] * 1000, seed=2).raised

    def test_a_limit_of_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="must be above 1"):
            ExchangeabilityMonitor([], generator=np.random.default_rng(0), limit=1.0)

    @given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30)), max_size=60))
    def test_disjoint_rows_do_not_overlap(self, rows: list[tuple[int, int]]) -> None:
        starts = np.sort(np.array([start for start, _ in rows], dtype=np.int64))
        ends = starts + np.array([length for _, length in rows], dtype=np.int64)
        chosen = disjoint_rows(starts, ends)
        assert (starts[chosen][1:] >= ends[chosen][:-1]).all()
        assert len(np.unique(starts[chosen])) == len(chosen)


class TestHealth:
    def table(self, truth: Truth) -> tuple[MetaModel, TrainingTable]:
        """Train on the first two thirds, and label all of it."""
        predictions, outcomes = planted(truth, n=2400, real=True)
        early = predictions.times < predictions.times[1600]
        first = replace(
            predictions,
            times=predictions.times[early],
            symbols=predictions.symbols[early],
            votes=predictions.votes.take(early),
        )
        model = train(first, outcomes, settings=SETTINGS).model
        table, _ = join(predictions, outcomes, cost=SETTINGS.cost)
        return model, table

    def test_a_model_that_goes_on_as_it_was_tested_raises_no_alarm(self) -> None:
        model, table = self.table(Truth.EDGE)
        found = health(model, table)
        assert found.n_new == 800
        assert not found.alarm.raised
        assert found.threshold.coverage == pytest.approx(0.6, abs=0.08)

    def test_a_market_that_turns_raises_the_alarm_and_the_agent_goes_to_its_fail_safe(self) -> None:
        model, table = self.table(Truth.EDGE)
        turned = replace(
            table, labels=np.where(table.labels == 0, 2, np.where(table.labels == 2, 0, 1)).astype(np.int8)
        )
        found = health(model, turned)
        assert found.alarm.raised
        assert found.raised_at is not None
        agent = MetaAgent(model, SETTINGS.decision)
        agent.set_alarm(raised=found.alarm.raised)
        assert agent.decide(votes(SPLIT)).reason == "exchangeability_alarm"

    def test_a_model_that_does_not_say_how_it_was_tested_cannot_be_watched(self) -> None:
        _, table = self.table(Truth.EDGE)
        with pytest.raises(InputError, match="does not say how it was tested"):
            health(random_model(), table)
        with pytest.raises(InputError, match="the logs are of"):
            health(random_model(models=("a", "b", "c", "d")), table)


class TestHorizons:
    def test_models_that_agree_act_with_the_smaller_confidence(self) -> None:
        surer = model_saying(0.9, 0.05, 0.05)
        decision = decide_horizons(votes(SPLIT), models={"5d": SURE_OF_SELL, "20d": surer, "60d": UNSURE})
        assert (decision.action, decision.reason) == ("SELL", "horizons_agree_sell")
        assert decision.confidence == pytest.approx(0.8)
        assert decision.use_meta
        assert list(decision.by_horizon) == ["5d", "20d", "60d"]

    def test_models_that_disagree_hold(self) -> None:
        decision = decide_horizons(votes(SPLIT), models={"5d": SURE_OF_SELL, "20d": SURE_OF_BUY})
        assert (decision.action, decision.confidence, decision.reason) == ("HOLD", 0.0, "horizons_disagree")
        assert not decision.use_meta

    def test_where_none_overrides_the_shortest_stands(self) -> None:
        decision = decide_horizons(votes(SPLIT), models={"5d": UNSURE, "20d": None})
        assert decision.reason == "meta_low_confidence_0.40"
        assert decision.action == "BUY"
        assert decision.as_dict()["use_meta"] is False

    def test_each_horizon_has_its_own_state(self) -> None:
        models = {"5d": SURE_OF_SELL, "20d": SURE_OF_SELL}
        decision = decide_horizons(votes(SPLIT), models=models, states={"20d": AgentState(alarm=True)})
        assert decision.use_meta
        assert decision.by_horizon["20d"].reason == "exchangeability_alarm"

    def test_no_horizon_is_refused(self) -> None:
        with pytest.raises(InputError, match="name at least one"):
            decide_horizons({}, models={})

    def test_each_horizon_is_trained_on_its_own_outcomes(self) -> None:
        predictions, near = planted(Truth.EDGE, n=1200, real=True)
        far = replace(near, ends=near.ends + 3 * 300_000_000)
        trained = train_horizons(predictions, {"1": near, "4": far}, settings=SETTINGS)
        assert list(trained) == ["1", "4"]
        assert trained["1"].model.sha256 != trained["4"].model.sha256
        decision = decide_horizons(
            votes(SPLIT),
            models={name: training.model for name, training in trained.items()},
            settings=DecisionSettings(meta_threshold=0.5),
        )
        assert decision.action in {"BUY", "HOLD", "SELL"}


class TestRoundTrips:
    def fills(self, *rows: tuple[float, str, float, float]) -> list[Fill]:
        return [
            Fill(at=DAY + timedelta(minutes=minutes), symbol="X", side=side, size=size, price=price)
            for minutes, side, size, price in rows
        ]

    def test_what_was_bought_first_is_sold_first(self) -> None:
        rows = list(round_trips(self.fills((0, "BUY", 2, 100), (5, "BUY", 1, 110), (10, "SELL", 2.5, 121))))
        assert [(row["action"], row["hold_duration_minutes"]) for row in rows] == [("BUY", 10.0), ("BUY", 5.0)]
        assert [row["pnl_pct"] for row in rows] == pytest.approx([21.0, 10.0])

    def test_selling_more_than_is_held_opens_the_other_side(self) -> None:
        rows = list(round_trips(self.fills((0, "BUY", 1, 100), (5, "SELL", 3, 90), (10, "BUY", 2, 81))))
        assert [(row["action"], row["outcome"]) for row in rows] == [("BUY", "loss"), ("SELL", "win")]
        assert [row["pnl_pct"] for row in rows] == pytest.approx([-10.0, 10.0])

    def test_the_rows_are_outcomes_that_training_reads(self) -> None:
        rows = round_trips(self.fills((0, "SELL", 1, 100), (5, "BUY", 1, 99)))
        outcomes = outcomes_of(rows)
        assert len(outcomes) == 1
        assert outcomes.quarantined == ()
        assert outcomes.starts[0] == microseconds_of(DAY)
        assert len(outcomes_of([fill(0)])) == 1
        assert MODELS

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ((0.0, "HOLD", 1.0, 100.0), "must be BUY or SELL"),
            ((0.0, "BUY", 0.0, 100.0), "both must be positive"),
            ((0.0, "BUY", 1.0, float("nan")), "both must be positive"),
            ((-5.0, "BUY", 1.0, 100.0), "sort them by time"),
        ],
    )
    def test_fills_that_cannot_be_are_refused(self, row: tuple[float, str, float, float], message: str) -> None:
        with pytest.raises(InputError, match=message):
            list(round_trips(self.fills((0, "BUY", 1, 100), row)))
