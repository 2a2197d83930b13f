"""The ledger of a strategy: predictions, pseudo-outcomes, nightly replays of every candidate; what may be read when."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, text

from meta_pipeline.backtests import record
from meta_pipeline.evidence.half_years import half_years
from meta_pipeline.orchestration.assets.proposals import Made, propose_for
from meta_pipeline.orchestration.judging import judge
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.settings import Settings
from meta_pipeline.store import aggregates
from meta_pipeline.store.backtests import RunStore, load_evidence
from meta_pipeline.store.database import Database
from meta_pipeline.store.half_years import family_samples
from meta_pipeline.store.online_testing import judge_campaigns, latest_test
from meta_pipeline.store.outcome_ledger import count_outcomes, due_outcomes, load_ledger
from meta_pipeline.store.trials import count_trials, earlier_trials
from meta_pipeline_tests.backtests.runs import trading_days
from meta_pipeline_tests.orchestration.builders import NOW
from meta_pipeline_tests.orchestration.campaigns import DAYS, hand_in, runs_of
from meta_pipeline_tests.store.replays import REGISTERED

pytestmark = pytest.mark.database
NAME = "TREND"
EVIDENCE_END: date = trading_days(DAYS)[-1].item()


PREDICTED = "SELECT c.knob_path, c.suppressed_by FROM candidate_predictions JOIN candidates c USING (candidate_id)"
REPLAYED = (
    "SELECT DISTINCT knob_path, window_end FROM outcomes JOIN candidates USING (candidate_id) "
    "WHERE kind = 'replay' AND realised IS NOT NULL"
)


def resource(database: Database, *, replays: str = "", now: datetime = NOW) -> DatabaseResource:
    values: dict[str, Any] = {"_env_file": None, "replays": replays, "bootstrap_draws": 99}
    return DatabaseResource(database, settings=lambda: Settings(**values), clock=lambda: now)


def refreshed(database: Database, *, now: datetime = NOW, name: str = NAME) -> None:
    with database.begin() as connection:
        aggregates.refresh(connection, name, now=now)


def night(database: Database, *, replays: str = "", now: datetime = NOW) -> Made:
    return propose_for(NAME, resource(database, replays=replays, now=now))


def rows(connection: Connection, statement: str) -> list[Any]:
    return list(connection.execute(text(statement)).all())


@pytest.fixture
def campaign(database: Database) -> Database:
    """A strategy with one absorbed campaign that ended years ago, judged once, the night of its end."""
    hand_in(database, NAME)
    refreshed(database)
    night(database, now=datetime(EVIDENCE_END.year, EVIDENCE_END.month, EVIDENCE_END.day, 23, tzinfo=NOW.tzinfo))
    return database


def test_every_candidate_is_predicted_and_replayed_whatever_became_of_it(campaign: Database) -> None:
    with campaign.connect() as connection:
        predicted = rows(connection, PREDICTED)
        assert count_outcomes(connection, NAME).keys() == {"pseudo"}
    assert {knob for knob, _ in predicted} == {"window", "band", "lag"}
    assert {rule is None for _, rule in predicted} == {True, False}
    made = night(campaign, replays=f"{NAME}={REGISTERED}")
    assert made.night.n_due == 4 * len(predicted)
    assert made.night.n_recorded == 4 * (len(predicted) - 1)  # lag 3 cannot be run
    assert any("lag 3 breaks this backtest" in reason for reason in made.night.missing)
    with campaign.connect() as connection:
        ledger = load_ledger(connection, NAME, decided_on=NOW.date(), now=NOW)
    real = ledger.take(~ledger.pseudo)
    assert len(real) == len(predicted) - 1  # of the windows the longest counts
    assert set(real.outcome_end.tolist()) == {date(EVIDENCE_END.year + 2, EVIDENCE_END.month, EVIDENCE_END.day)}
    window = real.take(real.knob == "window")
    assert window.incumbent[0] == pytest.approx(1.7, abs=0.4)  # 0.001 a day over 0.0092, annualised
    assert window.main[0] == pytest.approx(1.7, abs=0.4)
    assert np.isfinite(real.claimed).all()
    assert len(ledger.take(ledger.pseudo)) > 0
    again = night(campaign, replays=f"{NAME}={REGISTERED}")
    assert again.night.n_recorded == 0


def test_a_decision_reads_no_outcome_that_ended_or_was_recorded_after_it(campaign: Database) -> None:
    night(campaign, replays=f"{NAME}={REGISTERED}")
    one_year = date(EVIDENCE_END.year + 1, EVIDENCE_END.month, EVIDENCE_END.day)
    with campaign.begin() as connection:

        def known(day: date, now: datetime = NOW) -> list[Any]:
            return sorted({*load_ledger(connection, NAME, decided_on=day, now=now).outcome_end.tolist()})

        assert max(known(one_year)) == one_year
        assert max(known(one_year - timedelta(days=1))) < one_year
        assert max(known(NOW.date(), NOW - timedelta(seconds=1))) <= EVIDENCE_END, "the replays were recorded since"
    before = judge(NAME, resource(campaign)).proposed
    with campaign.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO outcomes (candidate_id, strategy_id, kind, scale, window_start, window_end, n_days, "
                "realised, recorded_at) SELECT candidate_id, strategy_id, 'replay', 'incumbent', evidence_end + 1, "
                "CAST(:planted AS date), 9, 50.0, :now FROM candidate_predictions"
            ),
            {"planted": NOW.date() + timedelta(days=1), "now": NOW},
        )
    after = judge(NAME, resource(campaign)).proposed
    assert after.evidence_digest == before.evidence_digest
    assert [c.to_json() for c in after.candidates] == [c.to_json() for c in before.candidates]
    tomorrow = judge(NAME, resource(campaign, now=NOW + timedelta(days=1))).proposed
    assert tomorrow.evidence_digest != before.evidence_digest, "the planted outcome would have been seen"


def test_without_a_registered_backtest_runs_that_came_later_serve(campaign: Database) -> None:
    assert night(campaign).night.n_recorded == 0
    later = trading_days(DAYS + 200)[DAYS:]
    generator = np.random.default_rng(4)
    new = [
        replace(run, dates=later, returns=generator.normal(0.0005, 0.01, len(later)), campaign_id="autumn")
        for run in runs_of(NAME)
        if run.config["lag"] == 1 and run.market_id == "SP500"
    ]
    record(new, into=RunStore(campaign, actor="Ann", clock=lambda: NOW))
    made = night(campaign)
    with campaign.connect() as connection:
        found = rows(connection, REPLAYED)
    assert made.night.n_recorded == len(found) == 4  # window and band, after three and after six months
    assert {knob for knob, _ in found} == {"window", "band"}
    assert any("later days are known to" in reason for reason in made.night.missing)


def test_a_backtest_that_cannot_be_loaded_costs_outcomes_and_no_proposals(campaign: Database) -> None:
    made = night(campaign, replays=f"{NAME}=no.such.module:replay")
    assert made.proposed.proposals
    assert any("no.such.module" in reason for reason in made.night.missing)


def test_a_window_is_due_when_it_is_over(campaign: Database) -> None:
    three_months = EVIDENCE_END + timedelta(days=92)
    with campaign.connect() as connection:
        assert due_outcomes(connection, NAME, today=EVIDENCE_END + timedelta(days=80)) == ()
        due = due_outcomes(connection, NAME, today=three_months + timedelta(days=2))
        assert {window.window_start for window in due} == {EVIDENCE_END + timedelta(days=1)}
        assert due_outcomes(connection, NAME, today=three_months + timedelta(days=2), moved=10) == ()


def test_absorbed_runs_are_counted_as_trials_once_and_reduced_to_half_years(database: Database) -> None:
    hand_in(database, NAME)
    refreshed(database)
    again = [replace(run, run_id=f"copy of {place}") for place, run in enumerate(runs_of(NAME))]
    broken = replace(next(runs_of(NAME)), run_id="broken", returns=np.full(DAYS, np.nan))
    record([*again, broken], into=RunStore(database, actor="Ann", clock=lambda: NOW))
    refreshed(database)
    with database.connect() as connection:
        assert count_trials(connection, NAME) == 33
        assert earlier_trials(connection, NAME) == 1
        evidence = load_evidence(connection, NAME)
        stored = rows(connection, 'SELECT * FROM run_half_years ORDER BY run_id COLLATE "C"')
    with database.begin() as connection:
        connection.execute(text("UPDATE strategies SET family = 'f'"))
        (samples,) = family_samples(connection, "f", "another", knobs=["window", "lag"], decided_on=NOW.date())
        early = family_samples(connection, "f", "another", knobs=["lag"], decided_on=EVIDENCE_END - timedelta(days=1))
    assert judge(NAME, resource(database)).proposed.n_trials == 33
    panel = evidence.panel
    reduced = half_years(panel.dates, panel.returns)
    assert [row.run_id for row in stored] == list(panel.run_ids)
    assert [row.totals for row in stored] == reduced.total.T.tolist()
    assert [row.counts for row in stored] == reduced.n.T.tolist()
    wanted = reduced.sharpe(reduced.first, reduced.stop, panel.periods_per_year)
    assert sorted(samples.sharpe.tolist()) == pytest.approx(sorted(wanted.tolist()))
    assert set(samples.levels["window"]) == {"20", "50"}
    assert early == ()


def test_wealth_is_spent_once_per_set_of_campaigns(campaign: Database) -> None:
    proposed = judge(NAME, resource(campaign)).proposed
    with campaign.begin() as connection:
        first = latest_test(connection, NAME)
        assert first is not None
        assert (first.test, first.rejected) == (1, first.p_value <= first.level)
        assert judge_campaigns(connection, NAME, proposed, alpha=0.1, now=NOW) == first
    new = replace(next(runs_of(NAME, seed=5)), campaign_id="summer")
    record([new], into=RunStore(campaign, actor="Ann", clock=lambda: NOW))
    refreshed(campaign)
    with campaign.begin() as connection:
        second = judge_campaigns(connection, NAME, proposed, alpha=0.1, now=NOW)
    assert second is not None
    assert second.test == 2
    assert second.wealth < first.wealth or second.rejected
