"""The twenty-seven faults of the predecessor, by their numbers: each with its failing input, and what we do with it."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.hyperband import forest_evaluator, forests
from meta_pipeline.hyperband.bar_files import read_bars
from meta_pipeline.hyperband.brackets import Hyperband
from meta_pipeline.hyperband.executors import InProcess
from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator, build
from meta_pipeline.hyperband.ledger import Entry, RungValue, create_or_open
from meta_pipeline.hyperband.legacy_objective import (
    DEPLOYED_FROM,
    LegacyRow,
    composite,
    legacy_better,
    legacy_score,
)
from meta_pipeline.hyperband.objective import PENALTIES, Viability, objective_named
from meta_pipeline.hyperband.performance import performance
from meta_pipeline.hyperband.promotion import best_first
from meta_pipeline.hyperband.results import improvement, result_of
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.simulator import LEAVE_LONG, Orders, simulate
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.hyperband.strategy_space import CHOICES, TRADING
from meta_pipeline.hyperband.training_data import prepare
from meta_pipeline.store.search_ledgers import checkpoints_in
from meta_pipeline_tests.hyperband import toy
from meta_pipeline_tests.hyperband.paths import path
from meta_pipeline_tests.hyperband.strategies import SMALLEST, configurations, noise, settings
from meta_pipeline_tests.hyperband.test_legacy_objective import FLAWLESS, rows
from meta_pipeline_tests.hyperband.test_objective import PERFECT

DOCUMENTED = objective_named("documented")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, dict[Slot, Entry]]:
    given = toy.search_settings()
    ledger = create_or_open(optuna.storages.InMemoryStorage(), given)
    search = Search(ledger, checkpoints_in(tmp_path_factory.mktemp("search")), worker="test", clock=time.time)
    return search, search.run(InProcess())


def test_bug_01_a_share_of_features_stays_a_number_and_every_choice_fits() -> None:
    choices = CHOICES["entry_max_features"]
    assert [type(choice) for choice in choices] == [str, str, float, float, float, float]
    assert str(np.random.default_rng(0).choice(np.array(["sqrt", 0.5]))) in {"sqrt", "0.5"}  # the fault: a text
    for choice in choices:
        noise().evaluate({**SMALLEST, "entry_max_features": choice}, 0, 1, None)
    with pytest.raises(InputError, match=r"entry_max_features = '0.5' \(str\)"):
        noise().evaluate({**SMALLEST, "entry_max_features": "0.5"}, 0, 1, None)


def test_bug_02_twenty_symbols_on_one_time_do_not_multiply_rows() -> None:
    symbols = [path(1000, seed=number, symbol=f"S{number:02d}") for number in range(20)]
    data = ForestEvaluator(settings(), symbols).data
    assert data.research.n_rows == 20 * len(data.research.times)
    assert sum(len(fold.test) for fold in data.research.folds) == data.research.n_rows


def test_bug_03_no_series_runs_over_symbols() -> None:
    cheap, dear = path(1000, seed=1, symbol="DOGE"), path(1000, seed=2, symbol="BTC")
    dear = replace(dear, **{name: getattr(dear, name) * 1e5 for name in ("open", "high", "low", "close")})
    both = ForestEvaluator(settings(), [cheap, dear])
    checkpoint = both.evaluate(SMALLEST, 0, 1, None).checkpoint
    assert np.abs(both.replay(SMALLEST, checkpoint, 1).returns).max() < 0.05  # no jump from one price to another


def test_bug_04_ten_winning_trips_are_ten_winners() -> None:
    n = 31
    opening = np.tile([100.0, 100.0, 102.0], n)[: 3 * 10 + 1]
    target, leave = np.zeros(len(opening)), np.zeros(len(opening), dtype=np.uint8)
    target[0::3], leave[1::3] = 0.5, LEAVE_LONG
    target[-1] = 0.0
    none = np.full(len(opening), np.inf)
    done = simulate((opening,) * 4, Orders(target=target, leave=leave, stop=none, take=none), fee=0.0, slippage=0.0)
    assert done.trips.profit.tolist() == pytest.approx([0.01] * 10)
    found = performance(done.returns, done.trips.profit, done.trips.size, periods_per_year=252.0)
    assert found["profit_factor"].value == math.inf


@pytest.mark.parametrize("depth", [-0.3, -0.9])
def test_bug_05_a_drawdown_never_pays(depth: float) -> None:
    assert composite({**FLAWLESS, "max_drawdown": depth}) == pytest.approx(0.85)  # the fault
    assert DOCUMENTED.score_of({**PERFECT, "max_drawdown": depth}) < DOCUMENTED.score_of(PERFECT)


def test_bug_06_volatility_never_pays() -> None:
    assert composite({**FLAWLESS, "volatility_penalty": -2.0}) > composite(FLAWLESS)  # the fault
    assert DOCUMENTED.score_of({**PERFECT, "volatility": 0.6}) < DOCUMENTED.score_of(PERFECT)
    assert [PENALTIES["volatility"](value) for value in (0.2, 0.42, 9.0)] == pytest.approx([0.0, 1.0, 1.0], abs=2e-3)


def test_bug_07_a_flawless_strategy_scores_one_and_could_be_proposed() -> None:
    assert composite(FLAWLESS) == pytest.approx(0.65)
    assert composite(FLAWLESS) < DEPLOYED_FROM  # the fault
    assert DOCUMENTED.score_of(PERFECT) == pytest.approx(1.0)


def test_bug_08_a_year_of_four_hour_bars_has_2190() -> None:
    returns = 0.004 * np.random.default_rng(3).standard_normal(2000) + 0.0001
    ours = performance(returns, [], [], periods_per_year=path(2000, seed=0).annual_periods)["sharpe_ratio"].value
    theirs = legacy_score(rows(1.0), [100.0, *(100 * np.cumprod(1 + returns))]).metrics["sharpe_ratio"]
    assert ours / theirs == pytest.approx(math.sqrt(2190 / 252))


def test_bug_09_persistence_is_over_28_days_against_the_market() -> None:
    flat = legacy_score(rows(1.0), [100.0] * 200).metrics["alpha_persistence"]
    assert flat == pytest.approx(0.3)  # the fault
    assert math.isnan(performance([0.0] * 200, [], [], periods_per_year=2190.0)["alpha_persistence"].value)
    short = performance([0.01, -0.01] * 160, [0.1], [1.0], periods_per_year=2190.0)["alpha_persistence"]
    assert short.reason == "320 bars; two windows of 168 are needed"  # 168 four-hour bars are 28 days


def test_bug_10_all_winners_are_all_winners_whatever_the_length() -> None:
    theirs = legacy_score(rows(*[1.0] * 25), [100.0, 101.0, 102.0]).metrics["trade_efficiency"]
    assert theirs == pytest.approx(0.65)  # the fault: purchases count as losers
    for years in (1, 4):
        n = 50 * years
        ours = performance([0.001, 0.002] * (126 * years), [0.01] * n, [1.0] * n, periods_per_year=252.0)
        assert ours["trade_efficiency"].value == pytest.approx(1.0)


def test_bug_11_single_losses_single_wins_and_ruin_are_what_they_are() -> None:
    one_loss = [0.01] * 50 + [-0.02] + [0.01] * 50
    equity = (100 * np.cumprod(1 + np.array(one_loss))).tolist()
    assert legacy_score(rows(1.0), equity).metrics["sortino_ratio"] == 0.0  # the fault
    assert performance(one_loss, [], [], periods_per_year=252.0)["sortino_ratio"].value > 10
    assert legacy_score(rows(0.01), equity).metrics["profit_factor"] == 10.0  # the fault: one cent
    cent = performance(one_loss, [1e-7], [1.0], periods_per_year=252.0)["profit_factor"]
    assert (cent.value, cent.reason) == (math.inf, "no losing round trip")
    assert "round_trips is 1, at least 10 is needed" in Viability().reasons(
        performance(one_loss, [1e-7], [1.0], periods_per_year=252.0)
    )
    losers = [LegacyRow(action="SELL", value=1.0, pnl=-1.0)] * 20
    assert legacy_score(losers, [100.0, 50.0, 0.0, 0.0, 0.0]).composite == pytest.approx(0.109, abs=5e-4)  # the fault
    ruined = performance([-0.5, -1.0, 0.0, 0.0], [-1.0], [1.0], periods_per_year=252.0)
    assert ruined["max_drawdown"].value == -1.0
    assert DOCUMENTED.score(ruined) < 0.05
    assert Viability().constraints(ruined)["max_drawdown"] > 0


def test_bug_12_better_is_relative() -> None:
    assert not legacy_better(0.10, 0.149)  # the fault: half as good again
    assert legacy_better(0.90, 0.951)
    better, slightly = (improvement(RungValue(value=b), RungValue(value=a)) for a, b in ((0.10, 0.149), (0.90, 0.91)))
    assert better == pytest.approx(0.49)
    assert slightly == pytest.approx(0.0111, abs=1e-4)


def test_bug_13_nothing_is_filled_from_behind_and_training_ends_before_labels_reach_the_test() -> None:
    """The rest of number 13 is in test_causality: features, orders, fills and labels."""
    data = noise().data
    for fold in data.split.folds:
        assert fold.test_start - fold.train_stop >= noise().settings.horizon
    assert np.isnan(data.research.usual_continues).sum() == 0
    early = prepare([path(1500, seed=11)], settings(anchored=True))
    assert early.split.folds[0].train_start >= 118  # rows whose windows are not full are left out, not filled


def test_bug_14_a_lucky_low_rung_does_not_win(searched: tuple[Search, dict[Slot, Entry]]) -> None:
    _, entries = searched
    result = result_of(toy.search_settings(), entries)
    assert {top.entry.slot for top in result.top} == {slot for slot, entry in entries.items() if 9 in entry.rungs}
    highest = max(rung.value for entry in entries.values() for rung in entry.rungs.values())
    assert result.candidate is not None
    assert result.candidate.result.value == max(
        e.rungs[9].value for e in entries.values() if 9 in e.rungs and e.rungs[9].violation == 0
    )
    assert highest > result.candidate.result.value  # there was a luckier one, with less resource


def test_bug_15_no_parameter_is_dead() -> None:
    """Each by itself, on real prices, is in test_forest_evaluator; here: the five that were dead."""
    base = noise().evaluate(SMALLEST, 0, 1, None).returns
    for name, value in {
        "momentum_threshold": 2.5,
        "profit_n_estimators": 300,
        "profit_max_depth": 18,
        "profit_min_samples_split": 20,
        "profit_min_samples_leaf": 12,
    }.items():
        assert not np.array_equal(noise().evaluate({**SMALLEST, name: value}, 0, 1, None).returns, base), name


def test_bug_16_resource_is_trees_grown_and_each_is_grown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []

    def counted(engine: Any, kind: Any, shape: Any, n_trees: int, *rest: Any) -> Any:
        grown.append(n_trees)
        return forests.votes_of_piece(engine, kind, shape, n_trees, *rest)

    monkeypatch.setattr(forest_evaluator, "votes_of_piece", counted)
    first = noise().evaluate(SMALLEST, 0, 1, None)
    at_first = sum(grown)
    noise().evaluate(SMALLEST, 1, 9, first.checkpoint)
    assert sum(grown) == 2 * (50 + 50 + 50 + 100)  # two folds, all four forests, nothing twice
    assert at_first == 2 * (6 + 6 + 6 + 12)


def test_bug_17_the_first_rung_has_models_or_says_that_it_cannot() -> None:
    with pytest.raises(InputError, match="complete rows to train a fold on, of 50 needed"):
        ForestEvaluator(settings(train_bars=20, embargo=0), [path(700, seed=0)]).evaluate(SMALLEST, 0, 1, None)
    first = [noise().evaluate(config, 0, 1, None).returns for config in configurations(3, seed=4)]
    assert len({returns.tobytes() for returns in first}) == 3


def test_bug_18_work_is_done_by_processes_on_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """That processes give the same answer is in test_search_processes."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    used: list[int] = []

    def watched(kind: type[Any]) -> Any:
        def made(**options: Any) -> Any:
            used.append(options["n_jobs"])
            return kind(**options)

        return made

    monkeypatch.setattr(forests, "_classes", lambda _: (watched(ExtraTreesClassifier), watched(ExtraTreesRegressor)))
    noise().evaluate(SMALLEST, 0, 1, None)
    assert used == [1] * 8  # four models, two folds


