import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meta_pipeline.errors import ArtifactBroken, InputError
from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator, build
from meta_pipeline.hyperband.forests import engine, piece_seed
from meta_pipeline.hyperband.lab_bars import lab_bars
from meta_pipeline.hyperband.protocol import Evaluation, Evaluator
from meta_pipeline.hyperband.strategy_settings import Data, StrategySettings
from meta_pipeline.hyperband.strategy_space import CHOICES, SPACE, TRADING
from meta_pipeline.hyperband.training_data import prepare
from meta_pipeline_tests.hyperband.paths import changed_after, path
from meta_pipeline_tests.hyperband.strategies import SMALLEST, noise, settings


@pytest.mark.parametrize("name", ["extra_trees", "intelex"])
def test_a_forest_grown_in_steps_is_the_forest_grown_at_once(name: str) -> None:
    if name == "intelex":
        pytest.importorskip("sklearnex", reason="scikit-learn-intelex has no wheel here")
    evaluator = noise(engine=name)
    assert isinstance(evaluator, Evaluator)
    first = evaluator.evaluate(SMALLEST, 0, 1, None)
    second = evaluator.evaluate(SMALLEST, 1, 3, first.checkpoint)
    third = evaluator.evaluate(SMALLEST, 3, 9, second.checkpoint)
    at_once = evaluator.evaluate(SMALLEST, 0, 9, None)
    assert third.checkpoint == at_once.checkpoint
    assert third.returns.tobytes() == at_once.returns.tobytes()
    assert (third.value, dict(third.metrics)) == (at_once.value, dict(at_once.metrics))
    assert first.returns.tobytes() != third.returns.tobytes()
    assert len(first.returns) == len(third.returns) == len(evaluator.data.research.times)


def test_a_copy_in_another_process_gives_the_same_bytes() -> None:
    evaluator = noise()
    copy = pickle.loads(pickle.dumps(evaluator))
    assert "data" not in copy.__dict__  # what is derived does not travel
    assert copy.fingerprint == evaluator.fingerprint
    ours, theirs = (found.evaluate(SMALLEST, 0, 1, None) for found in (evaluator, copy))
    assert (ours.checkpoint, ours.returns.tobytes()) == (theirs.checkpoint, theirs.returns.tobytes())


@cache
def real() -> tuple[ForestEvaluator, Evaluation]:
    evaluator = ForestEvaluator(settings(), [lab_bars(["NASDAQ"])[0].cut(0, 1800)])
    return evaluator, evaluator.evaluate(SMALLEST, 0, 1, None)


@pytest.mark.parametrize("name", SPACE.names)
def test_every_parameter_changes_the_returns_on_real_prices(name: str) -> None:
    evaluator, base = real()
    assert base.metrics["round_trips"] != 0.0
    others = [choice for choice in CHOICES[name] if choice != SMALLEST[name]]
    changed = evaluator.evaluate({**SMALLEST, name: others[-1]}, 0, 1, None)
    assert changed.returns.tobytes() != base.returns.tobytes()
    assert (changed.checkpoint == base.checkpoint) == (name in TRADING)


def test_there_are_twenty_two_parameters() -> None:
    assert len(SPACE.names) == 22
    assert TRADING == (
        "momentum_threshold",
        "position_range_min",
        "position_range_max",
        "confidence_threshold",
        "exit_threshold",
    )


def test_the_future_changes_no_return_before_it() -> None:
    bars = path(1500, seed=11)
    evaluator = noise()
    start = evaluator.data.split.test_start
    last_same = evaluator.data.split.folds[0].test_stop - 50
    other = ForestEvaluator(evaluator.settings, [changed_after(bars, last_same, seed=2)])
    ours, theirs = (found.evaluate(SMALLEST, 0, 1, None).returns for found in (evaluator, other))
    assert np.array_equal(ours[: last_same + 1 - start], theirs[: last_same + 1 - start])
    assert not np.array_equal(ours, theirs)


def test_the_holdout_is_not_touched_by_any_evaluation() -> None:
    bars = path(1500, seed=11)
    evaluator = noise()
    first = evaluator.data.split.holdout.test_start
    other = ForestEvaluator(evaluator.settings, [changed_after(bars, first - 1, seed=2)])
    ours, theirs = (found.evaluate(SMALLEST, 0, 1, None) for found in (evaluator, other))
    assert ours.returns.tobytes() == theirs.returns.tobytes()
    assert evaluator.data.research.times[-1] < evaluator.data.holdout.times[0] == bars.times[first]
    assert ours.returns.shape == (first - evaluator.settings.embargo - evaluator.data.split.test_start,)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"fee": 0.001},
        {"horizon": 10},
        {"embargo": 13},
        {"allow_short": False},
        {"rungs": (3, 9)},
        {"objective": "sharpe"},
        {"stop_loss": None},
        {"engine": "random_forest"},
    ],
)
def test_whatever_changes_answers_changes_the_fingerprint(change: dict[str, Any]) -> None:
    bars = [path(1500, seed=11)]
    assert ForestEvaluator(settings(**change), bars).fingerprint != noise().fingerprint
    assert ForestEvaluator(settings(), [path(1500, seed=12)]).fingerprint != noise().fingerprint
    assert ForestEvaluator(settings(data=Data(path="elsewhere.csv")), bars).fingerprint == noise().fingerprint


def test_the_engine_is_the_fastest_there_is_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_pipeline.hyperband.forests.find_spec", lambda name: None if name == "sklearnex" else 1)
    assert engine().name == "extra_trees"
    with pytest.raises(InputError, match="engine 'intelex' needs scikit-learn-intelex; install it"):
        engine("intelex")
    with pytest.raises(InputError, match="engine 'xgboost' is not known; there are auto, intelex"):
        engine("xgboost")
    assert any(text.startswith("scikit-learn ") for text in noise().describe()["versions"])


