"""Who is promoted: feasible first, then the better; with several objectives by domination; never by who was quicker."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.checkpoints import Moments
from meta_pipeline.hyperband.ledger import RungValue
from meta_pipeline.hyperband.promotion import answer_first, best_first, objective_values
from meta_pipeline.hyperband.search_settings import PARETO, parse_objectives
from meta_pipeline.hyperband.slots import Slot


def slot(number: int) -> Slot:
    return Slot(0, 4, number)


def value(value: float, violation: float = 0.0, error: str | None = None, **metrics: float | None) -> RungValue:
    return RungValue(value=value, metrics=metrics, constraints={"c": violation}, error=error)


def order(*values: RungValue, objectives: str = "") -> list[int]:
    rung = {slot(number): found for number, found in enumerate(values)}
    return [found.number for found in best_first(rung, parse_objectives(objectives))]


def test_the_feasible_come_first_then_the_least_violated_and_failures_never() -> None:
    assert order(value(1), value(9, 0.5), value(2), value(99, 0.1), value(50, error="no")) == [2, 0, 3, 1]


def test_ties_go_to_the_lower_number() -> None:
    assert order(*[value(1.0)] * 5) == [0, 1, 2, 3, 4]
    assert order(value(-math.inf), value(1.0)) == [1, 0]


def test_the_dominated_come_after_those_that_dominate_them_and_constraints_before_all() -> None:
    both = "sharpe:max,turnover:min"
    best, worse, other = value(0, sharpe=2, turnover=1), value(0, sharpe=1, turnover=2), value(0, sharpe=3, turnover=5)
    assert order(worse, best, other, objectives=both)[-1] == 0
    assert order(value(0, 0.1, sharpe=9, turnover=0), worse, objectives=both) == [1, 0]
    assert order(value(0, sharpe=None, turnover=3), worse, objectives=both) == [1, 0]  # unknown is as bad as can be


def test_within_a_front_the_crowded_go_last() -> None:
    front = [value(0, a=a, b=-a) for a in (0.0, 1.0, 1.1, 4.0, 10.0)]
    placed = order(*front, objectives="a:max,b:max")
    assert set(placed[:2]) == {0, 4}  # the ends
    assert placed[-1] in {1, 2}  # the neighbours of each other


def test_the_answer_is_the_best_value_of_the_best_front_and_not_its_end() -> None:
    timid, best, wild = value(0.1, a=0.0, b=0.0), value(0.9, a=3.0, b=-3.0), value(0.3, a=9.0, b=-9.0)
    dominated, broken = value(5.0, a=2.0, b=-4.0), value(9.0, violation=0.1, a=99.0, b=99.0)
    rung = {slot(number): found for number, found in enumerate([timid, best, wild, dominated, broken])}
    both = parse_objectives("a:max,b:max")
    assert [found.number for found in answer_first(rung, both, scored=5)] == [1, 2, 0, 3, 4]
    assert best_first(rung, both)[0] != slot(1)  # promotion keeps the ends
    assert answer_first(rung, (), scored=5) == best_first(rung)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12))
def test_nobody_is_before_one_that_dominates_them(points: list[tuple[int, int]]) -> None:
    placed = order(*[value(0, a=a, b=b) for a, b in points], objectives="a:max,b:max")
    for at, later in enumerate(placed):
        for earlier in placed[:at]:
            dominates = points[later] != points[earlier] and all(
                x >= y for x, y in zip(points[later], points[earlier], strict=True)
            )
            assert not dominates


def test_the_deflated_sharpe_ratio_counts_all_that_were_ever_scored() -> None:
    objectives = parse_objectives("deflated_sharpe_ratio:max,turnover:min")
    rung = {
        slot(n): RungValue(value=0, metrics={"turnover": 1.0}, moments=Moments(500, 0.02 * n, 0.0, 3.0))
        for n in range(6)
    }
    few, many = (objective_values(rung, objectives, scored=scored) for scored in (6, 600))
    assert all(many[found][0] < few[found][0] for found in rung)
    assert few[slot(5)][0] > few[slot(4)][0] > 0
    assert best_first(rung, objectives, scored=600)[0] == slot(5)


@pytest.mark.parametrize("text", ["sharpe", "sharpe:up,b:max", "a:max,a:min", "a:max"])
def test_objectives_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_objectives(text)


def test_the_usual_objectives_are_the_documented_four() -> None:
    assert [item.maximise for item in parse_objectives(PARETO)] == [True, False, True, False]
