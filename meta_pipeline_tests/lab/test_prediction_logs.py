"""The lab's base models and their logs: real, causal, and in the documented files."""

import json
from pathlib import Path

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.lab.base_models import BASE_MODELS, TRAINING_DAYS, BaseVotes, base_votes, realised_return
from meta_pipeline.lab.prediction_logs import LAB_DECISIONS, MARKETS, lab_training, write_prediction_logs
from meta_pipeline.lab.prices import WARM_UP, Prices, load_prices, market_named
from meta_pipeline.meta_model.actions import BUY
from meta_pipeline.meta_model.batch import ensemble_of
from meta_pipeline.meta_model.outcome_log import read_outcome_log
from meta_pipeline.meta_model.prediction_log import read_prediction_log
from meta_pipeline.meta_model.training_table import join

FIRST = WARM_UP + TRAINING_DAYS
HORIZON = 5


@pytest.fixture(scope="module")
def prices() -> Prices:
    """The first years of the S&P 500, just enough for two trainings."""
    whole = load_prices("SP500")
    n = FIRST + 300
    return Prices(dates=whole.dates[:n].copy(), closes=whole.closes[:n].copy())


@pytest.fixture(scope="module")
def votes(prices: Prices) -> BaseVotes:
    return base_votes(prices, horizon=HORIZON, seed=1)


def test_every_model_votes_every_day_and_they_differ(votes: BaseVotes, prices: Prices) -> None:
    assert votes.days.tolist() == list(range(FIRST, len(prices.closes) - 1 - HORIZON))
    assert votes.actions.shape == votes.confidences.shape == (len(votes), len(BASE_MODELS))
    assert set(np.unique(votes.actions)) <= {0, 1, 2}
    assert ((votes.confidences > 1 / 3 - 1e-6) & (votes.confidences <= 1)).all()
    assert ((votes.volatility >= 0) & (votes.volatility <= 1)).all()
    assert (np.abs(votes.trend_strength) <= 1).all()
    for one in range(4):
        for other in range(one):
            assert (votes.actions[:, one] != votes.actions[:, other]).mean() > 0.02


def test_no_vote_knows_the_future(votes: BaseVotes, prices: Prices) -> None:
    # Prices after some day become others: every vote up to that day stays as it was, to the bit.
    day = FIRST + 262
    other = prices.closes.copy()
    other[day + 1 :] *= np.linspace(1.5, 0.5, len(other) - day - 1)
    changed = base_votes(Prices(dates=prices.dates.copy(), closes=other), horizon=HORIZON, seed=1)
    before = votes.days <= day
    for name in ("actions", "confidences", "volatility", "trend_strength"):
        assert (getattr(changed, name)[before] == getattr(votes, name)[before]).all(), name
    assert (changed.confidences[~before] != votes.confidences[~before]).any()


def test_the_same_seed_gives_the_same_votes(votes: BaseVotes, prices: Prices) -> None:
    again = base_votes(prices, horizon=HORIZON, seed=1)
    assert (again.actions == votes.actions).all()
    assert (again.confidences == votes.confidences).all()


def test_the_files_are_the_documented_ones_and_every_decision_has_its_outcome(
    tmp_path: Path, prices: Prices, votes: BaseVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_pipeline.lab.prediction_logs.load_prices", lambda _: prices)
    files = write_prediction_logs(tmp_path, markets=["SP500"], horizons=[HORIZON, 20], seed=1)
    assert files.n_decisions == len(votes)
    log = read_prediction_log(files.predictions, BASE_MODELS)
    outcomes = read_outcome_log(files.outcomes)
    assert (log.data_kind, log.quarantined, outcomes.quarantined) == ("real", (), ())
    assert (log.votes.actions == votes.actions).all()
    first = json.loads(files.predictions.read_text("utf-8").splitlines()[0])
    assert set(first) == {
        "timestamp", "symbol", "base_predictions", "ensemble_action", "ensemble_confidence", "regime", "data_kind",
    }  # fmt: skip
    table, counts = join(log, outcomes, cost=lab_training(["SP500"]).cost)
    assert counts.n_matched == len(votes)
    assert counts.n_contradicting == 0
    # What BUY would have paid is what the market did, less the cost of going in and out.
    moved = 100 * realised_return(prices, votes.days, HORIZON)
    assert table.payoffs[:, BUY] == pytest.approx(moved - 200 * market_named("SP500").cost, abs=1e-5)
    assert (table.ends > table.starts).all()
    far = read_outcome_log(files.outcomes_by_horizon, horizon="20d")
    assert 0 < len(far) < len(votes)
    ensemble = ensemble_of(log.votes, LAB_DECISIONS.model_weights)
    assert first["ensemble_action"] == ("SELL", "HOLD", "BUY")[ensemble.actions[0]]


def test_the_labs_logs_hold_two_markets_and_what_each_costs() -> None:
    assert MARKETS == ("SP500", "WTI")
    assert lab_training().cost.of(["SP500", "WTI"]).tolist() == [0.1, 0.2]


def test_too_few_prices_and_no_horizon_are_refused(prices: Prices, tmp_path: Path) -> None:
    short = Prices(dates=prices.dates[:1200].copy(), closes=prices.closes[:1200].copy())
    with pytest.raises(InputError, match="1200 days of prices are too few"):
        base_votes(short, horizon=HORIZON, seed=1)
    with pytest.raises(InputError, match="give at least one"):
        write_prediction_logs(tmp_path, horizons=[], seed=1)
