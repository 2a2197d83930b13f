import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import Conflict, InputError
from meta_pipeline.hyperband.holdout import Opening, earlier_looks
from meta_pipeline.hyperband.neighbourhood import neighbours
from meta_pipeline.hyperband.performance import performance
from meta_pipeline.hyperband.played import Played
from meta_pipeline.hyperband.protocol import CategoricalParameter, FloatParameter, IntegerParameter, Space
from meta_pipeline.hyperband.strategy_space import SPACE
from meta_pipeline.hyperband.verdict import (
    Gate,
    ResearchEvidence,
    Thresholds,
    Verdict,
    holdout_gates,
    research_gates,
    unopened_gates,
)
from meta_pipeline_tests.hyperband.strategies import SMALLEST

N, CONFIGS = 1200, 20
PERIODS = 2190.0
QUICK = Thresholds(draws=99)


def played(returns: Any, n_trips: int = 60, benchmark: Any = None) -> Played:
    series = np.asarray(returns, dtype=np.float64)
    market = np.zeros(len(series)) if benchmark is None else benchmark
    profits = np.full(n_trips, 0.01)
    profits[::3] = -0.005
    return Played(
        times=np.datetime64("2020-01-01", "s") + np.arange(len(series)) * np.timedelta64(14_400, "s"),
        returns=series,
        benchmark=market,
        profits=profits,
        sizes=np.full(n_trips, 0.5),
        exit_places=np.linspace(0, len(series) - 1, n_trips).astype(np.int64),
        figures=performance(series, profits, np.full(n_trips, 0.5), periods_per_year=PERIODS, benchmark=market),
        ruined=(),
    )


def evidence(skill: float, seed: int = 0, **change: Any) -> ResearchEvidence:
    """Configurations without skill, but for the last."""
    generator = np.random.default_rng(seed)
    everything = 0.01 * generator.standard_normal((N, CONFIGS))
    everything[:, -1] += 0.01 * skill
    ratios = everything.mean(axis=0) / everything.std(axis=0, ddof=1)
    best = everything[:, int(np.argmax(ratios))]
    given = ResearchEvidence(
        played=played(best, benchmark=0.01 * generator.standard_normal(N)),
        stressed=played(best - 0.0002),
        unviable=(),
        all_returns=everything,
        all_sharpe_ratios=ratios,
        n_scored=CONFIGS,
        neighbour_sharpe_ratios=np.full(6, float(ratios.max()) * math.sqrt(PERIODS)),
    )
    return replace(given, **change)


SKILLED = evidence(0.18)


def gate(name: str, found: ResearchEvidence) -> Gate:
    return next(gate for gate in research_gates(found, QUICK) if gate.name == name)


def test_skill_passes_every_gate_and_luck_does_not() -> None:
    assert all(gate.passed for gate in research_gates(SKILLED, QUICK))
    for seed in range(2):
        lucky = research_gates(evidence(0.0, seed), QUICK)
        failed = {gate.name for gate in lucky if not gate.passed}
        assert "deflated Sharpe ratio" in failed
        assert "beats buy-and-hold" in failed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("viable", {"unviable": ("sharpe_ratio is 0.4, at least 0.5 is needed",)}),
        ("round trips", {"played": played(SKILLED.played.returns, n_trips=29)}),
        ("deflated Sharpe ratio", {"n_scored": 10**9}),
        ("deflated Sharpe ratio", {"all_sharpe_ratios": SKILLED.all_sharpe_ratios * 3}),
        ("backtest overfitting", {"all_returns": evidence(0.0).all_returns}),
        ("beats buy-and-hold", {"played": replace(SKILLED.played, benchmark=SKILLED.played.returns * 2)}),
        ("beats the live configuration", {"live_returns": SKILLED.played.returns}),
        ("doubled costs", {"stressed": played(SKILLED.played.returns - 0.004)}),
        ("neighbourhood", {"neighbour_sharpe_ratios": np.array([0.1, 0.2, 9.0, np.nan, np.nan])}),
    ],
)
def test_each_gate_can_fail_on_its_own(name: str, change: dict[str, Any]) -> None:
    spoilt = replace(SKILLED, **change)
    assert name in {gate.name for gate in research_gates(spoilt, QUICK) if not gate.passed}
    if name != "beats the live configuration":
        assert gate(name, SKILLED).passed
    assert gate("beats the live configuration", replace(SKILLED, live_returns=0.01 * np.sin(np.arange(N)))).passed


def test_trials_of_earlier_searches_and_failed_ones_count() -> None:
    values = [gate("deflated Sharpe ratio", replace(SKILLED, n_scored=n)).value for n in (20, 143, 2000)]
    assert values[0] is not None
    assert values[0] > (values[1] or 0) > (values[2] or 0)
    with pytest.raises(InputError, match="19 configurations were scored, but 20 are shown; count all"):
        research_gates(replace(SKILLED, n_scored=19), QUICK)
    with pytest.raises(InputError, match="all_returns has shape"):
        research_gates(replace(SKILLED, all_returns=np.zeros((3, 20))), QUICK)


