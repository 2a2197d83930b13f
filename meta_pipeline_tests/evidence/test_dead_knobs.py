from collections.abc import Sequence

import numpy as np
import pytest

from meta_pipeline.evidence.dead_knobs import dead_knobs
from meta_pipeline.evidence.distinct import distinct_runs
from meta_pipeline.evidence.influence import Runs
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline_tests.evidence.worlds import chosen, grid, panel_of, world

A, B = (np.random.default_rng(seed).standard_normal(50) * 0.01 for seed in (1, 2))


def dead(panel: RunPanel, knobs: Sequence[str]) -> tuple[str, ...]:
    distinct = distinct_runs(panel, np.arange(panel.n_runs), knobs)
    runs = Runs(
        by_run=panel.returns.T,
        columns=panel.columns[distinct.columns],
        summary=summarize(panel.returns[:, panel.columns[distinct.columns]], 252),
        periods_per_year=panel.periods_per_year[distinct.columns],
    )
    return dead_knobs(distinct, runs)


def beside_leverage(last: np.ndarray) -> RunPanel:
    """No two runs differ in `dead` alone; `leverage` doubles returns, which the first two runs show."""
    configs = [
        {"speed": 0, "leverage": 1, "dead": 0},
        {"speed": 0, "leverage": 2, "dead": 0},
        {"speed": 1, "leverage": 1, "dead": 0},
        {"speed": 1, "leverage": 2, "dead": 1},
    ]
    return panel_of(np.column_stack([A, 2 * A, B, last]), configs)


def test_a_knob_whose_pairs_are_all_identical_is_dead() -> None:
    panel = world(np.random.default_rng(0), [grid()] * 2, n_days=60, dead=4)
    assert dead(panel, [f"k{i}" for i in range(6)]) == ("k4",)


def test_a_knob_that_matters_in_one_pair_is_alive() -> None:
    returns = np.random.default_rng(0).standard_normal((50, 4)) * 0.01
    returns[:, 1] = returns[:, 0]
    configs = [{"a": a, "b": b} for b in (0, 1) for a in (0, 1)]
    assert dead(panel_of(returns, configs), ["a", "b"]) == ()
    returns[:, 3] = returns[:, 2]
    assert dead(panel_of(returns, configs), ["a", "b"]) == ("a",)


def test_a_knob_without_any_matched_pair_is_not_called_dead() -> None:
    configs = [{"a": 0, "b": 0}, {"a": 1, "b": 1}]
    assert dead(panel_of(np.column_stack([A, B]), configs), ["a", "b"]) == ()
    assert dead(panel_of(np.column_stack([A, A]), configs), ["a", "b"]) == ()  # they might make up for each other


def test_a_knob_is_seen_to_be_dead_where_another_one_only_scales() -> None:
    assert dead(beside_leverage(2 * B), ["speed", "leverage", "dead"]) == ("dead",)
    assert dead(beside_leverage(np.nextafter(2 * B, 1)), ["speed", "leverage", "dead"]) == ("dead",)


@pytest.mark.parametrize("last", [2.2 * B, B, -2 * B, 2 * A, np.where(np.arange(50) == 7, np.nan, 2 * B)])
def test_a_knob_that_does_anything_beside_the_scale_is_alive(last: np.ndarray) -> None:
    assert dead(beside_leverage(last), ["speed", "leverage", "dead"]) == ()


def test_scale_and_a_dead_knob_are_told_apart_where_no_run_shows_either_alone() -> None:
    configs = [
        {"speed": 0, "leverage": 1, "dead": 0},
        {"speed": 0, "leverage": 2, "dead": 1},
        {"speed": 1, "leverage": 1, "dead": 1},
        {"speed": 1, "leverage": 2, "dead": 0},
    ]
    knobs = ["speed", "leverage", "dead"]
    assert dead(panel_of(np.column_stack([A, 2 * A, B, 2 * B]), configs), knobs) == ("dead",)
    assert dead(panel_of(np.column_stack([A, 2 * A, B, 3 * B]), configs), knobs) == ()


def test_two_knobs_of_which_neither_is_seen_alone_are_not_called_dead() -> None:
    configs = [{"leverage": 1, "dead": 0}, {"leverage": 2, "dead": 1}]
    assert dead(panel_of(np.column_stack([A, 2 * A]), configs), ["leverage", "dead"]) == ()


def test_a_knob_is_seen_to_be_dead_beside_another_dead_one() -> None:
    configs = [{"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 0, "b": 1}]
    assert dead(panel_of(np.column_stack([A, A, A]), configs), ["a", "b"]) == ("a", "b")
    configs = [{"s": 0, "a": 0, "b": 0}, {"s": 0, "a": 1, "b": 0}, {"s": 1, "a": 0, "b": 0}, {"s": 1, "a": 1, "b": 1}]
    assert dead(panel_of(np.column_stack([A, A, B, B]), configs), ["s", "a", "b"]) == ("a", "b")
    assert dead(panel_of(np.column_stack([A, A, B, A]), configs), ["s", "a", "b"]) == ("a",)


def test_in_random_searches_the_dead_knob_is_found_and_no_other_in_whatever_order_the_runs_come() -> None:
    knobs = [f"k{i}" for i in range(6)]
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        panel = world(rng, [rng.integers(0, 3, (25, 6)) for _ in range(4)], n_days=30, dead=4, leverage=5)
        found.append(dead(panel, knobs))
        assert dead(chosen(panel, rng.permutation(panel.n_runs).tolist()), knobs) == found[-1]
    assert set(found) <= {("k4",), ()}
    assert found.count(()) <= 1
