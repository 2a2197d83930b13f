"""The quality gate: every defect has its code, and a sentence that names the value."""

import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from meta_pipeline.backtests import BacktestRun, ReasonCode, RunState, Trade
from meta_pipeline.backtests.quality import inspect
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline_tests.backtests.runs import a_metrics_only_run, a_run, judge, returns_of, trading_days

DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]

A_TRADE = Trade(trade_date=date(2015, 1, 5), ticker="SPY", direction="BUY", size=10, price=200.5)


def with_return(position: int, value: float) -> dict[str, Any]:
    returns = returns_of(500)
    returns[position] = value
    return {"returns": returns}


def dates_with(position: int, day: str) -> dict[str, Any]:
    dates = trading_days(500)
    dates[position] = np.datetime64(day)
    return {"dates": dates}


SHARPE = float(summarize(returns_of(500), 252.0).sharpe_ratio[0])

DEFECTS: list[tuple[ReasonCode, dict[str, Any], str]] = [
    (ReasonCode.MALFORMED_ROW, {"defects": ("runs.csv line 7: column start_date is 'soon'",)}, "line 7"),
    (ReasonCode.MALFORMED_ROW, {"config_version": 0}, "config_version is 0"),
    (ReasonCode.MALFORMED_ROW, {"config_version": 2**31}, "2147483648"),
    (ReasonCode.MALFORMED_TEXT, {"run_id": "x" * 129}, "run_id has 129 characters, 128 are the most"),
    (ReasonCode.MALFORMED_TEXT, {"run_id": ""}, "run_id is empty"),
    (ReasonCode.MALFORMED_TEXT, {"market_id": "M" * 33}, "32 are the most"),
    (ReasonCode.MALFORMED_TEXT, {"sector": "a\x00b"}, r"cannot be stored: 'a\x00b'"),
    (ReasonCode.MALFORMED_TEXT, {"universe_id": "\ud800"}, "cannot be stored"),
    (ReasonCode.MALFORMED_TEXT, {"code_version": 7}, "code_version is 7, which is not a text"),
    (ReasonCode.MALFORMED_CONFIG, {"config": [1, 2]}, "not a JSON object: [1, 2]"),
    (ReasonCode.MALFORMED_CONFIG, {"config": '{"alpha": 0.5'}, "alpha"),
    (ReasonCode.MALFORMED_CONFIG, {"config": None}, "None"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"alpha": math.nan}}, "$.alpha is nan"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"a": {"b": [math.inf]}}}, "$.a.b[0] is inf"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"name": "a\x00"}}, "NUL"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"when": date(2020, 1, 1)}}, "$.when is a date"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {1: 2}}, "has the key 1"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"big": 10**5000}}, "4300 digits"),
    (ReasonCode.MALFORMED_CONFIG, {"config": {"deep": DEEP}}, "nested too deeply"),
    (
        ReasonCode.MALFORMED_TRADE,
        {"trades": [A_TRADE, replace(A_TRADE, direction="buy")]},
        "trade 2: direction is 'buy'",
    ),
    (ReasonCode.MALFORMED_TRADE, {"trades": [replace(A_TRADE, size=-1.0)]}, "size is -1.0"),
    (ReasonCode.MALFORMED_TRADE, {"trades": [replace(A_TRADE, price=math.nan)]}, "price is nan"),
    (ReasonCode.MALFORMED_TRADE, {"trades": [replace(A_TRADE, ticker="T" * 51)]}, "at most 50"),
    (ReasonCode.LENGTH_MISMATCH, {"dates": trading_days(499)}, "500 returns for 499 dates"),
    (ReasonCode.LENGTH_MISMATCH, {"dates": None}, "500 returns and no dates"),
    (ReasonCode.LENGTH_MISMATCH, {"returns": np.zeros((500, 2))}, "2 dimensions"),
    (ReasonCode.UNREADABLE_DATES, dates_with(3, "NaT"), "date 4 is NaT"),
    (ReasonCode.UNREADABLE_DATES, dates_with(3, "0000-12-31"), "date 4 is 0000-12-31"),
    (ReasonCode.UNREADABLE_DATES, {"dates": np.arange(20150105, 20150605)}, "int64"),
    (ReasonCode.UNREADABLE_DATES, {"dates": np.array(["soon"] * 500)}, "soon"),
    (ReasonCode.UNSORTED_DATES, {"dates": trading_days(500)[::-1]}, "comes after"),
    (ReasonCode.REPEATED_DATES, dates_with(1, "2015-01-05"), "2015-01-05 occurs twice"),
    (ReasonCode.NO_RETURNS, {"dates": None, "returns": None}, "there are no returns"),
    (ReasonCode.NO_RETURNS, {"dates": trading_days(0), "returns": np.empty(0)}, "there are no returns"),
    (ReasonCode.TOO_FEW_RETURNS, {"dates": trading_days(9), "returns": returns_of(9)}, "9 returns; at least 10"),
    (ReasonCode.NOT_FINITE, with_return(4, math.nan), "the return of 2015-01-09 is nan"),
    (ReasonCode.NOT_FINITE, with_return(499, math.inf), "is inf"),
    (ReasonCode.NOT_FINITE, {"returns": np.full(500, 1e300) * returns_of(500, volatility=0)}, "compound to infinity"),
    (ReasonCode.NOT_FINITE, {"returns": ["a lot"] * 500}, "not numbers"),
    (ReasonCode.RUIN, with_return(4, -1.0), "the return of 2015-01-09 is -1.0, which takes equity to zero or below"),
    (ReasonCode.RUIN, with_return(4, -1.1), "-1.1"),
    (ReasonCode.ZERO_VOLATILITY, {"returns": np.full(500, 1e-4)}, "do not vary"),
    (ReasonCode.ZERO_VOLATILITY, {"returns": np.zeros(500)}, "standard deviation 0"),
    (ReasonCode.INVALID_WINDOW, {"start_date": date(2015, 1, 6)}, "the dates run from 2015-01-05"),
    (ReasonCode.INVALID_WINDOW, {"end_date": date(2015, 1, 6)}, "outside the window"),
    (ReasonCode.INVALID_WINDOW, {"start_date": "2015"}, "start_date is '2015'"),
    (ReasonCode.AMBIGUOUS_PERIODS_PER_YEAR, {"dates": trading_days(1000)[::2]}, "cannot be inferred"),
    (ReasonCode.PERIODS_PER_YEAR_CONFLICT, {"periods_per_year": 365}, "given as 365, but the dates hold 261"),
    (ReasonCode.PERIODS_PER_YEAR_CONFLICT, {"periods_per_year": 12}, "given as 12"),
    (ReasonCode.PERIODS_PER_YEAR_CONFLICT, {"periods_per_year": 0}, "periods_per_year is 0"),
    (ReasonCode.PERIODS_PER_YEAR_CONFLICT, {"periods_per_year": math.nan}, "periods_per_year is nan"),
    (ReasonCode.MALFORMED_METRIC, {"metrics": {"max_drawdown": "deep"}}, "max_drawdown is reported as 'deep'"),
    (ReasonCode.MALFORMED_METRIC, {"metrics": {"annualised_sharpe": True}}, "True"),
    (ReasonCode.MALFORMED_METRIC, {"metrics": [1.2]}, "metrics are [1.2]"),
    (ReasonCode.METRIC_NOT_FINITE, {"metrics": {"annualised_vol": 10**5000}}, "annualised_vol is reported as inf"),
    (
        ReasonCode.METRIC_NOT_FINITE,
        {"metrics": {"annualised_sharpe": math.inf}},
        "annualised_sharpe is reported as inf",
    ),
    (ReasonCode.DRAWDOWN_SIGN, {"metrics": {"max_drawdown": 0.2}}, "max_drawdown is reported as 0.2"),
    (ReasonCode.METRIC_MISMATCH, {"metrics": {"annualised_sharpe": SHARPE * 1.06}}, "but the returns give"),
    (ReasonCode.METRIC_MISMATCH, {"metrics": {"annualised_vol": 0.01}}, "annualised_vol is reported as 0.01"),
    (ReasonCode.METRIC_MISMATCH, {"metrics": {"max_drawdown": -0.99}}, "max_drawdown is reported as -0.99"),
    (ReasonCode.METRIC_MISMATCH, {"metrics": {"cumulative_return": 9.0}}, "cumulative_return is reported as 9"),
]