def test_among_equals_that_are_all_good_the_choice_is_no_overfitting() -> None:
    generator = np.random.default_rng(2)
    common = 0.01 * generator.standard_normal(N) + 0.003
    equals = common[:, None] + 0.001 * generator.standard_normal((N, CONFIGS))
    ratios = equals.mean(axis=0) / equals.std(axis=0, ddof=1)
    change = {"all_returns": equals, "all_sharpe_ratios": ratios, "played": played(equals[:, ratios.argmax()])}
    found = gate("backtest overfitting", replace(SKILLED, **change))
    assert found.value is not None
    assert found.value > found.threshold
    assert found.passed
    assert "the median configuration alone has a deflated Sharpe ratio of" in found.reason
    bad = equals - common[:, None] - 0.001
    assert not gate("backtest overfitting", replace(SKILLED, **{**change, "all_returns": bad})).passed


def test_what_is_unknown_is_not_passed() -> None:
    idle = played(np.zeros(N), n_trips=0)
    nothing = replace(
        SKILLED,
        played=idle,
        stressed=idle,
        all_returns=np.zeros((N, 3)),
        all_sharpe_ratios=np.full(3, np.nan),
        neighbour_sharpe_ratios=np.zeros(0),
    )
    unknown = [gate for gate in research_gates(nothing, QUICK) if gate.value is None]
    assert {gate.name for gate in unknown} == {
        "deflated Sharpe ratio",
        "backtest overfitting",
        "beats buy-and-hold",
        "doubled costs",
        "neighbourhood",
    }
    assert not any(gate.passed for gate in unknown)
    assert all(gate.reason for gate in unknown)
    assert not any(gate.passed for gate in unopened_gates(QUICK))
    assert not any(g.passed for g in holdout_gates(idle, PERIODS, earlier_looks=0, thresholds=QUICK))


def test_each_earlier_look_asks_more_of_the_holdout() -> None:
    returns = 0.01 * np.random.default_rng(1).standard_normal(600)
    returns += 0.01 * (1.85 / math.sqrt(600)) - returns.mean()
    found = [holdout_gates(played(returns), PERIODS, earlier_looks=looks, thresholds=QUICK)[1] for looks in (0, 1, 4)]
    assert [gate.threshold for gate in found] == pytest.approx([0.95, 0.975, 0.99])
    assert [gate.passed for gate in found] == [True, False, False]
    assert len({gate.value for gate in found}) == 1


def test_a_verdict_says_what_it_is_in_one_sentence_and_in_json() -> None:
    gates = research_gates(SKILLED, QUICK)
    lost = Verdict(config="ab" * 32, gates=gates + unopened_gates(QUICK), trials=20)
    assert lost.summary == (
        "No winner: configuration abababababab, the best of 20, does not pass holdout round trips, holdout."
    )
    won = Verdict(config="ab" * 32, gates=gates, trials=20, earlier_looks=0)
    assert won.summary == "Winner: configuration abababababab passes all 7 gates."
    read = json.loads(canonical_json(lost.to_json()))
    assert read["winner"] is False
    assert read["gates"][-1]["value"] is None
    assert not Verdict(config="ab", gates=(), trials=0).is_winner


def look(as_of: int, config: str, first: int = 1, scope: str = "lab") -> Opening:
    days = {"first_day": date(2026, 1, first), "last_day": date(2026, 1, 28)}
    return Opening(scope=scope, as_of=date(2026, 2, as_of), config=config, **days)


def test_a_holdout_is_opened_once_per_as_of_date() -> None:
    assert earlier_looks([], look(1, "a")) == 0
    assert earlier_looks([look(1, "a")], look(1, "a")) == 0  # the same look again
    with pytest.raises(Conflict, match="as of 2026-02-01 was opened for a; a holdout is opened once per as-of date"):
        earlier_looks([look(1, "a")], look(1, "b"))
    assert earlier_looks([look(1, "a", scope="other")], look(1, "b")) == 0


def test_looks_of_earlier_dates_at_the_same_days_are_counted() -> None:
    looks = [look(1, "a"), look(2, "b"), look(2, "b"), look(3, "a")]
    assert earlier_looks(looks, look(4, "c")) == 3
    later = replace(look(5, "d"), first_day=date(2026, 1, 29), last_day=date(2026, 2, 4))
    assert earlier_looks(looks, later) == 0


def test_neighbours_differ_in_one_parameter_by_one_step() -> None:
    space = Space(
        parameters=(
            CategoricalParameter(name="c", choices=("sqrt", 0.5, 1.0)),
            IntegerParameter(name="i", low=0, high=5),
            FloatParameter(name="f", low=0.0, high=1.0),
        )
    )
    at = {"c": 0.5, "i": 5, "f": 0.02}
    found = [{k: v for k, v in near.items() if v != at[k]} for near in neighbours(space, at)]
    assert found == [{"c": "sqrt"}, {"c": 1.0}, {"i": 4}, {"f": 0.0}, {"f": pytest.approx(0.12)}]
    assert all(SPACE.check(near) for near in neighbours(SPACE, SMALLEST))
    assert len(neighbours(SPACE, SMALLEST)) == 22 + 1 + 1  # at the corner but for two parameters
