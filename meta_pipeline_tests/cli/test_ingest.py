"""`meta-pipeline ingest` and `meta-pipeline runs`: what a person and a program see, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from typer import Typer
from typer.testing import CliRunner, Result

from meta_pipeline.cli import common, ingest, runs
from meta_pipeline.errors import InputError, MetaPipelineError, NotFound, NothingToDo
from meta_pipeline.store.database import Database
from meta_pipeline.store.regimes import read_regimes
from meta_pipeline.store.schema import campaigns
from meta_pipeline_tests.backtests.runs import returns_of, trading_days

pytestmark = pytest.mark.database

N = 100


@pytest.fixture
def opened(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database that the command line opens."""
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
    monkeypatch.setenv("META_PIPELINE_ACTOR", "ada")
    return database


def files(folder: Path, n_runs: int = 3, **damaged: Any) -> Path:
    """A campaign in files; damaged: run id -> its returns."""
    ids = [f"r{i}" for i in range(n_runs)]
    pd.DataFrame({"run_id": ids, "config.k": range(n_runs)}).to_csv(folder / "runs.csv", index=False)
    columns = {name: damaged.get(name, returns_of(N, seed=number)) for number, name in enumerate(ids)}
    pd.DataFrame(columns, index=pd.Index(trading_days(N), name="date")).to_parquet(folder / "returns.parquet")
    return folder


def call(app: Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def put(path: Path, *options: str) -> Result:
    return call(ingest.app, str(path), "--strategy", "trend", "--campaign", "spring", *options)


def answer(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def state(database: Database) -> str | None:
    with database.connect() as connection:
        return connection.execute(select(campaigns.c.state)).scalar_one_or_none()


def test_a_campaign_is_ingested_shown_and_closed(opened: Database, tmp_path: Path) -> None:
    result = put(files(tmp_path, r1=np.zeros(N)), "--market", "SP500")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["accepted", "2"] in lines
    assert ["quarantined:", "zero_volatility", "1"] in [line[:3] for line in lines]
    assert "returns do not vary: standard deviation 0" in result.stdout
    assert "strategies declare" in result.stdout
    assert "The campaign is closed. Next: meta-pipeline nightly" in result.stdout
    assert state(opened) == "closed"


def test_the_same_campaign_again_adds_nothing_and_is_no_error(opened: Database, tmp_path: Path) -> None:
    path = files(tmp_path)
    assert answer(put(path, "--json"))["accepted"] == 3
    again = put(path, "--json")
    assert again.exit_code == 0
    found = answer(again)
    assert (found["schema_version"], found["added"], found["duplicates"], found["total"]) == (1, 0, 3, 3)
    assert found["campaign_closed"]


def test_a_campaign_can_stay_open(opened: Database, tmp_path: Path) -> None:
    assert "stays open" in put(files(tmp_path), "--keep-open").stdout
    assert state(opened) == "open"


def test_a_campaign_of_quarantined_runs_only_is_kept_and_has_its_exit_code(opened: Database, tmp_path: Path) -> None:
    result = put(files(tmp_path, n_runs=1, r0=np.zeros(N)), "--json")
    assert result.exit_code == 8
    found = answer(result)
    assert found["quarantined"] == {"zero_volatility": 1}
    assert found["examples"]["zero_volatility"].startswith("r0#")


def test_an_empty_campaign_is_nothing_to_do(opened: Database, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run_id,config\n")
    with pytest.raises(NothingToDo, match="holds no runs"):
        put(tmp_path)
    assert NothingToDo.exit_code == 3
    assert state(opened) is None


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert put(tmp_path / "nowhere").exit_code == 2
    assert call(ingest.app, str(tmp_path), "--strategy", "trend").exit_code == 2


@pytest.mark.parametrize("given", ["nan", "-5", "0", "inf"])
def test_a_number_of_periods_that_annualises_nothing_is_a_usage_error(tmp_path: Path, given: str) -> None:
    with pytest.raises(common.UsageError, match="say how many returns a year has") as refused:
        put(files(tmp_path), "--periods-per-year", given)
    assert refused.value.exit_code == 2


def test_a_file_that_cannot_be_read_writes_nothing(opened: Database, tmp_path: Path) -> None:
    files(tmp_path)
    (tmp_path / "returns.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"returns\.parquet"):
        put(tmp_path)
    assert state(opened) is None


def test_regime_labels_beside_the_runs_are_stored(opened: Database, tmp_path: Path) -> None:
    files(tmp_path)
    (tmp_path / "regimes.csv").write_text("market,date,label\nSP500,2015-01-05,CALM\nSP500,soon,CALM\n")
    result = put(tmp_path)
    assert "1 regime labels were new" in result.stdout
    assert "regimes.csv line 3 was ignored" in result.stdout
    with opened.connect() as connection:
        assert read_regimes(connection, ["SP500"], trading_days(1))["SP500"].tolist() == ["CALM"]


def test_periods_per_year_given_on_the_command_line_reach_the_gate(opened: Database, tmp_path: Path) -> None:
    found = answer(put(files(tmp_path), "--periods-per-year", "365", "--json"))
    assert found["quarantined"] == {"periods_per_year_conflict": 3}


def test_runs_are_listed_counted_and_shown(opened: Database, tmp_path: Path) -> None:
    put(files(tmp_path, r1=np.zeros(N)))
    listed = answer(call(runs.app, "list", "--json"))
    assert listed["counts"] == {"accepted": 2, "quarantined:zero_volatility": 1}
    assert {run["run_id"].partition("#")[0] for run in listed["runs"]} == {"r0", "r1", "r2"}
    chosen = answer(call(runs.app, "list", "--reason", "zero_volatility", "--json"))
    assert [run["state"] for run in chosen["runs"]] == ["quarantined"]
    assert len(answer(call(runs.app, "list", "--limit", "1", "--json"))["runs"]) == 1
    assert "2 accepted, 1 quarantined:zero_volatility" in call(runs.app, "list", "--strategy", "trend").stdout
    shown = answer(call(runs.app, "show", "r0", "--json"))
    assert (shown["config"], shown["n_returns"], shown["source"]) == ({"k": 0}, N, "runs.csv line 2")
    assert "runs.csv line 2" in call(runs.app, "show", "r0").stdout


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["show", "r1"], NotFound, "no run 'r1'; in quarantine there is: r1#"),
        (["show", "r9"], NotFound, "runs list"),
        (["list", "--state", "good"], InputError, "'good' is none of: accepted"),
        (["list", "--reason", "bad"], InputError, "zero_volatility"),
    ],
)
def test_what_is_not_there_is_said_with_the_way_out(
    opened: Database, tmp_path: Path, arguments: list[str], error: type[MetaPipelineError], words: str
) -> None:
    put(files(tmp_path, r1=np.zeros(N)))
    with pytest.raises(error, match=words):
        call(runs.app, *arguments)
