"""`meta-pipeline lab run`: the lab hands its campaigns in as any user would."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from meta_pipeline import lab
from meta_pipeline.backtests.recording import inspected_batches
from meta_pipeline.backtests.run import RunState
from meta_pipeline.cli import common
from meta_pipeline.cli.lab import CampaignResult, app, run_campaigns
from meta_pipeline.errors import InputError
from meta_pipeline.store import strategies
from meta_pipeline.store.backtest_panel import load_panel
from meta_pipeline.store.database import Database
from meta_pipeline.store.regimes import read_regimes
from meta_pipeline.store.schema import campaigns, market_regimes, metadata

NOW = datetime(2026, 11, 20, tzinfo=UTC)
N_CONFIGS = 20


def run_lab(database: Database, n_configs: int = N_CONFIGS) -> list[CampaignResult]:
    return run_campaigns(database, n_configs=n_configs, seed=1, actor="ada", clock=lambda: NOW)


def row_counts(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }


@pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
def test_the_quality_gate_accepts_every_run_of_the_lab(strategy: lab.LabStrategy) -> None:
    for batch in inspected_batches(lab.campaign(strategy, n_configs=150, seed=3)):
        assert [run.reason for run in batch.runs if run.state is not RunState.ACCEPTED] == []


@pytest.mark.database
def test_a_run_declares_strategies_stores_regimes_and_hands_in_closed_campaigns(database: Database) -> None:
    results = run_lab(database)
    assert [result.strategy_id for result in results] == ["LAB_TREND", "LAB_REVERSION", "LAB_BREAKOUT"]
    assert all(result.summary.accepted == 3 * N_CONFIGS == result.summary.total for result in results)
    with database.connect() as connection:
        for strategy in lab.strategies():
            stored = strategies.load(connection, strategy.strategy_id)
            assert stored.strategy.live_config == strategy.live_config
            assert stored.knobs == {knob.path: knob for knob in strategy.knobs}
        assert set(connection.execute(select(campaigns.c.state)).scalars()) == {"closed"}
        assert connection.execute(select(func.max(market_regimes.c.as_of))).scalar_one() == lab.CAMPAIGN_END


@pytest.mark.database
def test_what_is_read_back_is_what_the_lab_computed_with_a_regime_for_every_day(database: Database) -> None:
    run_lab(database)
    with database.connect() as connection:
        panel = load_panel(connection, "LAB_REVERSION")
        labels = read_regimes(connection, panel.markets, panel.dates)
    computed = lab.campaign(lab.strategy_named("LAB_REVERSION"), n_configs=N_CONFIGS, seed=1)
    assert len(set(panel.blocks)) == 3
    stored = {
        (market, json.dumps(config, sort_keys=True)): returns[np.isfinite(returns)]
        for market, config, returns in zip(panel.markets, panel.configs, panel.returns.T, strict=True)
    }
    for run in computed:
        assert run.returns is not None
        assert np.array_equal(stored[run.market_id, json.dumps(dict(run.config), sort_keys=True)], run.returns)
    for market in ("SP500", "NASDAQ", "WTI"):
        traded = np.isfinite(panel.returns[:, panel.markets.index(market)])
        assert (labels[market][traded] != "").all()


@pytest.mark.database
def test_running_twice_adds_nothing_to_any_table(database: Database) -> None:
    run_lab(database)
    before = row_counts(database)
    again = run_lab(database)
    assert row_counts(database) == before
    assert all(result.summary.duplicates == result.summary.total == 3 * N_CONFIGS for result in again)


@pytest.mark.database
def test_the_campaign_is_drawn_around_the_configuration_that_is_live(database: Database) -> None:
    trend = lab.strategy_named("LAB_TREND")
    moved = replace(trend, live_config={**trend.live_config, "fast_days": 20})
    with database.begin() as connection:
        strategies.declare(connection, moved, actor="ada", now=NOW)
    result = run_lab(database)[0]
    assert result.campaign_id == lab.campaign(moved, n_configs=N_CONFIGS, seed=1)[0].campaign_id
    with database.connect() as connection:
        assert strategies.live_config(connection, "LAB_TREND").config["fast_days"] == 20


@pytest.mark.database
def test_a_number_of_configs_out_of_range_writes_nothing(database: Database) -> None:
    before = row_counts(database)
    with pytest.raises(InputError, match="n_configs is 3"):
        run_lab(database, n_configs=3)
    assert row_counts(database) == before


@pytest.mark.database
def test_the_command_answers_in_text_and_in_json(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database.address.url().render_as_string(hide_password=False)
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", url)
    monkeypatch.setenv("META_PIPELINE_ACTOR", "ada")
    assert common.settings().actor == "ada"
    first = CliRunner().invoke(app, ["run", "--configs", "20", "--seed", "1"], catch_exceptions=False)
    assert first.exit_code == 0
    assert "LAB_BREAKOUT" in first.stdout
    assert "SP500 2000-03-13 to 2012-12-31" in first.stdout
    assert "180 new runs" in first.stdout
    second = CliRunner().invoke(app, ["run", "--configs", "20", "--seed", "1", "--json"], catch_exceptions=False)
    answer = json.loads(second.stdout)
    assert answer["schema_version"] == 1
    assert [campaign["duplicates"] for campaign in answer["campaigns"]] == [60, 60, 60]
    assert [campaign["added"] for campaign in answer["campaigns"]] == [0, 0, 0]
    assert "Nothing new" in CliRunner().invoke(app, ["run", "--configs", "20", "--seed", "1"]).stdout
