"""The generic importer: runs and returns from files, damaged ones included."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meta_pipeline.backtests import BacktestRun, ReasonCode, RunState
from meta_pipeline.backtests.importers import IMPORTERS, Delivery, ImportedCampaign, choose
from meta_pipeline.backtests.quality import inspect
from meta_pipeline.errors import InputError
from meta_pipeline_tests.backtests.runs import returns_of, trading_days

DELIVERY = Delivery(strategy_id="trend", campaign_id="spring", market_id="SP500")
N = 300
DAYS = trading_days(N)


def imported(path: Path, delivery: Delivery = DELIVERY) -> tuple[list[BacktestRun], ImportedCampaign]:
    campaign = choose(path).read(path, delivery)
    runs = list(campaign.runs)
    assert len(runs) == campaign.n_runs
    return runs, campaign


def runs_csv(folder: Path, text: str) -> None:
    (folder / "runs.csv").write_text(text, encoding="utf-8")


def wide(n_runs: int = 3) -> pd.DataFrame:
    columns = {f"r{i}": returns_of(N, seed=i) for i in range(n_runs)}
    return pd.DataFrame(columns, index=pd.Index(DAYS, name="date"))


def long(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.melt(ignore_index=False, var_name="run_id", value_name="return").dropna().reset_index()


def table_of_runs(n_runs: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"run_id": [f"r{i}" for i in range(n_runs)], "config": [f'{{"k": {i}}}' for i in range(n_runs)]}
    )


def save(frame: pd.DataFrame, path: Path, *, index: bool) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=index)
    else:
        frame.to_parquet(path, index=index)


SHAPES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], bool]] = {
    "wide": (lambda frame: frame, True),
    "long by run": (long, False),
    "long by date": (lambda frame: long(frame).sort_values(["date", "run_id"], kind="stable"), False),
    "long, shuffled": (lambda frame: long(frame).sample(frac=1, random_state=7), False),
    "long, dates as texts": (lambda frame: long(frame).assign(date=lambda f: f["date"].dt.strftime("%Y-%m-%d")), False),
    "long, categorical ids": (lambda frame: long(frame).astype({"run_id": "category"}), False),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_returns_come_back_to_the_last_bit_from_every_shape(tmp_path: Path, shape: str, suffix: str) -> None:
    frame = wide()
    frame.iloc[:40, 1] = np.nan  # r1 starts later
    reshape, index = SHAPES[shape]
    save(table_of_runs(), tmp_path / f"runs.{suffix}", index=False)
    save(reshape(frame), tmp_path / f"returns.{suffix}", index=index)
    runs, campaign = imported(tmp_path)
    assert [run.run_id for run in runs] == ["r0", "r1", "r2"]
    assert [run.config for run in runs] == [{"k": 0}, {"k": 1}, {"k": 2}]
    for number, run in enumerate(runs):
        first = 40 if number == 1 else 0
        np.testing.assert_array_equal(run.dates, DAYS[first:].astype("datetime64[s]"))
        np.testing.assert_array_equal(run.returns, returns_of(N, seed=number)[first:])
        assert run.market_id == "SP500"
    assert all(run.state is RunState.ACCEPTED for run in inspect(runs).runs)
    assert campaign.warnings == []


def test_values_of_a_json_column_keep_their_types(tmp_path: Path) -> None:
    runs_csv(
        tmp_path,
        'run_id,config\na,"{""k"": 1}"\nb,"{""k"": 1.0}"\nc,"{""k"": true}"\nd,"{""k"": ""1""}"\ne,"{""k"": null}"\n',
    )
    runs, _ = imported(tmp_path)
    assert [(type(run.config["k"]), run.config["k"]) for run in runs] == [
        (int, 1),
        (float, 1.0),
        (bool, True),
        (str, "1"),
        (type(None), None),
    ]


def test_knobs_in_columns_of_their_own_keep_their_types_and_nest(tmp_path: Path) -> None:
    cells = ["1", "1.0", "true", '"""1"""', "fast", "", "null", '"[1, 2]"']
    runs_csv(tmp_path, "run_id,config.k,config.risk.target\n" + "".join(f"r{i},{c},0.1\n" for i, c in enumerate(cells)))
    runs, _ = imported(tmp_path)
    assert [json.dumps(run.config.get("k", "absent")) for run in runs] == [
        "1", "1.0", "true", '"1"', '"fast"', '"absent"', "null", "[1, 2]",
    ]  # fmt: skip
    assert all(run.config["risk"] == {"target": 0.1} for run in runs)


def test_typed_columns_of_parquet_keep_their_types_and_null_is_absent(tmp_path: Path) -> None:
    table = table_of_runs(2).drop(columns="config")
    table["config.n"] = pd.array([1, None], dtype="Int64")
    table["config.x"] = [1.0, 2.0]
    table["config.on"] = [True, False]
    table.to_parquet(tmp_path / "runs.parquet")
    runs, _ = imported(tmp_path)
    assert [dict(run.config) for run in runs] == [{"n": 1, "x": 1.0, "on": True}, {"x": 2.0, "on": False}]
    assert type(runs[0].config["n"]) is int


@pytest.mark.parametrize(
    "document",
    [{"r0": {"k": 1}, "r1": {"k": 2}}, [{"run_id": "r0", "config": {"k": 1}}, {"run_id": "r1", "config": {"k": 2}}]],
)
def test_configurations_may_stand_in_a_file_of_their_own(tmp_path: Path, document: Any) -> None:
    (tmp_path / "configs.json").write_text(json.dumps(document))
    wide(2).to_csv(tmp_path / "returns.csv")
    runs, _ = imported(tmp_path)
    assert [(run.run_id, run.config) for run in runs] == [("r0", {"k": 1}), ("r1", {"k": 2})]
    runs_csv(tmp_path, "run_id,market\nr0,WTI\nr1,WTI\n")
    runs, _ = imported(tmp_path)
    assert [(run.config, run.market_id) for run in runs] == [({"k": 1}, "WTI"), ({"k": 2}, "WTI")]


def test_every_field_and_its_aliases_are_understood(tmp_path: Path) -> None:
    runs_csv(
        tmp_path,
        "id,params,start,end,symbol,universe,sector,commit,ppy,config_version,strategy,campaign,Sharpe,vol,metrics.turnover,note\n"
        "x,{},2015-01-01,2016-01-01,WTI,U,energy,abc,252,3,trend,spring,1.5,0.2,9,hello\n",
    )
    [run], campaign = imported(tmp_path)
    assert (run.run_id, run.config, run.market_id, run.universe_id) == ("x", {}, "WTI", "U")
    assert (run.start_date, run.end_date) == (date(2015, 1, 1), date(2016, 1, 1))
    assert (run.sector, run.code_version, run.periods_per_year, run.config_version) == ("energy", "abc", 252.0, 3)
    assert run.metrics == {"sharpe": "1.5", "vol": "0.2", "turnover": "9"}
    assert run.defects == ()
    assert inspect([run]).runs[0].state is RunState.METRICS_ONLY
    assert campaign.warnings == ["runs.csv: column 'note' is not understood and was ignored"]


def test_a_delivery_gives_what_rows_leave_open(tmp_path: Path) -> None:
    runs_csv(tmp_path, "run_id,config,market,ppy\na,{},,\nb,{},WTI,365\n")
    runs, _ = imported(tmp_path, Delivery(strategy_id="s", campaign_id="c", market_id="M", periods_per_year=252))
    assert [(run.market_id, run.periods_per_year) for run in runs] == [("M", 252), ("WTI", 365)]


BAD_ROWS = {
    "a,not json,,": "runs.csv line 2: config: 'not json' is not JSON",
    'a,"{""k"": 1, ""k"": 2}",,': "the key 'k' occurs twice",
    "a,{},soon,": "runs.csv line 2: start_date: 'soon' is not a date; write it like 2020-12-31",
    "a,{},01/02/2020,": "'01/02/2020' is not a date",
    "a,{},,daily": "runs.csv line 2: periods_per_year: 'daily' is not a number",
    "a,{}": "runs.csv line 2: 2 cells for 4 columns",
    "a,{},,,extra": "runs.csv line 2: 5 cells for 4 columns",
}


@pytest.mark.parametrize("line", BAD_ROWS)
def test_a_malformed_row_is_quarantined_with_its_line_and_the_rest_goes_on(tmp_path: Path, line: str) -> None:
    runs_csv(tmp_path, f"run_id,config,start_date,periods_per_year\n{line}\nb,{{}},,\n")
    wide(1).rename(columns={"r0": "b"}).to_csv(tmp_path / "returns.csv")
    bad, good = inspect(imported(tmp_path)[0]).runs
    assert (bad.run_id, bad.reason_code) == ("a", ReasonCode.MALFORMED_ROW)
    assert BAD_ROWS[line] in (bad.reason or "")
    assert good.state is RunState.ACCEPTED


def test_a_configuration_with_nan_is_quarantined_by_the_gate(tmp_path: Path) -> None:
    runs_csv(tmp_path, 'run_id,config\na,"{""k"": NaN}"\nb,"[1]"\nc,\n')
    codes = [run.reason_code for run in inspect(imported(tmp_path)[0]).runs]
    assert codes == [ReasonCode.MALFORMED_CONFIG] * 3


def test_a_row_of_another_strategy_is_not_taken_for_this_one(tmp_path: Path) -> None:
    runs_csv(tmp_path, "run_id,config,strategy_id\na,{},reversion\n")
    [run] = inspect(imported(tmp_path)[0]).runs
    assert "strategy_id is 'reversion', but the delivery is of 'trend'" in (run.reason or "")


def test_a_bad_cell_of_a_wide_table_costs_its_run_and_names_the_line(tmp_path: Path) -> None:
    save(table_of_runs(), tmp_path / "runs.csv", index=False)
    frame = wide().astype(object)
    frame.iloc[10, 1] = "n/a"
    frame.iloc[20, 1] = "?"
    frame.to_csv(tmp_path / "returns.csv")
    first, bad, last = inspect(imported(tmp_path)[0]).runs
    assert bad.reason == "returns.csv line 12: column 'r1' is 'n/a', which is not a number, and 1 more"
    assert {first.state, last.state} == {RunState.ACCEPTED}


def test_a_bad_date_of_a_wide_table_costs_the_runs_that_have_a_return_there(tmp_path: Path) -> None:
    save(table_of_runs(2), tmp_path / "runs.csv", index=False)
    frame = wide(2)
    frame.iloc[:100, 1] = np.nan
    text = frame.to_csv().replace(str(DAYS[5]), "soon")
    (tmp_path / "returns.csv").write_text(text)
    early, late = inspect(imported(tmp_path)[0]).runs
    assert early.reason == "returns.csv line 7: the date is missing or not like 2020-12-31"
    assert late.state is RunState.ACCEPTED


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_bad_row_of_a_long_table_costs_its_run(tmp_path: Path, suffix: str) -> None:
    save(table_of_runs(), tmp_path / f"runs.{suffix}", index=False)
    frame = long(wide()).astype({"return": str, "date": str})
    frame.loc[N + 3, "return"] = "n/a"
    frame.loc[2 * N + 7, "date"] = "soon"
    save(frame, tmp_path / f"returns.{suffix}", index=False)
    first, second, third = inspect(imported(tmp_path)[0]).runs
    offset = 2 if suffix == "csv" else 1
    assert first.state is RunState.ACCEPTED
    assert f"{N + 3 + offset}: date" in (second.reason or "")
    assert "return 'n/a' cannot be read" in (second.reason or "")
    assert "date 'soon'" in (third.reason or "")
    assert {second.reason_code, third.reason_code} == {ReasonCode.MALFORMED_ROW}


def test_an_empty_return_of_a_long_table_is_missing_and_not_a_holiday(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    frame = long(wide(1))
    frame.loc[7, "return"] = np.nan
    save(frame, tmp_path / "returns.csv", index=False)
    [run] = inspect(imported(tmp_path)[0]).runs
    assert run.reason_code is ReasonCode.NOT_FINITE
    assert str(DAYS[7]) in (run.reason or "")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_hole_of_a_wide_table_is_a_missing_return_where_the_market_traded(tmp_path: Path, suffix: str) -> None:
    frame = wide(4)
    frame.iloc[50, 1] = np.nan  # r0, of the same market, has a return that day
    frame.iloc[60:62, 2] = np.nan  # nobody else trades WTI: a holiday
    frame.iloc[60:62, 3] = np.nan
    save(table_of_runs(4).assign(market_id=["A", "A", "WTI", "WTI"]), tmp_path / f"runs.{suffix}", index=False)
    save(frame, tmp_path / f"returns.{suffix}", index=True)
    runs = inspect(imported(tmp_path)[0]).runs
    assert [run.reason_code for run in runs] == [None, ReasonCode.NOT_FINITE, None, None]
    assert f"the return of {DAYS[50]} is nan" in (runs[1].reason or "")
    assert runs[2].series is not None
    assert len(runs[2].series.returns) == N - 2


def test_returns_of_a_run_that_is_not_listed_are_quarantined_and_not_dropped(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    save(wide(2), tmp_path / "returns.csv", index=True)
    listed, orphan = inspect(imported(tmp_path)[0]).runs
    assert listed.state is RunState.ACCEPTED
    assert (orphan.run_id, orphan.reason_code) == ("r1", ReasonCode.MALFORMED_ROW)
    assert "'r1', which is not in runs.csv" in (orphan.reason or "")
    assert orphan.series is not None


def test_two_columns_of_one_run_are_not_taken_for_each_other(tmp_path: Path) -> None:
    save(table_of_runs(2), tmp_path / "runs.csv", index=False)
    frame = wide(3)
    frame.columns = pd.Index(["r0", "r1", "r1"])
    save(frame, tmp_path / "returns.csv", index=True)
    first, second = inspect(imported(tmp_path)[0]).runs
    assert first.state is RunState.ACCEPTED
    assert "more than one column is named 'r1'" in (second.reason or "")


def test_time_stamps_with_an_offset_are_utc(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    stamps = pd.date_range("2020-01-01", periods=200, freq="4h", tz="Europe/Berlin")
    frame = pd.DataFrame({"r0": returns_of(200)}, index=pd.Index(stamps, name="timestamp"))
    for name in ("returns.csv", "returns.parquet"):
        save(frame, tmp_path / name, index=True)
        [run], _ = imported(tmp_path)
        assert run.dates is not None
        np.testing.assert_array_equal(run.dates, stamps.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[s]"))
        assert inspect([run]).runs[0].periods_per_year == 2190
        (tmp_path / name).unlink()


def test_trades_reach_their_run_and_a_malformed_one_costs_it(tmp_path: Path) -> None:
    save(table_of_runs(2), tmp_path / "runs.csv", index=False)
    save(wide(2), tmp_path / "returns.csv", index=True)
    (tmp_path / "trades.csv").write_text(
        "run,date,symbol,side,qty,price\n"
        "r0,2015-01-06,SPY,buy,10,200.5\nr0,2015-01-07,SPY,Sell,10,201\n"
        "r1,2015-01-06,SPY,buy,ten,200.5\nr9,2015-01-06,SPY,buy,1,1\nr8,2015-01-06,SPY,buy,1,1\n"
    )
    runs, campaign = imported(tmp_path)
    good, bad = inspect(runs).runs
    assert [(trade.direction, trade.size, trade.price) for trade in good.trades] == [
        ("BUY", 10.0, 200.5),
        ("SELL", 10.0, 201.0),
    ]
    assert good.state is RunState.ACCEPTED
    assert bad.reason == "trades.csv line 4: qty: 'ten' is not a number"
    assert campaign.warnings == [
        "2 trades of runs that are not here were ignored, the first in trades.csv line 5 of run 'r9'"
    ]


def test_regime_labels_come_along_and_unusable_rows_are_named(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    (tmp_path / "regimes.csv").write_text(
        "market,date,label\nWTI,2015-01-06,CALM\nWTI,2015-01-05,STORM\nWTI,soon,CALM\nWTI,2015-01-06,STORM\nWTI,2015-01-07,\n"
    )
    _, campaign = imported(tmp_path)
    [wti] = campaign.regimes
    assert (wti.market_id, wti.labels.tolist()) == ("WTI", ["STORM", "CALM"])
    assert wti.dates.tolist() == [date(2015, 1, 5), date(2015, 1, 6)]
    assert [warning.split(" was ignored")[0] for warning in campaign.warnings] == [
        f"regimes.csv line {n}" for n in (4, 5, 6)
    ]


def test_a_runs_table_is_found_with_the_companions_of_its_name(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "spring-runs.csv", index=False)
    save(wide(1), tmp_path / "spring-returns.parquet", index=True)
    save(wide(3), tmp_path / "autumn-returns.parquet", index=True)
    [run], _ = imported(tmp_path / "spring-runs.csv")
    assert run.returns is not None
    assert len(run.returns) == N


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    damages: dict[str, bytes] = {
        "returns.parquet": b"PAR1 and nothing else",
        "returns.csv": b"when,r0\n2020-01-01,0.1\n",
        "./returns.csv": b"date,r0\n2020-01-01,0.1\n2020-01-02\n",
        "configs.json": b'{"r0": ',
        "trades.csv": b"run,date\nr0,2020-01-01\n",
        "regimes.csv": b"market,date\nWTI,2020-01-01\n",
    }
    for name, content in damages.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=Path(name).name):
            imported(tmp_path)
        (tmp_path / name).unlink()
    for content in (b"run_id,config\na,\xff\n", b'run_id,config\na,"{}"x\n', b"run_id,run_id\na,b\n"):
        (tmp_path / "runs.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"runs\.csv"):
            imported(tmp_path)


def test_a_wrong_place_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is nothing at"):
        choose(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no importer \(generic\) recognises .* docs/backtests.md"):
        choose(tmp_path)
    with pytest.raises(InputError, match="no importer 'qlib'; there are: generic"):
        choose(tmp_path, "qlib")
    save(table_of_runs(1), tmp_path / "runs.csv", index=False)
    save(table_of_runs(1), tmp_path / "runs.parquet", index=False)
    with pytest.raises(InputError, match=r"holds both runs.parquet and runs.csv"):
        choose(tmp_path)
    assert choose(tmp_path, "generic") is IMPORTERS["generic"]


def test_an_empty_table_is_an_empty_campaign(tmp_path: Path) -> None:
    runs_csv(tmp_path, "run_id,config\n")
    assert imported(tmp_path)[0] == []
    runs_csv(tmp_path, "")
    assert imported(tmp_path)[0] == []


@pytest.mark.parametrize("text", ["date,w0,w1\n2020-01-01,0.1,0.2\n", "run_id;market;config\nx;SP500;{}\n"])
def test_a_table_of_which_no_column_is_understood_is_refused_and_not_read_as_runs(tmp_path: Path, text: str) -> None:
    runs_csv(tmp_path, text)
    with pytest.raises(InputError, match=r"is no runs table: of its columns .* none is understood"):
        imported(tmp_path)
