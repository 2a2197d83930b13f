"""The inputs that broke the predecessor's training, by their ids (T1 to T15), and what they give now."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError, InsufficientData
from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.artifact import read_artifact
from meta_pipeline.meta_model.batch import majority_of
from meta_pipeline.meta_model.fitting import calibration_windows, fit
from meta_pipeline.meta_model.held_back import set_aside
from meta_pipeline.meta_model.instants import read_instant
from meta_pipeline.meta_model.labels import LabelRule, TradingCost
from meta_pipeline.meta_model.outcome_log import read_outcome_log
from meta_pipeline.meta_model.prediction_log import read_prediction_log
from meta_pipeline.meta_model.synthetic import SyntheticSettings, Truth, write_synthetic_logs
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_table import join
from meta_pipeline.meta_model.walk_forward import average_uniqueness
from meta_pipeline_tests.meta_model.builders import MODELS
from meta_pipeline_tests.meta_model.training_logs import (
    SETTINGS,
    fill,
    line,
    outcomes_of,
    overlapping_noise,
    planted,
    predictions_of,
)


def failed(training: Training) -> set[str]:
    return {check.name for check in training.verdict.checks if not check.passed}


def part(value: JsonValue, *names: str) -> Any:
    found: Any = value
    for name in names:
        found = found[name]
    return found


@pytest.fixture(scope="module")
def edge() -> Training:
    predictions, outcomes = planted(Truth.EDGE, real=True)
    return train(predictions, outcomes, settings=SETTINGS)


def test_T1_T2_the_documented_files_with_Z_stamps_train_a_model(tmp_path: Path) -> None:
    files = write_synthetic_logs(tmp_path, SyntheticSettings(n=1200))
    first = files[0].read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first)["timestamp"].endswith("Z")
    training = train(read_prediction_log(files[0], MODELS), read_outcome_log(files[1]), settings=SETTINGS)
    assert read_artifact(training.artifact).sha256 == training.model.sha256
    assert read_instant("2026-02-06T10:00:00Z").microseconds == read_instant("2026-02-06T11:00:00+01:00").microseconds
    assert read_instant("2026-02-06T10:00:00") == (read_instant("2026-02-06T10:00:00Z").microseconds, False)


def test_T3_missing_or_garbage_logs_are_refused_and_synthetic_ones_never_promoted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no prediction log"):
        read_prediction_log(tmp_path / "missing.jsonl", MODELS)
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_text("garbage\n[1, 2]\n{}\n", encoding="utf-8")
    log = read_prediction_log(garbage, MODELS)
    assert [(item.line, item.reason) for item in log.quarantined] == [
        (1, "not_json"),
        (2, "not_an_object"),
        (3, "bad_symbol"),
    ]
    with pytest.raises(InsufficientData, match="none of 0 predictions has an outcome"):
        train(log, outcomes_of([fill(0)]), settings=SETTINGS)
    synthetic = train(*planted(Truth.EDGE), settings=SETTINGS)
    assert failed(synthetic) == {"data_kind"}
    assert synthetic.model.metadata["data_kind"] == "synthetic"
    declared = train(*planted(Truth.EDGE), settings=SETTINGS, declared_kind="real")
    assert failed(declared) == {"data_kind"}


def test_T3_a_planted_edge_on_data_said_to_be_real_opens_the_gate(edge: Training) -> None:
    assert edge.verdict.promoted, edge.verdict.reasons
    undeclared = planted(Truth.EDGE, real=True)
    silent = replace(undeclared[0], data_kind="undeclared")
    assert failed(train(silent, undeclared[1], settings=SETTINGS)) == {"data_kind"}
    assert train(silent, undeclared[1], settings=SETTINGS, declared_kind="real").verdict.promoted


def test_T4_without_outcomes_there_is_no_label_and_copying_the_vote_has_no_lift(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Without outcomes there is nothing to learn from"):
        read_outcome_log(tmp_path / "outcomes.csv")
    # Outcomes that always agree with the majority: the vote is right, so nothing can be earned over it.
    predictions, _ = planted(Truth.EDGE, real=True)
    sides = majority_of(predictions.votes)
    moves = np.where(sides == BUY, 1.0, np.where(sides == SELL, -1.0, 0.0))
    fills = [fill(5 * row, float(move), outcome="win" if move else "loss", hold=5.0) for row, move in enumerate(moves)]
    copied = train(
        predictions,
        outcomes_of(fills),
        settings=replace(SETTINGS, cost=TradingCost(round_trip_pct=0.1, pnl_is_net=False)),
    )
    assert part(copied.model.metadata, "test", "accuracy") > 0.8
    assert "lift_over_majority_vote" in failed(copied)


def test_T5_a_fill_a_millisecond_later_is_joined_and_one_too_late_is_dropped() -> None:
    predictions = predictions_of([line(0), line(5), line(10)])
    late = outcomes_of([fill(0 + 0.001 / 60, 1.0), fill(5.9, -1.0), fill(11.1, 1.0), fill(-0.5, 1.0)])
    table, counts = join(predictions, late, cost=TradingCost(round_trip_pct=0.1))
    assert (counts.n_matched, counts.n_predictions_without_outcome) == (2, 1)
    assert counts.n_outcomes_without_prediction == 2
    assert [ACTIONS[label] for label in table.labels] == ["BUY", "SELL"]
    assert (table.starts == predictions.times[:2]).all()


def test_T6_two_fills_of_one_decision_are_one_event() -> None:
    predictions = predictions_of([line(0), line(5)])
    fills = [fill(0, 3.0, hold=5), fill(0.2, -1.0, hold=9), fill(5, 1.0), fill(5, -1.0, action="SELL")]
    table, counts = join(predictions, outcomes_of(fills))
    assert len(table) == 1
    assert table.payoffs[0].tolist() == [-1.0, 0.0, 1.0]
    assert table.ends[0] - table.starts[0] == round(9.2 * 60e6)
    assert (counts.n_further_fills, counts.n_conflicting_fills) == (2, 1)


def test_T7_labels_come_from_the_net_result_and_unknown_actions_are_quarantined() -> None:
    predictions = predictions_of([line(0), line(5), line(10), line(15)])
    fills = [
        fill(0, -2.5, outcome="win"),
        fill(5, 0.0, outcome="breakeven"),
        fill(10, 1.0, action="CLOSE"),
        fill(15, 0.05, outcome="win"),
    ]
    outcomes = outcomes_of(fills)
    assert [item.reason for item in outcomes.quarantined] == ["unknown_action"]
    table, counts = join(predictions, outcomes, cost=TradingCost(round_trip_pct=0.1, pnl_is_net=False))
    # a fall of 2.5 % pays for selling; a move of 0.05 % does not pay a cost of 0.1 % on either side
    assert [ACTIONS[label] for label in table.labels] == ["SELL", "HOLD", "HOLD"]
    assert counts.n_contradicting == 1
    documented, _ = join(predictions, outcomes, rule=LabelRule.DOCUMENTED)
    assert [ACTIONS[label] for label in documented.labels] == ["BUY", "HOLD", "BUY"]


def test_T8_a_line_without_regime_is_neutral_and_counted() -> None:
    without = {name: value for name, value in line(0).items() if name != "regime"}
    log = predictions_of([without, line(5, regime="bull"), line(10)])
    assert len(log) == 3
    assert log.votes.features()[:, -2:].tolist() == [[0.5, 0.0]] * 3
    assert np.isnan(log.votes.volatility).tolist() == [True, True, False]
    assert log.votes.regime_invalid.tolist() == [False, True, False]


def test_T9_an_out_of_order_log_is_sorted_and_one_instant_stays_on_one_side() -> None:
    rng = np.random.default_rng(0)
    minutes = np.repeat(np.arange(0, 500, 5), 3)
    names = ["A", "B", "C"]
    lines = [line(float(minute), symbol=names[row % 3]) for row, minute in enumerate(minutes)]
    fills = [fill(float(minute), symbol=names[row % 3]) for row, minute in enumerate(minutes)]
    shuffled = [lines[row] for row in rng.permutation(len(lines))]
    predictions = predictions_of(shuffled)
    assert (np.diff(predictions.times) >= 0).all()
    table, counts = join(predictions, outcomes_of(fills), cost=TradingCost(round_trip_pct=0.1))
    split = set_aside(table, counts, SETTINGS)
    assert len(np.intersect1d(table.starts[split.development], table.starts[split.test])) == 0
    assert table.ends[split.development].max() < table.starts[split.test].min()


def test_T10_the_scaler_sees_its_own_window_only() -> None:
    rng = np.random.default_rng(0)
    n = 600
    features = rng.normal(size=(n, 26)).astype(np.float32)
    features[n // 2 :] += 10.0  # a level shift that a scaler fitted on everything would know beforehand
    labels = rng.integers(0, 3, n).astype(np.int8)
    starts = np.arange(n, dtype=np.int64) * 60_000_000
    windows = calibration_windows(starts, starts, np.arange(n), embargo=0)
    fitted = fit(features, labels, np.ones(n), windows, inverse_penalty=0.1, seed=0)
    for member, window in zip(fitted.members, windows, strict=True):
        scaler = member.calibrated_classifiers_[0].estimator.steps[0][1]
        assert scaler.mean_ == pytest.approx(features[window.train].astype(np.float64).mean(axis=0))
    assert abs(features[windows[0].train].mean()) < 0.2


def test_T11_noise_with_overlapping_labels_does_not_beat_the_majority() -> None:
    differences = []
    for seed in range(3):
        training = train(
            *overlapping_noise(seed),
            settings=replace(SETTINGS, cost=TradingCost(round_trip_pct=0.57, pnl_is_net=False)),
        )
        unseen = part(training.model.metadata, "out_of_fold")
        accuracy, majority = unseen["accuracy"], unseen["majority_accuracy"]
        # 50 labels that overlap are one experience: that many fewer decisions carry the standard error
        n = (
            average_uniqueness(training.table.starts, training.table.ends).sum()
            * unseen["n_samples"]
            / len(training.table)
        )
        error = (majority * (1 - majority) / n) ** 0.5
        assert n < 150
        assert abs(accuracy - majority) <= 2 * error
        differences.append(accuracy - majority)
        assert not training.verdict.promoted
        assert {"lift_over_weighted_ensemble", "override_rate"} <= failed(training)
    assert np.mean(differences) <= 0.0


def test_T12_calibration_comes_after_what_it_calibrates(edge: Training) -> None:
    members = part(edge.model.metadata, "windows", "members")
    assert len(members) == 2
    for member in members:
        assert member["train_labels_known"] < member["calibrate_from"]
    for fold in part(edge.model.metadata, "windows", "folds"):
        assert fold["train_labels_known"] < fold["test_from"]


def test_T13_random_labels_stay_a_candidate_and_regimes_are_measured_out_of_fold() -> None:
    training = train(*planted(Truth.NOISE, real=True), settings=SETTINGS)
    assert not training.verdict.promoted
    assert "lift_over_weighted_ensemble" in failed(training)
    unseen = part(training.model.metadata, "out_of_fold")
    regimes = unseen["regimes"]
    assert set(regimes) == {
        "low_volatility", "medium_volatility", "high_volatility", "downtrend", "sideways", "uptrend", "unknown",
    }  # fmt: skip
    assert (
        sum(regimes[name]["n_samples"] for name in ("low_volatility", "medium_volatility", "high_volatility"))
        == (unseen["n_samples"])
    )
    assert unseen["n_samples"] < part(training.model.metadata, "windows", "held_back", "n_train")


def test_T14_the_artifact_says_what_it_was_made_of(tmp_path: Path) -> None:
    files = write_synthetic_logs(tmp_path, SyntheticSettings(n=1200))
    with files[0].open("a", encoding="utf-8") as appended:
        appended.write("garbage\n")
    predictions, outcomes = read_prediction_log(files[0], MODELS), read_outcome_log(files[1])
    training = train(predictions, outcomes, settings=SETTINGS, code_version="abc123")
    metadata = training.model.metadata
    assert metadata["n_samples"] == 1200
    assert part(metadata, "settings", "seed") == 42
    assert part(metadata, "sources", "predictions", "predictions.jsonl") == predictions.digests["predictions.jsonl"]
    assert part(metadata, "versions", "code") == "abc123"
    assert part(metadata, "versions", "scikit_learn")
    assert part(metadata, "quarantined", "first") == ["predictions.jsonl:1201 not_json"]
    assert train(predictions, outcomes, settings=SETTINGS, code_version="abc123").artifact == training.artifact


def test_T15_a_losing_trade_does_not_teach_hold_and_rare_trades_weigh_more() -> None:
    predictions = predictions_of([line(0), line(5), line(10)])
    fills = [fill(0, -2.0, propensity=0.5), fill(5, 2.0, propensity=0.1), fill(10, -0.01, propensity=1.0)]
    table, _ = join(predictions, outcomes_of(fills), cost=TradingCost(round_trip_pct=0.1))
    assert [ACTIONS[label] for label in table.labels] == ["SELL", "BUY", "HOLD"]
    assert (table.weights / table.weights[2]).tolist() == pytest.approx([2.0, 10.0, 1.0])
    documented, _ = join(predictions, outcomes_of(fills), rule=LabelRule.DOCUMENTED)
    assert documented.labels.tolist() == [HOLD, BUY, HOLD]


def test_the_csv_is_read_as_documented(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(fill(0)))
        writer.writeheader()
        writer.writerows([fill(0), fill(5, symbol="ETH,USDT")])
    outcomes = read_outcome_log(file)
    assert outcomes.symbol_names == ("BTCUSDT", "ETH,USDT")
    assert (outcomes.ends - outcomes.starts).tolist() == [300_000_000, 300_000_000]
