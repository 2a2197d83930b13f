"""Outcomes, experiments, automation and the lab's future, as a person meets them at the shell."""

from datetime import UTC, datetime, timedelta

import pytest

from meta_pipeline import lab
from meta_pipeline.backtests import record
from meta_pipeline.store import approvers, change_outcomes, strategies
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import NOW, applied, prepare
from meta_pipeline_tests.store.known_truth import after, hand_in_runs, settings

pytestmark = pytest.mark.database


def test_a_judged_change_is_shown_with_effect_interval_verdict_and_exit_plan(database: Database, shell: Shell) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    change_id = applied(database)
    change_outcomes.judge_change(
        database, change_id, until=after(300), now=NOW + timedelta(days=301), settings=settings()
    )
    shown = shell.ask("changes", "show", change_id)
    assert shown["outcome"]["verdict"] == "KEEP"
    assert shown["outcome"]["lower"] < shown["outcome"]["estimate"] < shown["outcome"]["upper"]
    assert shown["exit_plan"]["rule"]["markets"] == ["M1"]
    printed = shell.run("changes", "show", change_id).out
    for said in ("KEEP: the Sharpe ratio is better", "over all looks together", "held: drawdown", "exit plan"):
        assert said in printed
    (score,) = shell.ask("proposals", "scorecard")["scorecard"]
    assert score["verdicts"] == {"KEEP": 1}
    assert "1 KEEP" in shell.run("proposals", "scorecard").out


def test_an_experiment_is_started_watched_and_stopped(database: Database, shell: Shell) -> None:
    prepare(database)
    hand_in_runs(database, "STRAT")
    asked = ("--strategy", "STRAT", "--knob", "risk.max_vol", "--to", "0.25", "--reason", "is less more?")
    begun = shell.ask("experiments", "start", *asked)
    assert (begun["state"], begun["challenger"]) == ("running", {"absent": False, "value": 0.25})
    assert shell.run("experiments", "start", *asked).code == 5
    assert "0.5 → 0.25" in shell.run("experiments", "status").out
    assert "is less more?" in shell.run("experiments", "status", begun["experiment_id"][:9]).out
    assert shell.run("experiments", "propose", begun["experiment_id"]).code == 5
    stopped = shell.ask("experiments", "stop", begun["experiment_id"], "--reason", "enough")
    assert (stopped["state"], stopped["verdict"]) == ("stopped", "INSUFFICIENT_DATA")


def test_automation_says_that_it_is_off_and_what_it_would_need(database: Database, shell: Shell) -> None:
    prepare(database)
    assert shell.ask("automation", "status")["state"] == "off"
    assert "META_PIPELINE_AUTOMATION=true" in shell.run("automation", "status").out
    assert shell.run("automation", "run").code == 3
    assert shell.run("automation", "tier", "STRAT", "risk.max_vol", "automatic").code == 1
    assert shell.ask("automation", "tier", "STRAT", "lookback", "blocked")["tier"] == "blocked"
    assert "blocked" in shell.run("automation", "status").out
    shell.ask("automation", "freeze", "--reason", "holiday")
    assert shell.ask("automation", "status")["frozen"]["reason"] == "holiday"
    assert "holiday" in shell.run("automation", "unfreeze", "--reason", "back").out
    assert shell.run("automation", "unfreeze", "--reason", "back").code == 3


def test_held_back_years_play_the_days_after_a_change_of_the_lab(database: Database, shell: Shell) -> None:
    now = datetime.now(UTC)
    trend = lab.strategy_named("LAB_TREND")
    with database.begin() as connection:
        strategies.declare(connection, trend, actor="ann", now=now)
        approvers.add(connection, "Bob", actor="ann", now=now)
    run = a_run(strategy_id="LAB_TREND", market_id="SP500", config=dict(trend.live_config))
    record([run], into=RunStore(database, actor="ann", clock=lambda: now))
    change_id = applied(database, "short_scale", 0.5, strategy_id="LAB_TREND", now=now)
    assert shell.run("lab", "future", "--as-of", "2020-01-01").code == 1
    played = shell.ask("lab", "future", "--days", "150")
    (judged,) = played["changes"]
    assert (judged["change_id"], judged["outcome"]) == (change_id, "judged")
    assert judged["judgement"]["n_days"] > 90
    assert "held-back days of the past play" in shell.run("changes", "show", change_id).out
    assert shell.ask("lab", "future", "--days", "150")["changes"][0]["outcome"] == "known"