@pytest.mark.parametrize(("r", "eta", "brackets"), [(243, 3, 6), (1000, 10, 4), (81, 3, 5)])
def test_bug_19_no_bracket_is_lost_to_a_logarithm(r: int, eta: int, brackets: int) -> None:
    assert len(Hyperband(maximum_resource=r, eta=eta).brackets) == brackets


def test_bug_20_the_same_search_twice_is_the_same(searched: tuple[Search, dict[Slot, Entry]], tmp_path: Path) -> None:
    _, entries = searched
    assert len(set(entries)) == Hyperband(maximum_resource=9, eta=3).configurations
    np.random.seed(1)  # noqa: NPY002 -- whatever the global state is, it has no say
    ledger = create_or_open(optuna.storages.InMemoryStorage(), toy.search_settings())
    again = Search(ledger, checkpoints_in(tmp_path), worker="other", clock=time.time).run(InProcess())
    assert result_of(toy.search_settings(), again).digest == result_of(toy.search_settings(), entries).digest


def test_bug_21_and_22_results_are_json_and_come_back_as_they_were(
    searched: tuple[Search, dict[Slot, Entry]],
) -> None:
    _, entries = searched
    result = result_of(toy.search_settings(), entries)
    assert len(result.top) >= 5
    read = json.loads(canonical_json(result.to_json(history=True)))
    for top, back in zip(result.top, read["top_configs"], strict=True):
        assert back["config"] == dict(top.entry.config)
        assert {name: type(value) for name, value in back["config"].items()} == {
            name: type(value) for name, value in top.entry.config.items()
        }
    config = json.loads(canonical_json(configurations(1, seed=2)[0]))
    noise().evaluate(config, 0, 1, None)