METRICS_ONLY_DEFECTS: list[tuple[ReasonCode, dict[str, Any], str]] = [
    (ReasonCode.METRIC_OUT_OF_RANGE, {"annualised_sharpe": 1.4e13}, "1.4e+13, beyond 100"),
    (ReasonCode.METRIC_OUT_OF_RANGE, {"annualised_sharpe": 1.0, "annualised_vol": -0.1}, "never negative"),
    (ReasonCode.ZERO_VOLATILITY, {"annualised_sharpe": 0.0, "annualised_vol": 0.0}, "do not vary"),
    (ReasonCode.RUIN, {"annualised_sharpe": 7.7, "max_drawdown": -1.1}, "max_drawdown is reported as -1.1"),
    (ReasonCode.RUIN, {"annualised_sharpe": 7.7, "cumulative_return": -1.0}, "zero or below"),
    (ReasonCode.DRAWDOWN_SIGN, {"annualised_sharpe": 1.0, "max_drawdown": 0.2}, "negative or zero"),
    (ReasonCode.NO_RETURNS, {"annualised_vol": 0.1}, "annualised_sharpe is missing: not reported"),
]


@pytest.mark.parametrize(("code", "changes", "words"), DEFECTS, ids=[f"{c.value}: {w}" for c, _, w in DEFECTS])
def test_a_defect_puts_the_run_into_quarantine_with_its_code_and_value(
    code: ReasonCode, changes: dict[str, Any], words: str
) -> None:
    judged = judge(a_run(**changes))
    assert (judged.state, judged.reason_code) == (RunState.QUARANTINED, code)
    assert words in (judged.reason or "")


