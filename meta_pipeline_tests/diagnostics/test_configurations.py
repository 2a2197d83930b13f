import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.canonical import canonical_json
from meta_pipeline.diagnostics.configurations import (
    Configurations,
    configurations,
    high_risk,
    pareto_set,
    underperforming,
)
from meta_pipeline.diagnostics.records import Configuration, Figures, Thresholds
from meta_pipeline_tests.diagnostics.builders import KNOBS, LIVE, Run, panel, run, series

THRESHOLDS = Thresholds()


def grouped(*runs: Run) -> Configurations:
    return configurations(panel(runs), knobs=KNOBS, live=LIVE)


def configuration(name: str, sharpe: float | None, drawdown: float | None, volatility: float | None) -> Configuration:
    figures = Figures(n_runs=1, n_distinct=1, n_days=9, sharpe=sharpe, max_drawdown=drawdown, volatility=volatility)
    return Configuration(configuration_id=name, knobs={}, markets=(), figures=figures)


def test_runs_that_differ_only_in_undeclared_keys_are_one_configuration() -> None:
    found = grouped(run(seed=1, market="SPX"), run(seed=2, market="NDX"), run(50, seed=3))
    assert len(found.all) == 2
    by_lookback = {one.knobs["lookback"]["value"]: one for one in found.all}  # type: ignore[index,call-overload]
    assert by_lookback[20].markets == ("NDX", "SPX")
    assert by_lookback[20].figures.n_runs == 2
    assert found.live == found.all.index(by_lookback[20])


@pytest.mark.parametrize(("one", "other"), [(True, 1), (1, 1.0), (None, 0), ("1", 1)])
def test_values_of_another_type_are_another_configuration(one: object, other: object) -> None:
    assert len(grouped(run(one), run(other)).all) == 2


def test_a_missing_key_and_a_null_are_two_configurations() -> None:
    absent = Run(config={"lookback": 20}, returns=series(1.0))
    null = Run(config={"lookback": 20, "risk": {"vol": None}}, returns=series(1.0, seed=1))
    assert len(grouped(absent, null).all) == 2


def test_copies_of_a_run_count_once_a13() -> None:
    once = grouped(run(seed=1, sharpe=2.0), run(seed=2, sharpe=0.0))
    copied = grouped(*[run(seed=1, sharpe=2.0)] * 30, run(seed=2, sharpe=0.0))
    assert copied.all[0].figures.n_runs == 31
    assert copied.all[0].figures.n_distinct == 2
    assert copied.all[0].figures.sharpe == once.all[0].figures.sharpe
    assert copied.n_distinct == once.n_distinct == 2


def test_figures_of_one_run_are_those_of_its_returns() -> None:
    figures = grouped(run(sharpe=1.3, volatility=0.2)).all[0].figures
    assert figures.sharpe == pytest.approx(1.3)
    assert figures.volatility == pytest.approx(0.2)
    assert figures.mean_return == pytest.approx(1.3 * 0.2)
    assert figures.max_drawdown is not None
    assert -1 < figures.max_drawdown < 0
    assert figures.n_days == 500
    assert not figures.missing


def test_a_short_run_cannot_outvote_a_long_one_a12() -> None:
    figures = grouped(run(sharpe=0.8, seed=1), run(sharpe=-6.0, seed=2, days=20)).all[0].figures
    assert figures.sharpe == pytest.approx((500 * 0.8 - 20 * 6.0) / 520)


def test_windows_of_one_configuration_are_taken_together_and_not_the_best_of_them_c02() -> None:
    good = [run(20, sharpe=value, seed=i, days=60, start=60 * i, block=f"w{i}") for i, value in enumerate((3.0, 2.9))]
    bad = [run(20, sharpe=-4.0, seed=i, days=60, start=60 * i, block=f"w{i}") for i in range(2, 6)]
    steady = [run(50, sharpe=1.5, seed=9)]
    found = grouped(*good, *bad, *steady)
    by_lookback = {one.knobs["lookback"]["value"]: one.figures.sharpe for one in found.all}  # type: ignore[index,call-overload]
    assert by_lookback[20] == pytest.approx((3.0 + 2.9 - 16.0) / 6)
    assert by_lookback[50] == pytest.approx(1.5)
    assert [one.knobs["lookback"] for one in underperforming(found.all, THRESHOLDS).configurations] == [
        {"absent": False, "value": 20}
    ]


def test_a_missing_sharpe_ratio_is_no_underperformance_a17() -> None:
    empty = [Run(config={"lookback": i}, reported={}) for i in range(4)]
    found = grouped(*empty, run(99, sharpe=2.0))
    assert underperforming(found.all, THRESHOLDS).count == 0
    unknown = next(one for one in found.all if one.figures.n_days == 0)
    assert unknown.figures.sharpe is None
    assert unknown.figures.missing["sharpe"] == "no return series, and not reported"