def test_bug_23_a_drawn_configuration_is_plain_json_that_a_proposal_can_carry(
    searched: tuple[Search, dict[Slot, Entry]],
) -> None:
    _, entries = searched
    for entry in entries.values():
        assert all(type(value) in {bool, int, float, str} for value in entry.config.values())
        assert json.loads(canonical_json(dict(entry.config))) == dict(entry.config)


def test_bug_24_a_result_just_better_than_the_best_is_kept() -> None:
    close = {Slot(0, 0, number): RungValue(value=value) for number, value in enumerate((0.500, 0.509, 0.505))}
    assert [close[slot].value for slot in best_first(close)] == [0.509, 0.505, 0.500]


def test_bug_25_what_was_done_before_an_interruption_is_kept(tmp_path: Path) -> None:
    """Kills of whole process groups are in test_search_processes."""

    class Stops(InProcess):
        def map_unordered(self, jobs: Any) -> Any:
            for number, job in enumerate(jobs):
                if number == 5:
                    raise TimeoutError("the round took too long")
                yield from super().map_unordered(iter([job]))

    storage = optuna.storages.InMemoryStorage()
    given = toy.search_settings(toy={"log": str(tmp_path / "log")})
    checkpoints = checkpoints_in(tmp_path)
    with pytest.raises(TimeoutError):
        Search(create_or_open(storage, given), checkpoints, worker="a", clock=time.time).run(Stops())
    Search(create_or_open(storage, given), checkpoints, worker="a", clock=time.time).run(InProcess())
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == len(set(lines)) == Hyperband(maximum_resource=9, eta=3).evaluations


def test_bug_26_without_data_there_is_no_search_and_never_a_made_up_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        build({"data": {"path": str(tmp_path / "crypto_4h_dataset.csv")}})
    with pytest.raises(InputError, match="data has no synthetic; it has path, symbols"):
        build({"data": {"synthetic": True}})


def test_bug_27_times_of_bars_need_no_frequency_names(tmp_path: Path) -> None:
    bars = path(500, seed=0)
    frame = pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")})
    frame.assign(time=pd.date_range("2024-07-21", periods=500, freq="4h")).to_csv(tmp_path / "X.csv", index=False)
    assert read_bars(tmp_path / "X.csv")[0].annual_periods == 2190.0


def test_all_twenty_seven_are_here() -> None:
    named = "".join(name for name in globals() if name.startswith("test_bug_"))
    numbers = {f"{number:02d}" for number in range(1, 28)}
    assert {n for n in numbers if f"bug_{n}" in named or f"and_{n}" in named} == numbers
    assert len(TRADING) == 5