@pytest.mark.parametrize(("code", "metrics", "words"), METRICS_ONLY_DEFECTS)
def test_a_run_without_returns_needs_reported_metrics_that_can_be_true(
    code: ReasonCode, metrics: dict[str, Any], words: str
) -> None:
    judged = judge(a_metrics_only_run(metrics))
    assert (judged.state, judged.reason_code) == (RunState.QUARANTINED, code)
    assert words in (judged.reason or "")


def test_every_reason_code_is_tested_here_or_in_the_store() -> None:
    tested = {code for code, _, _ in DEFECTS + METRICS_ONLY_DEFECTS}
    assert tested == set(ReasonCode) - {ReasonCode.DUPLICATE_ID}  # only the store knows ids of other runs


@pytest.mark.parametrize(("code", "changes", "words"), DEFECTS, ids=[f"{c.value}: {w}" for c, _, w in DEFECTS])
def test_every_part_of_a_defective_run_can_be_stored_and_told_apart(
    code: ReasonCode, changes: dict[str, Any], words: str
) -> None:
    spoiled, sound = judge(a_run(**changes)), judge(a_run())
    assert spoiled.content_digest == judge(a_run(**changes)).content_digest
    if "run_id" not in changes:
        assert spoiled.content_digest != sound.content_digest
    json.loads(spoiled.config_json.encode("utf-8"))
    for name in ("run_id", "market_id", "universe_id", "sector", "code_version", "reason", "source"):
        value = getattr(spoiled, name)
        assert b"\x00" not in value.encode("utf-8")
        assert len(value) <= 128 or name == "reason"
    assert len(spoiled.market_id) <= 32
    assert spoiled.start_date is None or spoiled.end_date is None or spoiled.start_date <= spoiled.end_date


def test_a_sound_run_is_accepted_with_recomputed_metrics() -> None:
    judged = judge(a_run())
    assert (judged.state, judged.reason_code, judged.reason) == (RunState.ACCEPTED, None, None)
    computed = json.loads(judged.computed_json or "")
    assert computed["sharpe_ratio"] == SHARPE
    assert computed["n_returns"] == 500
    assert judged.periods_per_year == 252.0
    assert (judged.start_date, judged.end_date) == (date(2015, 1, 5), date(2016, 12, 2))


def test_metrics_that_agree_with_the_returns_are_accepted_also_when_rounded() -> None:
    summary = summarize(returns_of(500), 252.0)
    reported = {
        "annualised_sharpe": round(float(summary.sharpe_ratio[0]), 2),
        "cumulative_return": round(float(summary.cumulative_return[0]), 2),
        "annualised_vol": round(float(summary.volatility[0]), 2),
        "max_drawdown": round(float(summary.max_drawdown[0]), 2),
    }
    assert judge(a_run(metrics=reported)).state is RunState.ACCEPTED
    assert judge(a_run(metrics={"annualised_sharpe": SHARPE * 1.049})).state is RunState.ACCEPTED


