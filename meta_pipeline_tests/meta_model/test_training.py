"""Training: what is folded, what is measured, what the gate asks, what comes of drift and of symbols."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError, InsufficientData
from meta_pipeline.meta_model import DecisionSettings, decide
from meta_pipeline.meta_model.actions import BUY, HOLD, SELL
from meta_pipeline.meta_model.evaluation import (
    brier_score,
    calibration_noise,
    confusion,
    expected_calibration_error,
    per_class,
    regime_table,
    reliability,
    risk_coverage,
)
from meta_pipeline.meta_model.fitting import calibration_windows, fit
from meta_pipeline.meta_model.instants import iso, read_instant
from meta_pipeline.meta_model.lift import MOST_INSTANTS, lift
from meta_pipeline.meta_model.outcome_log import read_outcome_log
from meta_pipeline.meta_model.pooling import blend
from meta_pipeline.meta_model.prediction_log import read_prediction_log
from meta_pipeline.meta_model.risk_control import choose_threshold, upper_bound
from meta_pipeline.meta_model.synthetic import Truth
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_settings import GateSettings, Pooling, TrainingSettings
from meta_pipeline_tests.meta_model.builders import MODELS, mirrored, random_model, swapped
from meta_pipeline_tests.meta_model.training_logs import (
    SETTINGS,
    fill,
    line,
    outcomes_of,
    planted,
    predictions_of,
)


def checks(training: Training) -> dict[str, bool]:
    return {check.name: check.passed for check in training.verdict.checks}


def part(value: JsonValue, *names: str | int) -> Any:
    found: Any = value
    for name in names:
        found = found[name]
    return found


@pytest.fixture(scope="module")
def edge() -> Training:
    return train(*planted(Truth.EDGE, real=True), settings=SETTINGS)


class TestFolding:
    def test_the_folded_predictor_is_the_pipeline_to_nine_digits(self) -> None:
        rng = np.random.default_rng(0)
        n = 900
        features = rng.normal(2.0, 5.0, size=(n, 26)).astype(np.float32)
        features[:, 7] = 1.0  # a constant column, whose scale is 0
        labels = np.clip(np.round(features[:, 0] / 5.0 + rng.normal(size=n)) + 1, 0, 2).astype(np.int8)
        weights = rng.uniform(0.2, 3.0, n)
        starts = np.arange(n, dtype=np.int64)
        windows = calibration_windows(starts, starts, np.arange(n), embargo=3)
        fitted = fit(features, labels, weights, windows, inverse_penalty=0.1, seed=0)
        pipeline = np.mean([member.predict_proba(features.astype(np.float64)) for member in fitted.members], axis=0)
        assert np.abs(fitted.weights.many(features) - pipeline).max() < 1e-9
        for row in range(0, n, 50):
            assert np.abs(np.array(fitted.weights.one(features[row])) - pipeline[row]).max() < 1e-9

    def test_a_window_without_one_of_the_actions_is_refused(self) -> None:
        starts = np.arange(90, dtype=np.int64)
        labels = np.array([0, 1] * 45, dtype=np.int8)
        windows = calibration_windows(starts, starts, np.arange(90), embargo=0)
        with pytest.raises(InsufficientData, match="fewer than two are labelled BUY"):
            fit(np.zeros((90, 26), dtype=np.float32), labels, np.ones(90), windows, inverse_penalty=0.1, seed=0)


class TestPlantedTruth:
    def test_an_edge_is_found_and_overrides_follow_the_one_who_knows(self, edge: Training) -> None:
        assert edge.verdict.promoted, edge.verdict.reasons
        weights = part(edge.model.metadata, "feature_weights")
        knows, others = weights["patchtst_buy"][BUY], [weights[f"{name}_buy"][BUY] for name in MODELS[:3]]
        assert knows > 3 * max(others)
        assert part(edge.model.metadata, "test", "override_accuracy") > 0.6

    def test_a_regime_flip_in_the_held_back_days_keeps_the_gate_shut(self) -> None:
        predictions, outcomes = planted(Truth.FLIP, real=True)
        early = train(predictions, outcomes, settings=SETTINGS)
        assert not early.verdict.promoted

    def test_the_same_logs_give_the_same_artifact(self, edge: Training) -> None:
        assert train(*planted(Truth.EDGE, real=True), settings=SETTINGS).artifact == edge.artifact

    def test_swapping_buy_and_sell_in_the_logs_swaps_the_model(self) -> None:
        predictions, outcomes = planted(Truth.EDGE, n=1200)
        turn = np.array([BUY, HOLD, SELL, -1], dtype=np.int8)
        votes = replace(
            predictions.votes, actions=turn[predictions.votes.actions], trend_strength=-predictions.votes.trend_strength
        )
        other = train(
            replace(predictions, votes=votes), replace(outcomes, actions=turn[outcomes.actions]), settings=SETTINGS
        )
        one = train(predictions, outcomes, settings=SETTINGS)
        expected = mirrored(one.model).weights
        assert other.model.weights.coefficients == pytest.approx(expected.coefficients, abs=1e-3)
        assert other.model.threshold == one.model.threshold
        turned = {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}
        settings = DecisionSettings(meta_threshold=0.5)
        ballots = [line(0, actions)["base_predictions"] for actions in ("BUY SELL HOLD BUY", "SELL SELL BUY BUY")]
        for ballot in ballots:
            answer = decide(ballot, model=one.model, settings=settings)
            assert decide(swapped(ballot), model=other.model, settings=settings).action == turned[answer.action]


class TestGate:
    def test_too_few_decisions_are_not_promoted(self, edge: Training) -> None:
        stricter = replace(SETTINGS, gate=GateSettings(min_samples=1501))
        assert checks(train(*planted(Truth.EDGE, real=True), settings=stricter))["samples"] is False
        assert checks(edge)["samples"] is True

    def test_a_model_that_never_overrides_has_no_lift_to_show(self) -> None:
        never = replace(SETTINGS, decision=DecisionSettings(meta_threshold=1.0))
        found = checks(train(*planted(Truth.EDGE, real=True), settings=never))
        assert found["override_rate"] is False
        assert found["lift_over_weighted_ensemble"] is False

    def test_the_threshold_keeps_the_override_rate_within_the_breaker(self) -> None:
        tight = replace(SETTINGS, decision=DecisionSettings(meta_threshold=0.5, max_override_rate=0.3))
        training = train(*planted(Truth.EDGE, real=True), settings=tight)
        assert checks(training)["override_rate"]
        assert 0.1 < training.decisions.override_rate <= 0.3
        loose = train(*planted(Truth.EDGE, real=True), settings=SETTINGS)
        assert training.model.threshold is not None
        assert loose.model.threshold is not None
        assert training.model.threshold > loose.model.threshold

    def test_a_challenger_must_beat_the_champion_on_the_same_days(self, edge: Training) -> None:
        same = train(*planted(Truth.EDGE, real=True), settings=SETTINGS, champion=edge.model)
        assert checks(same)["lift_over_champion"] is False
        assert same.artifact == edge.artifact
        weak = replace(random_model(3), threshold=0.4)
        assert checks(train(*planted(Truth.EDGE, real=True), settings=SETTINGS, champion=weak))["lift_over_champion"]

    def test_a_champion_of_other_base_models_cannot_be_compared(self) -> None:
        other = random_model(models=("a", "b", "c", "d"))
        training = train(*planted(Truth.EDGE, real=True), settings=SETTINGS, champion=other)
        assert any("cannot be compared" in reason for reason in training.verdict.reasons)

    def test_every_check_answers_in_a_sentence(self, edge: Training) -> None:
        assert all(check.sentence for check in edge.verdict.checks)
        assert [check["name"] for check in part(edge.verdict.as_dict(), "checks")] == [
            "data_kind",
            "samples",
            "leaks",
            "threshold",
            "lift_over_majority_vote",
            "lift_over_weighted_ensemble",
            "lift_over_always_hold",
            "lift_over_champion",
            "brier_score",
            "calibration",
            "diversity",
            "override_rate",
        ]


class TestRefusals:
    def test_a_cost_that_was_not_stated_is_asked_for(self) -> None:
        with pytest.raises(InputError, match="state the cost of a round trip"):
            train(*planted(Truth.EDGE), settings=TrainingSettings())

    def test_outcomes_that_match_nothing_say_so(self) -> None:
        predictions, _ = planted(Truth.EDGE, n=300)
        with pytest.raises(InsufficientData, match="1 without a prediction"):
            train(predictions, outcomes_of([fill(-100)]), settings=SETTINGS)

    def test_a_handful_of_decisions_is_too_few(self) -> None:
        predictions, outcomes = planted(Truth.EDGE, n=40)
        with pytest.raises(InsufficientData, match="collect more outcomes"):
            train(predictions, outcomes, settings=SETTINGS)

    def test_logs_of_other_base_models_are_refused(self) -> None:
        predictions, outcomes = planted(Truth.EDGE, n=300)
        other = replace(SETTINGS, decision=DecisionSettings(models=("a", "b", "c")))
        with pytest.raises(InputError, match="the settings name"):
            train(predictions, outcomes, settings=other)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"tolerance_seconds": -1.0}, "tolerance_seconds"),
            ({"n_splits": 1}, "at least 2 folds"),
            ({"test_share": 0.9}, "test_share is 0.9"),
            ({"embargo_share": -0.1}, "embargo_share"),
            ({"inverse_penalty": 0.0}, "inverse_penalty"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            TrainingSettings(**values)


class TestPooling:
    def test_symbols_that_differ_get_models_of_their_own(self) -> None:
        predictions, outcomes = planted(Truth.EDGE, n=3000, symbols=("A", "B"), real=True)
        # In B the market does the opposite of what everybody votes.
        in_b = np.flatnonzero(outcomes.symbols == outcomes.symbol_names.index("B"))
        actions = outcomes.actions.copy()
        actions[in_b] = np.where(actions[in_b] == BUY, SELL, BUY)
        outcomes = replace(outcomes, actions=actions)
        together = train(predictions, outcomes, settings=SETTINGS)
        apart = train(predictions, outcomes, settings=replace(SETTINGS, pooling=Pooling.PARTIAL))
        assert set(apart.model.symbols) == {"A", "B"}
        assert part(apart.model.metadata, "pooling_strength") == 300
        assert part(apart.model.metadata, "test", "log_loss") < part(together.model.metadata, "test", "log_loss") - 0.1

    def test_symbols_that_are_alike_are_pooled_completely(self) -> None:
        predictions, outcomes = planted(Truth.EDGE, n=1200, symbols=("A", "B", "C"))
        training = train(predictions, outcomes, settings=replace(SETTINGS, pooling=Pooling.PARTIAL))
        strength = part(training.model.metadata, "pooling_strength")
        assert strength is None or strength >= 1000

    def test_credibility_runs_from_the_common_weights_to_the_own(self) -> None:
        common, own = random_model(1).weights, random_model(2).weights
        assert (blend(common, own, credibility=0.0).coefficients == common.coefficients).all()
        assert (blend(common, own, credibility=1.0).intercepts == own.intercepts).all()


class TestRiskControl:
    def test_the_threshold_keeps_its_bound_on_new_trades_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(11)
        broken = 0
        for _ in range(200):
            confidence = rng.uniform(0.34, 1.0, 400)
            wrong = rng.uniform(size=400) > confidence
            found = choose_threshold(confidence, wrong, np.ones(400), max_error=0.3, level=0.9)
            if found.threshold is not None:
                true_error = 1.0 - (found.threshold + 1.0) / 2.0
                broken += true_error > 0.3
        assert broken <= 200 * 0.1

    def test_the_error_of_trades_falls_as_confidence_rises_so_a_threshold_is_found(self) -> None:
        rng = np.random.default_rng(12)
        confidence = rng.uniform(0.34, 1.0, 5000)
        found = choose_threshold(
            confidence, rng.uniform(size=5000) > confidence, np.ones(5000), max_error=0.3, level=0.95
        )
        # errors average 0.3 from 0.4 on, and the bound asks for a little more
        assert found.threshold is not None
        assert 0.4 <= found.threshold < 0.5
        assert found.upper_bound is not None
        assert found.upper_bound <= 0.3

    def test_noise_gets_no_threshold_and_overlap_counts_for_less(self) -> None:
        rng = np.random.default_rng(13)
        confidence = rng.uniform(0.34, 1.0, 1000)
        assert (
            choose_threshold(
                confidence, rng.uniform(size=1000) > 0.5, np.ones(1000), max_error=0.4, level=0.95
            ).threshold
            is None
        )
        few = choose_threshold(
            confidence, np.zeros(1000, dtype=np.bool_), np.full(1000, 0.02), max_error=0.4, level=0.95
        )
        assert few.threshold is None

    def test_the_bound_is_clopper_and_pearson(self) -> None:
        exact = stats.binomtest(7, 50).proportion_ci(confidence_level=0.9, method="exact").high
        assert upper_bound(7, 50, 0.95) == pytest.approx(exact)
        assert upper_bound(50, 50, 0.95) == 1.0

    @pytest.mark.parametrize("values", [{"max_error": 0.0, "level": 0.9}, {"max_error": 0.3, "level": 1.0}])
    def test_bounds_that_cannot_be_meant_are_refused(self, values: dict[str, float]) -> None:
        with pytest.raises(InputError, match="between 0 and 1"):
            choose_threshold(np.ones(3), np.ones(3, dtype=np.bool_), np.ones(3), **values)


class TestLift:
    def test_the_interval_covers_the_truth_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(21)
        n, covered, overlap = 300, 0, 5
        starts = np.arange(n, dtype=np.int64) * 10
        for _ in range(200):
            noise = np.convolve(rng.normal(size=n + overlap - 1), np.ones(overlap), mode="valid")
            found = lift(noise + 0.5, starts, starts + 10 * overlap, level=0.9, n_draws=199, generator=rng)
            assert found.lower is not None
            assert found.upper is not None
            covered += found.lower <= 0.5 <= found.upper
        assert 0.80 <= covered / 200 <= 0.98

    def test_decisions_of_one_instant_do_not_pretend_to_be_independent(self) -> None:
        rng = np.random.default_rng(22)
        once = rng.normal(size=200)
        starts = np.arange(200, dtype=np.int64)
        alone = lift(once, starts, starts, level=0.95, n_draws=499, generator=np.random.default_rng(0))
        tenfold = lift(
            np.repeat(once, 10), np.repeat(starts, 10), np.repeat(starts, 10),
            level=0.95, n_draws=499, generator=np.random.default_rng(0),
        )  # fmt: skip
        assert alone.lower is not None
        assert tenfold.lower == pytest.approx(alone.lower)
        assert (tenfold.n_decisions, tenfold.n_instants) == (2000, 200)

    def test_ways_that_decide_alike_have_no_lift(self) -> None:
        starts = np.arange(100, dtype=np.int64)
        same = lift(np.zeros(100), starts, starts, level=0.95, n_draws=99, generator=np.random.default_rng(0))
        assert (same.lower, same.upper, same.is_positive) == (0.0, 0.0, False)

    def test_too_few_instants_have_no_interval(self) -> None:
        starts = np.zeros(100, dtype=np.int64)
        found = lift(np.ones(100), starts, starts, level=0.95, n_draws=99, generator=np.random.default_rng(0))
        assert (found.lower, found.is_positive) == (None, False)

    def test_many_instants_are_grouped_without_moving_the_interval(self) -> None:
        rng = np.random.default_rng(23)
        n = 2 * MOST_INSTANTS
        starts, values = np.arange(n, dtype=np.int64), rng.normal(0.1, 1.0, n)
        found = lift(values, starts, starts + 1, level=0.95, n_draws=499, generator=rng)
        assert found.estimate == pytest.approx(values.mean())
        assert found.lower is not None
        assert found.estimate - found.lower == pytest.approx(1.96 / n**0.5, rel=0.2)


class TestEvaluation:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.4, 0.2, 0.4]])
    labels = np.array([SELL, HOLD, SELL, BUY], dtype=np.int8)

    def test_the_brier_score_is_the_squared_distance(self) -> None:
        rows = [0.09 + 0.04 + 0.01, 0.01 + 0.04 + 0.01, 0.64 + 0.04 + 0.36, 0.16 + 0.04 + 0.36]
        assert brier_score(self.probabilities, self.labels) == pytest.approx(sum(rows) / 4)

    def test_a_lead_shared_by_buy_and_sell_is_hold(self) -> None:
        choices = np.array([SELL, HOLD, BUY, HOLD], dtype=np.int8)
        assert confusion(choices, self.labels) == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
        assert per_class(choices, self.labels)["HOLD"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}
        assert part(per_class(choices, self.labels), "BUY", "precision") == 0.0

    def test_a_calibrated_model_shows_the_noise_that_is_foretold(self) -> None:
        rng = np.random.default_rng(31)
        errors, foretold = [], 0.0
        for _ in range(50):
            probabilities = rng.dirichlet([2.0, 1.0, 1.0], size=400)
            labels = (rng.uniform(size=400)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).astype(np.int8)
            errors.append(expected_calibration_error(probabilities, labels))
            foretold = calibration_noise(probabilities)
        assert np.mean(errors) == pytest.approx(foretold, rel=0.2)
        assert expected_calibration_error(np.tile([0.98, 0.01, 0.01], (100, 1)), np.full(100, BUY)) == pytest.approx(
            0.98
        )

    def test_risk_falls_with_coverage_when_confidence_means_something(self) -> None:
        curve, area = risk_coverage(self.probabilities, self.labels)
        # most confident first: HOLD right, SELL right, BUY wrong, tie wrong
        assert curve[4] == {"coverage": 0.25, "risk": 0.0}
        assert part(curve, 14, "risk") == pytest.approx(1 / 3)
        assert area == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
        assert curve[-1] == {"coverage": 1.0, "risk": 0.5}

    def test_reliability_bins_hold_every_decision_once(self) -> None:
        bins = reliability(np.tile(self.probabilities, (8, 1)), np.tile(self.labels, 8))
        assert sum(int(str(entry["n"])) for entry in bins) == 32

    def test_regimes_are_the_documented_buckets(self) -> None:
        levels = [(0.39, -0.21), (0.4, -0.2), (0.59, 0.2), (0.6, 0.21)]
        lines = [
            line(5 * row, regime={"volatility": volatility, "trend_strength": trend})
            for row, (volatility, trend) in enumerate(levels)
        ]
        log = predictions_of([*lines, {**line(25), "regime": None}])
        right = np.array([1, 0, 1, 1, 0], dtype=np.int8)
        table = regime_table(right, np.ones(5, dtype=np.int8), log.votes)
        assert {name: part(table, name, "n_samples") for name in table} == {
            "low_volatility": 1, "medium_volatility": 2, "high_volatility": 1,
            "downtrend": 1, "sideways": 2, "uptrend": 1, "unknown": 1,
        }  # fmt: skip
        assert part(table, "medium_volatility", "accuracy") == 0.5
        assert part(table, "unknown", "accuracy") == 0.0


class TestReadingLogs:
    def test_every_bad_line_is_quarantined_with_its_number_and_reason(self, tmp_path: Path) -> None:
        good = line(0)
        bad: list[tuple[Any, str]] = [
            ("{", "not_json"),
            (json.dumps([1]), "not_an_object"),
            (json.dumps({**good, "symbol": 3}), "bad_symbol"),
            (json.dumps({**good, "symbol": "a\nb"}), "bad_symbol"),
            (json.dumps({**good, "timestamp": "yesterday"}), "bad_timestamp"),
            (json.dumps({**good, "timestamp": 12}), "bad_timestamp"),
            (json.dumps({**good, "base_predictions": {"xgb": {"action": "CLOSE"}}}), "no_valid_vote"),
            (json.dumps({**good, "base_predictions": None}), "no_valid_vote"),
        ]
        file = tmp_path / "log.jsonl"
        content = "\n".join([json.dumps(good), "", *(text for text, _ in bad)]).encode() + b"\n\xff\xfe\n"
        file.write_bytes(content)
        log = read_prediction_log(file, MODELS)
        assert len(log) == 1
        assert [(item.line, item.reason) for item in log.quarantined] == [
            *((number, reason) for number, (_, reason) in enumerate(bad, start=3)),
            (11, "not_json"),
        ]
        assert log.n_lines == 10
        assert all(item.source == "log.jsonl" and item.detail for item in log.quarantined)

    def test_a_folder_is_read_in_the_order_of_its_names(self, tmp_path: Path) -> None:
        for name, minutes in (("b.jsonl", 0), ("a.jsonl", 5)):
            (tmp_path / name).write_text(json.dumps(line(minutes)) + "\n", encoding="utf-8")
        log = read_prediction_log(tmp_path, MODELS)
        assert len(log) == 2
        assert list(log.digests) == ["a.jsonl", "b.jsonl"]
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(InputError, match=r"holds no \*\.jsonl file"):
            read_prediction_log(empty, MODELS)

    def test_repeated_lines_count_once_and_contradicting_ones_not_at_all(self) -> None:
        log = predictions_of(
            [line(0), line(0), line(5), line(5, "SELL SELL SELL SELL"), line(10), line(10, symbol="X")]
        )
        assert [(item.line, item.reason) for item in log.quarantined] == [
            (2, "repeated_prediction"),
            (3, "conflicting_predictions"),
            (4, "conflicting_predictions"),
        ]
        assert len(log) == 3

    def test_an_invalid_vote_is_rejected_and_the_line_kept(self) -> None:
        record = line(0)
        record["base_predictions"]["xgb"]["confidence"] = 7
        log = predictions_of([record])
        assert log.votes.actions.tolist() == [[-1, SELL, HOLD, BUY]]
        assert log.n_rejected_votes == 1

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"symbol": ""}, "bad_symbol"),
            ({"timestamp": "soon"}, "bad_timestamp"),
            ({"action": "HOLD"}, "nothing_traded"),
            ({"action": None}, "unknown_action"),
            ({"pnl_pct": "nan"}, "bad_pnl_pct"),
            ({"pnl_pct": None}, "bad_pnl_pct"),
            ({"hold_duration_minutes": -1}, "bad_hold_duration_minutes"),
            ({"hold_duration_minutes": "inf"}, "bad_hold_duration_minutes"),
            ({"propensity": 0}, "bad_propensity"),
            ({"propensity": 1.5}, "bad_propensity"),
        ],
    )
    def test_every_bad_outcome_is_quarantined_with_its_reason(self, change: dict[str, Any], reason: str) -> None:
        outcomes = outcomes_of([fill(0), {**fill(5), **change}])
        assert [(item.line, item.reason) for item in outcomes.quarantined] == [(2, reason)]
        assert len(outcomes) == 1

    def test_outcomes_of_several_horizons_are_chosen_by_name(self) -> None:
        fills = [fill(0, horizon="1d"), fill(0, -1.0, hold=50, horizon="5d")]
        with pytest.raises(InputError, match="several horizons, 1d, 5d"):
            outcomes_of(fills)
        assert outcomes_of(fills, horizon="5d").pnl_pct.tolist() == [-1.0]
        with pytest.raises(InputError, match="no outcome is of horizon '9d'"):
            outcomes_of(fills, horizon="9d")

    def test_a_csv_without_a_documented_column_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "outcomes.csv"
        file.write_text("timestamp,symbol,action\n", encoding="utf-8")
        with pytest.raises(InputError, match="lacks the columns outcome, pnl_pct, hold_duration_minutes"):
            read_outcome_log(file)

    @given(st.integers(0, 4 * 10**15))
    def test_instants_survive_being_written(self, microseconds: int) -> None:
        assert read_instant(iso(microseconds)) == (microseconds, True)
