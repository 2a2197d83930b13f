"""Deciding many rows at once gives what deciding each alone gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model import DecisionSettings, MetaModel, decide
from meta_pipeline.meta_model.actions import ACTIONS
from meta_pipeline.meta_model.ballot import read_ballot
from meta_pipeline.meta_model.batch import decide_many, majority_of
from meta_pipeline.meta_model.ensemble import majority_action
from meta_pipeline.meta_model.features import read_regime
from meta_pipeline.meta_model.vote_table import VoteTable
from meta_pipeline_tests.meta_model.builders import MODELS, Votes, random_model
from meta_pipeline_tests.meta_model.test_decide import clean_votes, regimes

levels = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
ballots = st.one_of(
    clean_votes,
    st.fixed_dictionaries(
        {
            model: st.one_of(
                st.fixed_dictionaries({"action": st.sampled_from(ACTIONS), "confidence": levels}),
                st.fixed_dictionaries({"confidence": levels}),
                st.just({"action": "CLOSE"}),
            )
            for model in MODELS
        }
    ),
)
questions = st.tuples(ballots, st.one_of(st.none(), st.just("bad"), regimes), st.sampled_from(["WTI", "SP500"]))


@given(
    st.lists(questions, min_size=1, max_size=15),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.45, 0.65]),
    st.booleans(),
    st.booleans(),
)
def test_each_row_is_decided_as_it_would_be_alone(
    asked: list[tuple[Votes, object, str]], seed: int, threshold: float, fail_open: bool, equal_weights: bool
) -> None:
    settings = DecisionSettings(
        meta_threshold=threshold, fail_open=fail_open, weights=(1, 1, 1, 1) if equal_weights else None
    )
    model = MetaModel(
        models=MODELS,
        weights=random_model(seed).weights,
        symbols={"WTI": random_model(seed + 1).weights},
        threshold=0.4,
    )
    rows = [(read_ballot(ballot, MODELS), read_regime(regime)) for ballot, regime, _ in asked]
    table = VoteTable.from_rows(MODELS, rows)
    many = decide_many(table, model=model, settings=settings, symbols=[symbol for _, _, symbol in asked])
    majorities = majority_of(table)
    for index, (ballot, regime, symbol) in enumerate(asked):
        one = decide(ballot, regime, model=model, settings=settings, symbol=symbol)
        assert ACTIONS[many.actions[index]] == one.action
        assert many.confidences[index] == pytest.approx(one.confidence, abs=1e-11)
        assert many.overridden[index] == one.use_meta
        assert many.asked[index] == (one.meta_confidence is not None)
        assert ACTIONS[many.ensemble.actions[index]] == one.base_ensemble_action
        assert many.ensemble.confidences[index] == one.base_ensemble_confidence
        assert majorities[index] == majority_action(rows[index][0])


def test_a_model_of_other_base_models_is_refused() -> None:
    table = VoteTable.from_rows(MODELS, [(read_ballot({}, MODELS), read_regime(None))])
    other = random_model(models=("tft", "xgb", "lgbm", "nhits"))
    with pytest.raises(InputError, match="same base models"):
        decide_many(table, model=other, settings=DecisionSettings())


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="volatility has shape"):
        VoteTable(
            models=MODELS,
            actions=np.zeros((2, 4), dtype=np.int8),
            confidences=np.ones((2, 4)),
            volatility=np.zeros(3),
            trend_strength=np.zeros(2),
        )