def test_e02_a_nearly_constant_curve_has_no_sharpe_ratio() -> None:
    equity = 100 * 1.0001 ** np.arange(301)
    returns = np.diff(equity) / equity[:-1]
    assert 0 < returns.std(ddof=1) < 1e-12  # its Sharpe ratio would be beyond 1e10, and destroy every mean
    judged = judge(a_run(dates=trading_days(300), returns=returns))
    assert judged.reason_code is ReasonCode.ZERO_VOLATILITY
    assert json.loads(judged.computed_json or "")["sharpe_ratio"] is None


def test_e02_equity_that_goes_through_zero_is_ruin_and_not_a_recovery() -> None:
    equity = np.concatenate([np.linspace(100, -10, 30), np.linspace(-10, 300, 30)])
    returns = np.diff(equity) / equity[:-1]
    judged = judge(a_run(dates=trading_days(59), returns=returns))
    assert judged.reason_code is ReasonCode.RUIN
    assert json.loads(judged.computed_json or "")["max_drawdown"] == -1.0


def test_e04_a_nan_metric_is_stored_as_null_and_counted_and_the_run_does_not_disappear() -> None:
    judged = judge(a_metrics_only_run({"annualised_sharpe": math.nan, "annualised_vol": 0.1}))
    assert (judged.state, judged.reason_code) == (RunState.QUARANTINED, ReasonCode.METRIC_NOT_FINITE)
    assert json.loads(judged.metrics_json) == {"annualised_sharpe": None, "annualised_vol": 0.1}
    assert "nan" in json.loads(judged.computed_json or "")["reported_missing"]["annualised_sharpe"]


def test_a03_a_null_sharpe_ratio_is_quarantined_and_the_rest_goes_on() -> None:
    batch = inspect([a_metrics_only_run({"annualised_sharpe": None}), a_metrics_only_run({"annualised_sharpe": 1.0})])
    assert [run.state for run in batch.runs] == [RunState.QUARANTINED, RunState.METRICS_ONLY]
    assert "reported as null" in (batch.runs[0].reason or "")


def test_a03_a_null_metric_beside_returns_is_missing_with_a_reason() -> None:
    judged = judge(a_run(metrics={"annualised_sharpe": None}))
    assert judged.state is RunState.ACCEPTED
    assert json.loads(judged.computed_json or "")["reported_missing"] == {"annualised_sharpe": "reported as null"}


def test_a04_a_number_written_as_text_is_coerced_and_other_text_is_quarantined() -> None:
    coerced, refused = inspect(
        [a_metrics_only_run({"annualised_sharpe": "1.2"}), a_metrics_only_run({"annualised_sharpe": "n/a"})]
    ).runs
    assert coerced.state is RunState.METRICS_ONLY
    assert json.loads(coerced.metrics_json) == {"annualised_sharpe": 1.2}
    assert refused.reason_code is ReasonCode.MALFORMED_METRIC
    assert "'n/a'" in (refused.reason or "")


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "nan", np.float32("nan"), 10**400], ids=lambda v: str(v)[:9]
)
def test_a05_a_metric_that_is_not_finite_is_found_wherever_it_stands(value: Any) -> None:
    good = a_metrics_only_run({"annualised_sharpe": 1.0})
    bad = a_metrics_only_run({"annualised_sharpe": value})
    for runs in ([bad, good], [good, bad]):
        codes = {run.reason_code for run in inspect(runs).runs}
        assert codes == {None, ReasonCode.METRIC_NOT_FINITE}


def test_metrics_by_their_common_names_are_understood() -> None:
    judged = judge(a_metrics_only_run({"sharpe": np.float64(1.1), "volatility": 0.2, "mdd": -0.1, "total_return": 0.3}))
    assert json.loads(judged.metrics_json) == {
        "annualised_sharpe": 1.1,
        "annualised_vol": 0.2,
        "cumulative_return": 0.3,
        "max_drawdown": -0.1,
    }


def test_metrics_the_gate_does_not_know_are_kept_and_judge_nothing() -> None:
    judged = judge(a_run(metrics={"stab_scenario_set_id": "SET-1", "lambda_score": math.nan, "n_trades": 12}))
    assert judged.state is RunState.ACCEPTED
    assert json.loads(judged.metrics_json) == {"stab_scenario_set_id": "SET-1", "lambda_score": None, "n_trades": 12}