def test_metrics_only_runs_are_pooled_from_what_they_report() -> None:
    reported = [{"annualised_sharpe": 1.0, "annualised_vol": 0.3, "max_drawdown": -0.1}, {"annualised_sharpe": 2.0}]
    figures = grouped(*(Run(config={"lookback": 1}, reported=one) for one in reported)).all[0].figures
    assert figures.sharpe == pytest.approx(1.5)
    assert figures.max_drawdown == -0.1
    assert figures.mean_return is None
    assert figures.win_rate is None


def test_win_rate_is_computed_or_null_a18() -> None:
    returns = np.array([0.01, 0.02, -0.01, 0.0, 0.01])
    assert grouped(Run(config={"lookback": 1}, returns=returns)).all[0].figures.win_rate == pytest.approx(0.75)


def test_underperformers_are_configurations_worst_first_with_a_reason() -> None:
    found = underperforming(
        [configuration("a", 0.49, 0.0, 0.1), configuration("b", -1.0, 0.0, 0.1), configuration("c", 0.5, 0.0, 0.1)],
        THRESHOLDS,
    )
    assert [one.configuration_id for one in found.configurations] == ["b", "a"]
    assert found.configurations[1].reasons == ("Sharpe ratio 0.49 is below 0.50",)


def test_high_risk_names_each_limit_that_is_passed_and_meeting_it_exactly_is_allowed() -> None:
    found = high_risk(
        [
            configuration("calm", 1.0, -0.20, 0.30),
            configuration("wild", 1.0, -0.55, 0.81),
            configuration("deep", 1.0, -0.21, None),
        ],
        THRESHOLDS,
    )
    assert {one.configuration_id: one.reasons for one in found.configurations} == {
        "wild": ("volatility 81.0 % is above 30.0 %", "maximum drawdown -55.0 % is below -20.0 %"),
        "deep": ("maximum drawdown -21.0 % is below -20.0 %",),
    }


def test_high_risk_starts_with_what_is_farthest_beyond_its_limit() -> None:
    found = high_risk(
        [
            configuration("vol 1.5 x", 1.0, -0.1, 0.45),
            configuration("dd 4 x", 1.0, -0.8, 0.2),
            configuration("vol 3 x", 1.0, -0.1, 0.9),
        ],
        THRESHOLDS,
    )
    assert [one.configuration_id for one in found.configurations] == ["dd 4 x", "vol 3 x", "vol 1.5 x"]


def test_findings_are_counted_in_full_and_named_up_to_a_hundred() -> None:
    many = [configuration(f"{i:03}", -1.0, None, None) for i in range(250)]
    found = underperforming(many, THRESHOLDS)
    assert (found.count, len(found.configurations)) == (250, 100)


def test_of_equal_configurations_the_shallower_drawdown_stays_c01() -> None:
    found = pareto_set([configuration("deep", 1.0, -0.60, 0.1), configuration("shallow", 1.0, -0.05, 0.1)])
    assert [one.configuration_id for one in found.configurations] == ["shallow"]


axis = st.sampled_from([-0.5, 0.0, 0.25, 1.0])


@given(st.lists(st.tuples(axis, axis, axis), max_size=12))
def test_the_pareto_set_holds_exactly_those_that_nothing_beats(points: list[tuple[float, float, float]]) -> None:
    made = [configuration(str(i), *point) for i, point in enumerate(points)]

    def beats(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
        a, b = (one[0], one[1], -one[2]), (other[0], other[1], -other[2])
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    expected = {str(i) for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert {one.configuration_id for one in pareto_set(made).configurations} == expected


def test_a_config_that_cannot_be_read_at_a_path_is_set_aside_and_named() -> None:
    odd = Run(config={"lookback": 20, "risk.vol": 0.1}, returns=series(1.0))
    found = grouped(odd, run(seed=1))
    assert "ambiguous" in found.unreadable["run-0"]
    assert sum(one.figures.n_runs for one in found.all) == 1


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_runs_has_no_influence_bit_for_bit(order: list[int]) -> None:
    runs = [run(20 + 10 * (i % 2), sharpe=0.3 * i, seed=i, market=f"M{i % 3}", days=100 + i) for i in range(6)]

    def written(chosen: list[Run]) -> list[str]:
        return [canonical_json(one.to_json()) for one in grouped(*chosen).all]

    assert written([runs[i] for i in order]) == written(runs)


def test_nothing_is_ever_nan() -> None:
    flat = Run(config={"lookback": 1}, returns=np.zeros(50))
    figures = grouped(flat).all[0].figures
    assert figures.sharpe is None
    assert "Sharpe" in figures.missing["sharpe"]
    values = [value for value in figures.to_json().values() if isinstance(value, float)]
    assert all(math.isfinite(value) for value in values)
