"""`meta-pipeline search`: run, interrupted and resumed, looked at and exported; and the verdict on real prices."""

import csv
import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from meta_pipeline.cli import common
from meta_pipeline.cli.search_bar import bar_of
from meta_pipeline.hyperband.forests import ENGINES
from meta_pipeline.hyperband.jobs import run_job
from meta_pipeline.hyperband.ledger import create_or_open
from meta_pipeline.hyperband.progress import Progress
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.store.database import Database
from meta_pipeline.store.search_ledgers import database_place
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.docs.pages import blocks
from meta_pipeline_tests.hyperband import toy

pytestmark = pytest.mark.database
TOY = ("--evaluator", "meta_pipeline_tests.hyperband.toy:build")
SMALL = (*TOY, "--r", "9", "--seed", "7", "--executor", "in-process", "--name", "toy")


def answer(shell: Shell, *arguments: str) -> dict[str, Any]:
    """The answer itself, without the fields that name the command."""
    return {key: value for key, value in shell.ask("search", *arguments).items() if not key.startswith("schema")}


def test_a_search_runs_is_looked_at_and_exported_and_again_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    first = answer(shell, "run", *SMALL)
    assert first["finished"]
    assert first["evaluations"] == 22
    assert first["digest"] == toy.slow_search(str(tmp_path / "same"), 0, {})
    assert answer(shell, "run", *SMALL) == first
    assert answer(shell, "resume", "toy", "--executor", "in-process") == first
    assert answer(shell, "show", "toy") == first

    (listed,) = shell.ask("search", "status")["searches"]
    assert (listed["search"], listed["finished"], listed["digest"]) == ("toy", True, first["digest"])
    shown = shell.run("search", "show", "toy", "--top", "2").out
    assert "Top configurations of toy" in shown
    assert "Candidate: " in shown
    assert "finished" in shell.run("search", "status").out

    written = shell.ask("search", "export", "toy", "--into", str(tmp_path / "out"))["written"]
    assert [Path(path).name for path in written] == [
        "top_configs.json",
        "optimization_history.csv",
        "hyperband_results.json",
    ]
    top = json.loads(Path(written[0]).read_text())["top_configs"]
    # Reloaded, a configuration is of the same types: the predecessor's came back as texts.
    assert toy.SPACE.check(top[0]["config"]) == top[0]["config"]
    with Path(written[1]).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22
    assert {"x", "rate", "depth", "features", "metric_sharpe_ratio"} <= set(rows[0])
    assert json.loads(Path(written[2]).read_text())["optimization_history"][0]["resource"] == 1


def test_more_iterations_beside_a_live_configuration_and_its_verdict_in_words(shell: Shell, tmp_path: Path) -> None:
    live = tmp_path / "live.json"
    live.write_text(json.dumps({"x": 0.3, "rate": 0.01, "depth": 6, "features": "sqrt"}))  # nothing is better
    run = shell.ask("search", "run", *SMALL, "--live", str(live), "--min-improvement", "0.5")
    assert run["live_value"] is not None
    assert run["candidate"] is None
    assert "not 50% above the live configuration's" in run["reason"]
    more = shell.ask("search", "resume", "toy", "--iterations", "2", "--executor", "in-process")
    assert more["evaluations"] == 44
    assert shell.run("search", "resume", "toy", "--iterations", "1").code == 5


def test_a_search_is_looked_at_while_another_process_runs_it_and_is_not_run_twice(
    shell: Shell, database: Database, tmp_path: Path
) -> None:
    place = database_place(database, checkpoints_of("toy", database))
    search = Search(
        create_or_open(place.storage, toy.search_settings()), place.checkpoints, worker="other", clock=lambda: 0.0
    )
    with place.lock("toy"):
        for job in search.ready()[:2]:
            search.lease(job)
            search.take(run_job(job))
        (listed,) = shell.ask("search", "status")["searches"]
        assert (listed["finished"], listed["evaluations"]) == (False, 2)
        shown = answer(shell, "show", "toy")
        assert (shown["finished"], shown["evaluations"], shown["top_configs"]) == (False, 2, [])
        history = Path(shell.ask("search", "export", "toy", "--into", str(tmp_path))["written"][1])
        assert len(history.read_text().splitlines()) == 1 + 2
        told = shell.run("search", "resume", "toy", "--executor", "in-process")
        assert (told.code, "another process runs the search 'toy'" in told.err) == (5, True), told
    assert answer(shell, "resume", "toy", "--executor", "in-process")["evaluations"] == 22