def test_a_metrics_only_run_needs_its_window() -> None:
    judged = judge(a_metrics_only_run({"annualised_sharpe": 1.0}, end_date=None))
    assert judged.reason_code is ReasonCode.INVALID_WINDOW
    assert "end_date missing" in (judged.reason or "")
    reversed_window = {"start_date": date(2016, 1, 1), "end_date": date(2015, 1, 1)}
    judged = judge(a_metrics_only_run({"annualised_sharpe": 1.0}, **reversed_window))
    assert "start_date 2016-01-01 is after end_date 2015-01-01" in (judged.reason or "")


def test_a_declared_convention_near_the_count_is_believed() -> None:
    for declared in (250, 252.0, np.int64(260)):
        judged = judge(a_run(periods_per_year=declared))
        assert (judged.state, judged.periods_per_year) == (RunState.ACCEPTED, float(declared))


def test_a_declaration_settles_what_time_stamps_leave_open() -> None:
    alternate = a_run(dates=trading_days(1000)[::2], periods_per_year=130)
    assert judge(alternate).state is RunState.ACCEPTED


def test_a_run_without_a_strategy_or_campaign_is_refused_by_name() -> None:
    addresses: list[dict[str, Any]] = [{"strategy_id": "s" * 65}, {"campaign_id": ""}, {"strategy_id": "a\x00"}]
    for changes in addresses:
        with pytest.raises(InputError, match=rf"{next(iter(changes))} .* cannot be used.*Nothing was written"):
            judge(a_run(**changes))


def test_numpy_scalars_in_a_configuration_are_the_numbers_they_stand_for() -> None:
    grid = {"fast": np.int64(10), "slow": np.float64(100.0), "on": np.bool_(True), "list": np.array([1, 2])}
    assert judge(a_run(config=grid)).config_json == '{"fast":10,"list":[1,2],"on":true,"slow":100.0}'


def test_the_first_defect_in_the_order_of_the_codes_is_shown() -> None:
    judged = judge(a_run(config=None, dates=trading_days(500)[::-1], metrics={"max_drawdown": 1.0}))
    assert judged.reason_code is ReasonCode.MALFORMED_CONFIG


def test_a_run_is_judged_alone_whatever_is_in_its_batch() -> None:
    runs: list[BacktestRun] = [a_run(seed=seed, n=300 + seed % 3) for seed in range(20)]
    runs[7] = a_run(**with_return(0, math.nan))
    runs[11] = a_run(**with_return(3, -2.0))
    together = inspect(runs).runs
    for run, judged in zip(runs, together, strict=True):
        alone = judge(run)
        assert (alone.state, alone.reason, alone.content_digest) == (judged.state, judged.reason, judged.content_digest)
        assert alone.computed_json == judged.computed_json


def test_content_is_equal_for_the_same_run_and_differs_with_every_part_of_it() -> None:
    base = judge(a_run())
    assert judge(a_run(run_id="another", source="elsewhere")).content_digest == base.content_digest
    assert base.run_id == f"run-{base.content_digest[:32]}"
    changes: list[dict[str, Any]] = [
        {"config": {"fast": 10.0, "slow": 100, "risk": {"target": 0.1}}},
        {"campaign_id": "autumn"},
        {"market_id": "WTI"},
        {"sector": "energy"},
        {"universe_id": "u"},
        {"code_version": "v2"},
        {"periods_per_year": 252},
        {"config_version": 1},
        {"metrics": {"annualised_sharpe": SHARPE}},
        {"trades": [A_TRADE]},
        {"start_date": date(2015, 1, 1)},
        {"returns": returns_of(500, seed=3)},
        {"dates": trading_days(500, "2016-01-04")},
    ]
    digests = {judge(a_run(**change)).content_digest for change in changes}
    assert len(digests) == len(changes)
    assert base.content_digest not in digests


def test_identical_series_have_one_digest_also_with_negative_zeros() -> None:
    flat = returns_of(500)
    flat[10] = 0.0
    negative = flat.copy()
    negative[10] = -0.0
    first, second = judge(a_run(returns=flat)), judge(a_run(returns=negative))
    assert first.series is not None
    assert second.series is not None
    assert first.series.digest == second.series.digest
