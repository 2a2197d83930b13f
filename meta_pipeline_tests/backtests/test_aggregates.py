"""Pooling: what a slice's figures are, and that nothing is made up."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meta_pipeline.backtests.aggregates import UNLABELLED, Aggregate, Dimension, aggregate
from meta_pipeline.canonical import digest
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.panel import ReportedMetrics, RunPanel
from meta_pipeline_tests.backtests.runs import returns_of, trading_days

N = 1000
DAYS = trading_days(N).astype("datetime64[s]")


def a_panel(columns: list[NDArray[np.float64]], **changes: Any) -> RunPanel:
    """Runs on shared days; a column that is NaN throughout is a metrics-only run."""
    n = len(columns)
    return RunPanel(
        **{
            "run_ids": tuple(f"r{i}" for i in range(n)),
            "configs": tuple({"k": i} for i in range(n)),
            "blocks": ("b",) * n,
            "markets": ("SP500",) * n,
            "dates": DAYS,
            "returns": np.asfortranarray(np.column_stack(columns)) if n else np.empty((N, 0)),
            "periods_per_year": np.full(n, 252.0),
            **changes,
        }
    )


def series(seed: int, *, first: int = 0, last: int = N, sharpe: float | None = None) -> NDArray[np.float64]:
    """Returns on days first to last, NaN elsewhere; with exactly the annual Sharpe ratio asked for."""
    column = np.full(N, np.nan)
    returns = returns_of(last - first, seed=seed)
    if sharpe is not None:
        returns = returns - returns.mean() + sharpe * returns.std(ddof=1) / math.sqrt(252)
    column[first:last] = returns
    return column


NOTHING = np.full(N, np.nan)


def pick(found: tuple[Aggregate, ...], dimension: Dimension, label: str) -> Aggregate:
    [one] = [one for one in found if (one.dimension, one.label) == (dimension, label)]
    return one


def whole(panel: RunPanel, **options: Any) -> Aggregate:
    return pick(aggregate(panel, strategy_id="trend", **options), Dimension.STRATEGY, "trend")


def test_figures_of_a_single_run_are_those_of_the_run() -> None:
    found = whole(a_panel([series(1)]))
    own = summarize(series(1), 252.0)
    assert found.sharpe == pytest.approx(own.sharpe_ratio[0], rel=1e-14)
    assert found.mean_return == pytest.approx(own.mean_return[0], rel=1e-14)
    assert found.volatility == pytest.approx(own.volatility[0], rel=1e-14)
    assert found.max_drawdown == own.max_drawdown[0]
    assert found.win_rate == own.win_rate[0]
    assert (found.n_runs, found.n_distinct, found.n_days) == (1, 1, N)
    assert found.missing == {}


def test_a12_short_runs_do_not_outvote_long_ones() -> None:
    long = [series(seed, sharpe=0.8) for seed in range(10)]
    short = [series(20, first=0, last=20, sharpe=6.0), series(21, first=0, last=20, sharpe=-1.0)]
    configs = tuple({"alpha": 0} for _ in long) + tuple({"alpha": 1} for _ in short)
    found = aggregate(a_panel(long + short, configs=configs), strategy_id="trend")
    by_years = (10 * N * 0.8 + 20 * 6.0 - 20 * 1.0) / (10 * N + 40)
    assert pick(found, Dimension.STRATEGY, "trend").sharpe == pytest.approx(by_years)  # a mean over runs would say 1.08
    few = pick(found, Dimension.CONFIG, digest({"alpha": 1}))
    assert few.sharpe == pytest.approx(2.5)
    error = few.body["sharpe_standard_error"]
    assert error == pytest.approx(math.sqrt(252 / 20))  # +1.7 over the long runs is half a standard error
    assert isinstance(error, float)
    assert (2.5 - 0.8) / error < 0.5


def test_pooled_mean_and_volatility_weigh_days_and_not_runs() -> None:
    parts = [series(1, last=100), series(2)]
    found = whole(a_panel(parts))
    days = np.concatenate([part[~np.isnan(part)] for part in parts])
    assert found.mean_return == pytest.approx(days.mean() * 252)
    squares = sum(float(np.nansum((part - np.nanmean(part)) ** 2)) for part in parts)
    assert found.volatility == pytest.approx(math.sqrt(squares / (100 + N - 2) * 252))
    assert found.max_drawdown == summarize(np.column_stack(parts), 252.0).max_drawdown.min()


def test_markets_with_other_periods_weigh_by_years() -> None:
    found = whole(a_panel([series(1, sharpe=1.0), series(2, sharpe=0.0)], periods_per_year=np.array([252.0, 365.0])))
    # The Sharpe ratio of the second is 0 in any convention; the first has 1000/252 years, the second 1000/365.
    assert found.sharpe == pytest.approx((N / 252) / (N / 252 + N / 365))


def test_copies_of_a_run_count_once() -> None:
    base = [series(1), series(2)]
    once, often = whole(a_panel(base)), whole(a_panel([*base, base[0], base[0] + 0.0, base[1]]))
    assert (often.n_runs, often.n_distinct) == (5, 2)
    assert replace(often, n_runs=2) == once


def test_a18_the_win_rate_is_counted_and_never_assumed() -> None:
    returns = np.tile([0.01, -0.01, 0.02, 0.0], N // 4)
    assert whole(a_panel([returns])).win_rate == 2 / 3
    flat = whole(a_panel([np.zeros(N)]))
    assert flat.win_rate is None
    assert flat.missing["win_rate"] == "every return is zero"


def test_a19_there_are_no_regimes_without_labels() -> None:
    found = aggregate(a_panel([series(1)]), strategy_id="trend")
    assert not [one for one in found if one.dimension is Dimension.REGIME]
    empty = aggregate(a_panel([series(1)]), strategy_id="trend", regimes={"SP500": np.full(N, "")})
    assert not [one for one in empty if one.dimension is Dimension.REGIME]


def test_a19_regimes_are_computed_from_the_days_that_carry_the_label() -> None:
    labels = np.where(np.arange(N) < 300, "CALM", np.where(np.arange(N) < 900, "STORM", ""))
    columns = [series(1), series(2, first=200)]
    found = aggregate(a_panel(columns), strategy_id="trend", regimes={"SP500": labels})
    calm = pick(found, Dimension.REGIME, "CALM")
    parts = [columns[0][:300], columns[1][200:300]]
    own = [summarize(part, 252.0) for part in parts]
    assert calm.sharpe == pytest.approx((300 * own[0].sharpe_ratio[0] + 100 * own[1].sharpe_ratio[0]) / 400)
    assert calm.max_drawdown == min(one.max_drawdown[0] for one in own)
    days = {one.label: one.n_days for one in found if one.dimension is Dimension.REGIME}
    assert days == {"CALM": 300, "STORM": 600, UNLABELLED: 100}


def test_regimes_are_those_of_the_run_s_own_market() -> None:
    labels = {"SP500": np.full(N, "CALM"), "": np.full(N, "STORM")}
    panel = a_panel([series(1), series(2), series(3)], markets=("SP500", "WTI", "WTI"))
    found = aggregate(panel, strategy_id="trend", regimes=labels)
    assert pick(found, Dimension.REGIME, "CALM").n_runs == 1
    assert pick(found, Dimension.REGIME, "STORM").n_runs == 2
    only_one = aggregate(panel, strategy_id="trend", regimes={"SP500": np.full(N, "CALM")})
    assert [one.n_runs for one in only_one if one.dimension is Dimension.REGIME] == [1]


def test_a17_runs_without_usable_metrics_are_excluded_and_reported_as_data_quality() -> None:
    # Four runs with empty metrics are in quarantine, so the panel holds the one with a Sharpe ratio of 2.
    panel = a_panel([NOTHING], reported=({"annualised_sharpe": 2.0},))
    found = aggregate(panel, strategy_id="trend", states={"metrics_only": 1, "quarantined:no_returns": 4})
    mean = pick(found, Dimension.STRATEGY, "trend")
    assert (mean.sharpe, mean.n_runs, mean.n_distinct) == (2.0, 1, 1)
    quarantined = pick(found, Dimension.STATE, "quarantined:no_returns")
    assert (quarantined.n_runs, quarantined.sharpe) == (4, None)


def test_metrics_only_runs_carry_a_slice_only_where_it_has_no_returns() -> None:
    reported: tuple[ReportedMetrics, ...] = (
        {},
        {"annualised_sharpe": 9.0, "max_drawdown": -0.9},
        {"annualised_sharpe": 3.0, "max_drawdown": None},
    )
    panel = a_panel([series(1, sharpe=0.5), NOTHING, NOTHING], reported=reported, sectors=("a", "a", "b"))
    found = aggregate(panel, strategy_id="trend")
    mixed, reports = pick(found, Dimension.SECTOR, "a"), pick(found, Dimension.SECTOR, "b")
    assert mixed.sharpe == pytest.approx(0.5)
    assert (mixed.n_runs, mixed.n_distinct) == (2, 2)
    assert (mixed.body["basis"], mixed.body["n_metrics_only"]) == ("returns", 1)
    assert (reports.sharpe, reports.n_days, reports.body["basis"]) == (3.0, 0, "reported")
    assert reports.missing == {
        "mean_return": "no run of the slice has returns",
        "volatility": "not reported",
        "max_drawdown": "not reported",
        "win_rate": "no run of the slice has returns",
    }


def test_copies_of_a_metrics_only_run_count_once() -> None:
    reports = ({"annualised_sharpe": 1.0},) * 3 + ({"annualised_sharpe": 4.0},)
    panel = a_panel([NOTHING] * 4, reported=reports, configs=({"k": 1},) * 4)
    found = whole(panel)
    assert (found.sharpe, found.n_runs, found.n_distinct) == (2.5, 4, 2)


def test_configurations_are_told_apart_by_type_and_carry_themselves() -> None:
    configs = ({"k": 1}, {"k": 1.0}, {"k": True}, {"k": 1})
    found = aggregate(a_panel([series(seed) for seed in range(4)], configs=configs), strategy_id="trend")
    per_config = [one for one in found if one.dimension is Dimension.CONFIG]
    assert sorted(one.n_runs for one in per_config) == [1, 1, 2]
    assert pick(found, Dimension.CONFIG, digest({"k": 1.0})).body["config"] == {"k": 1.0}


def test_a_slice_whose_runs_do_not_vary_has_no_sharpe_ratio_and_says_why() -> None:
    found = whole(a_panel([np.full(N, 1e-4)]))
    assert found.sharpe is None
    assert "do not vary" in found.missing["sharpe"]
    assert found.volatility is not None


def test_an_empty_panel_has_only_counts() -> None:
    found = aggregate(
        a_panel([]), strategy_id="trend", states={"quarantined:ruin": 2}, distinct_series={"quarantined:ruin": 1}
    )
    [only] = found
    assert (only.dimension, only.n_runs, only.n_distinct) == (Dimension.STATE, 2, 1)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(7)))
def test_the_order_of_runs_changes_nothing(order: list[int]) -> None:
    columns = [series(seed % 4, first=50 * seed) for seed in range(6)] + [NOTHING]
    base = a_panel(
        columns,
        markets=("A", "B", "A", "B", "A", "", "B"),
        configs=tuple({"k": i % 2} for i in range(7)),
        reported=({},) * 6 + ({"annualised_sharpe": 1.0},),
    )
    names = ("run_ids", "configs", "blocks", "markets", "sectors", "reported")
    moved: dict[str, Any] = {name: tuple(getattr(base, name)[i] for i in order) for name in names}
    shuffled = replace(base, returns=np.asfortranarray(base.returns[:, order]), **moved)
    labels = {"A": np.where(np.arange(N) % 3 == 0, "X", "Y"), "B": np.full(N, "X")}
    assert aggregate(shuffled, strategy_id="s", regimes=labels) == aggregate(base, strategy_id="s", regimes=labels)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.lists(
            st.one_of(st.just(math.nan), st.just(0.0), st.floats(-2.0, 2.0, allow_subnormal=True)),
            min_size=5,
            max_size=5,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_the_returns_no_figure_is_nan_or_out_of_range(values: list[list[float]]) -> None:
    columns = [np.array(value) for value in values]
    panel = a_panel(columns, dates=trading_days(5).astype("datetime64[s]"))
    for one in aggregate(panel, strategy_id="s", regimes={"": np.array(["X", "X", "Y", "", "Y"])}):
        figures = [one.sharpe, one.mean_return, one.volatility, one.max_drawdown, one.win_rate]
        assert all(figure is None or math.isfinite(figure) for figure in figures)
        assert all(math.isfinite(value) for value in one.body.values() if isinstance(value, float))
        assert one.max_drawdown is None or -1 <= one.max_drawdown <= 0
        assert one.win_rate is None or 0 <= one.win_rate <= 1
        names = ("sharpe", "mean_return", "volatility", "max_drawdown", "win_rate")
        assert set(one.missing) == {name for name, figure in zip(names, figures, strict=True) if figure is None}
        assert 1 <= one.n_distinct <= one.n_runs