def test_the_strategy_in_search_md_is_searched_by_the_command_below_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module, command = (block.text for block in blocks("docs/search.md") if "trend" in block.text)
    (tmp_path / "trend.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    where, program, *arguments = shlex.split(command)
    assert (where, program) == ("PYTHONPATH=.", "meta-pipeline")
    found = shell.ask(*arguments, "--executor", "in-process")
    assert (found["finished"], found["evaluations"], found["failures"]) == (True, 69, 0)
    assert found["candidate"]["metrics"]["trades"] >= 20
    # From a checkpoint it is what it is at once, as the page says.
    strategy, config = import_module("trend").build({"units": 27}), found["candidate"]["config"]
    first = strategy.evaluate(config, 0, 9, None)
    assert strategy.evaluate(config, 9, 27, first.checkpoint).value == found["candidate"]["value"]
    assert strategy.evaluate(config, 0, 27, None).value == found["candidate"]["value"]


def test_a_search_for_dagster_is_begun_here_and_run_there(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from meta_pipeline.orchestration.search_job import search_job

    begun = shell.ask("search", "run", *TOY, "--r", "3", "--seed", "7", "--name", "there", "--executor", "dagster")
    assert not shell.ask("search", "show", "there")["finished"]
    ran = search_job(begun["job"], waves=3).execute_in_process(run_config=begun["run_config"])
    assert ran.success
    shown = shell.ask("search", "show", "there")
    assert shown["finished"]
    assert shown["digest"] == toy.slow_search(str(tmp_path), 0, {}, resource=3)
    assert shell.run("search", "resume", "there", "--executor", "dagster").code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", *SMALL, "--set", "horizon"), 1, "is not KEY=JSON"),
        (("run", *SMALL, "--set", "fails=all"), 1, "is no JSON"),
        (("run", *SMALL, "--data", "bars.csv"), 1, "are of the built-in strategy"),
        (("run", *SMALL, "--live", "nowhere.json"), 1, "cannot read a configuration from nowhere.json"),
        (("run", *SMALL, "--objectives", "sharpe_ratio"), 1, "is not METRIC:max or METRIC:min"),
        (("run", *SMALL, "--scheduler", "tcp://x:1"), 1, "is for --executor dask"),
        (("run", *SMALL, "--set", 'fails="all"'), 8, "none of the first 8 configurations could be evaluated"),
        (("run", "--data", "nowhere.parquet"), 1, "nowhere.parquet"),
        (("run", "--set", "data.max_gap=1"), 1, "data has no max_gap; it has path, symbols, periods_per_year, max_gap"),
        (("run", "--strategy", "FOREST_LAB", "--name", "mine"), 2, "brings its name, data, origin, settings and live"),
        (("show", "nothing"), 1, "there is no search 'nothing'"),
        (("run", "--evaluator", "nowhere:build"), 1, "cannot build 'nowhere:build'"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(
    shell: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = shell.run("search", *arguments)
    assert (told.code, said in told.err) == (code, True), told


@pytest.mark.slow
def test_a_search_on_real_prices_ends_with_every_gate_and_an_honest_verdict(shell: Shell) -> None:
    small = ("--set", "n_folds=2", "--set", "train_bars=300", "--set", "sample_share=0.1")
    arguments = ("search", "run", "--symbols", "SP500", "--r", "3", *small, "--seed", "1")
    found = shell.ask(*arguments, "--executor", "in-process")
    verdict = found["verdict"]
    assert verdict["trials"] == 5
    assert not verdict["winner"]
    assert verdict["summary"].startswith("No winner: ")
    gates = {gate["name"]: gate["passed"] for gate in verdict["gates"]}
    assert not gates["deflated Sharpe ratio"]
    assert verdict["earlier_looks"] is None  # the holdout is still closed
    shown = shell.run("search", "show", found["search"]).out
    assert "No winner: " in shown
    engine = found["settings"]["described"]["engine"]
    assert engine in ENGINES
    assert f"Forests by {engine} (scikit-learn" in shown


def test_the_bar_says_where_the_search_is_and_is_not_there_when_piped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(
        evaluations=3,
        evaluations_planned=22,
        units=30,
        units_planned=60,
        failures=0,
        iteration=0,
        bracket=2,
        rung=3,
        at_top=0,
        best=Slot(0, 2, 1),
        best_value=0.5,
        best_resource=3,
        cpu_seconds=1.0,
    )
    with bar_of(toy.search_settings()) as on_progress:
        on_progress(progress)
    assert capsys.readouterr().err == ""
    terminal = Console(stderr=True, force_terminal=True, width=120)
    monkeypatch.setattr(common, "console", lambda **_: terminal)
    with bar_of(toy.search_settings()) as on_progress:
        on_progress(progress)
    shown = capsys.readouterr().err
    assert "bracket 2  rung 3  best 0.500 at 3" in shown
    assert "50 %" in shown
