"""The 26 features: their documented names, order, values and defaults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.meta_model.ballot import read_ballot
from meta_pipeline.meta_model.features import (
    REGIME_INVALID,
    REGIME_NEUTRAL,
    feature_names,
    feature_values,
    named_features,
    packer,
    read_regime,
    schema_digest,
)
from meta_pipeline.meta_model.vote_table import VoteTable
from meta_pipeline_tests.meta_model.builders import MODELS, Votes, votes

FIVE = (*MODELS, "tft")

ballots = st.dictionaries(
    st.sampled_from(MODELS),
    st.fixed_dictionaries(
        {"action": st.sampled_from(["SELL", "HOLD", "BUY", "CLOSE"]), "confidence": st.floats(0, 1)},
    ),
)


def features(ballot: Votes | None, regime: object = None, models: tuple[str, ...] = MODELS) -> dict[str, float]:
    return named_features(feature_values(read_ballot(ballot, models), read_regime(regime)), models)


def test_the_names_are_the_documented_ones_in_the_documented_order() -> None:
    assert feature_names(MODELS) == (
        "xgb_sell", "xgb_hold", "xgb_buy", "xgb_conf",
        "lgbm_sell", "lgbm_hold", "lgbm_buy", "lgbm_conf",
        "nhits_sell", "nhits_hold", "nhits_buy", "nhits_conf",
        "patchtst_sell", "patchtst_hold", "patchtst_buy", "patchtst_conf",
        "mean_confidence", "max_confidence", "min_confidence", "confidence_std",
        "vote_buy_pct", "vote_sell_pct", "vote_hold_pct", "disagreement",
        "volatility", "trend_strength",
    )  # fmt: skip
    assert len(feature_names(FIVE)) == 30


def test_a_ballot_gives_the_vector_computed_by_hand() -> None:
    ballot = votes("BUY SELL HOLD BUY", [0.9, 0.7, 0.5, 0.3])
    values = feature_values(read_ballot(ballot, MODELS), read_regime({"volatility": 0.4, "trend_strength": -0.2}))
    assert values[:16] == [0, 0, 1, 0.9, 1, 0, 0, 0.7, 0, 1, 0, 0.5, 0, 0, 1, 0.3]
    # mean 0.6, deviations 0.3 0.1 -0.1 -0.3: variance 0.05 over four votes
    assert values[16:20] == pytest.approx([0.6, 0.9, 0.3, 0.05**0.5], abs=1e-15)
    assert values[20:] == [0.5, 0.25, 0.25, 0.5, 0.4, -0.2]


def test_an_absent_model_is_hold_at_half_in_its_own_features_and_nowhere_else() -> None:
    named = features(votes("BUY BUY - SELL", [0.8, 0.6, 0.0, 0.4]))
    assert (named["nhits_sell"], named["nhits_hold"], named["nhits_buy"], named["nhits_conf"]) == (0, 1, 0, 0.5)
    assert named["mean_confidence"] == pytest.approx(0.6)
    assert (named["min_confidence"], named["max_confidence"]) == (0.4, 0.8)
    assert named["vote_buy_pct"] == pytest.approx(2 / 3)
    assert named["vote_hold_pct"] == 0
    assert named["disagreement"] == pytest.approx(1 / 3)


def test_nobody_present_gives_the_documented_defaults() -> None:
    for ballot in ({}, None, {"xgb": None}):
        named = features(ballot)
        assert [named[name] for name in ("mean_confidence", "max_confidence", "min_confidence")] == [0.5] * 3
        assert [named[name] for name in ("confidence_std", "disagreement")] == [0, 0]
        assert named["vote_buy_pct"] == named["vote_sell_pct"] == named["vote_hold_pct"] == 0


def test_one_vote_has_no_spread() -> None:
    assert features(votes("BUY - - -", [0.7, 0, 0, 0]))["confidence_std"] == 0


def test_a_missing_action_is_hold_and_a_missing_confidence_is_half() -> None:
    named = features({"xgb": {"confidence": 0.9}, "lgbm": {"action": "BUY"}})
    assert (named["xgb_hold"], named["xgb_conf"]) == (1, 0.9)
    assert (named["lgbm_buy"], named["lgbm_conf"]) == (1, 0.5)
    assert named["vote_hold_pct"] == named["vote_buy_pct"] == 0.5


@pytest.mark.parametrize("regime", [None, {}, {"trend_strength": 0.0}, {"volatility": 0.5}])
def test_no_regime_is_neutral(regime: object) -> None:
    read = read_regime(regime)
    assert (read.volatility, read.trend_strength) == (0.5, 0.0)
    assert read.origin != REGIME_INVALID


def test_a_regime_that_is_switched_off_is_not_read() -> None:
    read = read_regime({"volatility": 0.9, "trend_strength": 1.0}, enabled=False)
    assert (read.volatility, read.trend_strength, read.origin) == (0.5, 0.0, REGIME_NEUTRAL)
    assert read_regime("nonsense", enabled=False).origin == REGIME_NEUTRAL


def test_the_schema_follows_the_names_and_their_order() -> None:
    assert schema_digest(MODELS) == schema_digest(list(MODELS))
    assert schema_digest(MODELS) != schema_digest(tuple(reversed(MODELS)))
    assert schema_digest(MODELS) != schema_digest(FIVE)


@given(st.lists(st.tuples(ballots, st.one_of(st.none(), st.floats(0, 1)), st.floats(-1, 1)), min_size=1, max_size=12))
def test_many_rows_are_to_the_bit_what_each_row_is_alone(rows: list[tuple[Votes, float | None, float]]) -> None:
    read = [
        (read_ballot(ballot, MODELS), read_regime(None if v is None else {"volatility": v, "trend_strength": t}))
        for ballot, v, t in rows
    ]
    matrix = VoteTable.from_rows(MODELS, read).features()
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(rows), 26)
    for row, (ballot, regime) in zip(matrix, read, strict=True):
        assert packer(26).pack(*feature_values(ballot, regime)) == row.astype("<f4").tobytes()