def test_a_checkpoint_of_another_configuration_or_rung_is_refused() -> None:
    evaluator = noise()
    first = evaluator.evaluate(SMALLEST, 0, 1, None).checkpoint
    with pytest.raises(ArtifactBroken, match="forests"):
        evaluator.evaluate({**SMALLEST, "exit_max_depth": 15}, 1, 3, first)
    with pytest.raises(ArtifactBroken, match="units is 1, not 3"):
        evaluator.evaluate(SMALLEST, 3, 9, first)
    with pytest.raises(InputError, match="from 1 units without a checkpoint"):
        evaluator.evaluate(SMALLEST, 1, 3, None)
    with pytest.raises(InputError, match="pieces end at 1, 3, 9"):
        evaluator.evaluate(SMALLEST, 0, 2, None)
    with pytest.raises(InputError, match=r"exit_threshold = 0.7"):
        evaluator.evaluate({**SMALLEST, "exit_threshold": 0.7}, 0, 1, None)


def test_parameters_of_trading_are_traded_again_without_a_tree() -> None:
    evaluator = noise()
    base = evaluator.evaluate(SMALLEST, 0, 1, None)
    other = {**SMALLEST, "position_range_max": 0.9}
    assert evaluator.carries_over(SMALLEST, other)
    assert not evaluator.carries_over(SMALLEST, {**SMALLEST, "entry_max_depth": 20})
    again = evaluator.replay(other, base.checkpoint, 1)
    assert again.returns.tobytes() == evaluator.evaluate(other, 0, 1, None).returns.tobytes()
    dearer = evaluator.replay(SMALLEST, base.checkpoint, 1, cost_factor=2.0)
    assert dearer.returns.sum() < base.returns.sum()


def test_symbols_are_apart_and_share_the_account() -> None:
    one, two = path(1500, seed=11, symbol="ONE"), path(1500, seed=12, symbol="TWO")
    both = ForestEvaluator(settings(), [one, two])
    checkpoint = both.evaluate(SMALLEST, 0, 1, None).checkpoint
    played = both.replay(SMALLEST, checkpoint, 1)
    windows = both.data.research.symbols
    assert [window.bars.symbol for window in windows] == ["ONE", "TWO"]
    halves = [np.diff(window.bars.close) / window.bars.close[:-1] / 2 for window in windows]
    np.testing.assert_allclose(played.benchmark[1:], halves[0] + halves[1], rtol=0, atol=1e-15)
    assert both.data.research.folds[0].train.shape[0] == pytest.approx(
        2 * noise().data.research.folds[0].train.shape[0]
    )
    # Whatever happens to TWO, the features and labels of ONE stay what they are.
    other = ForestEvaluator(settings(), [one, replace(two, close=two.close * 1.0005, high=two.high * 1.001)])
    alone = prepare([one], settings())
    for found in (both, other):
        rows = found.data.research.folds[0].test
        assert np.array_equal(rows[: len(rows) // 2], alone.research.folds[0].test)


def test_a_symbol_that_begins_late_trains_and_trades_from_then_on() -> None:
    early, late = lab_bars(["WTI"])[0], lab_bars(["SP500"])[0]
    data = prepare([early.cut(2500, 6000), late.cut(0, 2500)], settings())
    shapes = [len(fold.train) for fold in data.research.folds]
    assert shapes[0] < shapes[-1]
    assert data.research.symbols[1].listed[0] == 0
    assert all(np.isfinite(fold.train).all() and np.isfinite(fold.test).all() for fold in data.research.folds)


def test_symbols_that_do_not_fit_together_are_refused() -> None:
    one = path(1500, seed=11, symbol="ONE")
    with pytest.raises(InputError, match="same spacing, and all volumes or none"):
        prepare([one, replace(path(1500, seed=12, symbol="TWO"), volume=None)], settings())
    with pytest.raises(InputError, match="200 bars are too few"):
        prepare([one.cut(0, 200)], settings())


def test_settings_are_read_from_json_and_checked(tmp_path: Path) -> None:
    bars = path(1500, seed=11)
    frame = pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")})
    frame.assign(time=bars.times).to_parquet(tmp_path / "X.parquet")
    given = {"data": {"path": str(tmp_path / "X.parquet")}, "max_resource": 9, "n_folds": 2, "engine": "extra_trees"}
    assert build(given).fingerprint == noise().fingerprint
    with pytest.raises(InputError, match="settings has no fees; it has data, max_resource"):
        build({"fees": 0.1})
    with pytest.raises(InputError, match=r"settings has fee = '0.1'; it is of type float"):
        build({"fee": "0.1"})
    with pytest.raises(InputError, match="settings has n_folds = True"):
        build({"n_folds": True})
    with pytest.raises(InputError, match=r"rungs are .3, 1, 9.; they increase"):
        build({"rungs": [3, 1, 9], "max_resource": 9})
    with pytest.raises(InputError, match="market 'DAX' is not in the lab"):
        build({"data": {"symbols": ["DAX"]}})
    with pytest.raises(InputError, match=r"holdout_share is 0.6"):
        StrategySettings(holdout_share=0.6)


def test_seeds_of_pieces_do_not_collide() -> None:
    named = [(model, fold, unit) for model in ("entry", "exit") for fold in range(20) for unit in range(200)]
    assert len({piece_seed(0, *parts) for parts in named}) == len(named)
    assert all(0 <= piece_seed(0, *parts) < 2**31 for parts in named)
