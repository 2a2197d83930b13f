from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.walk_forward import split

GIVEN: dict[str, Any] = {
    "warm_up": 118,
    "n_folds": 5,
    "train_bars": 400,
    "purge": 12,
    "embargo": 6,
    "holdout_bars": 200,
}


@given(
    n_bars=st.integers(1000, 5000),
    n_folds=st.integers(2, 9),
    purge=st.integers(0, 30),
    embargo=st.integers(0, 30),
    anchored=st.booleans(),
)
def test_training_ends_before_its_labels_reach_the_test(
    n_bars: int, n_folds: int, purge: int, embargo: int, anchored: bool
) -> None:
    change = {"n_folds": n_folds, "purge": purge, "embargo": embargo}
    cut = split(n_bars, **{**GIVEN, **change}, anchored=anchored)
    for fold in (*cut.folds, cut.holdout):
        assert 118 <= fold.train_start < fold.train_stop
        assert fold.train_stop + purge + embargo == fold.test_start < fold.test_stop
        assert (fold.train_start == 118) if anchored else (fold.train_stop - fold.train_start == 400)
    tests = [bar for fold in cut.folds for bar in range(fold.test_start, fold.test_stop)]
    assert tests == list(range(cut.test_start, cut.test_stop))  # no bar twice, none left out
    lengths = [fold.test_stop - fold.test_start for fold in cut.folds]
    assert max(lengths) - min(lengths) <= 1
    assert cut.test_stop + embargo == cut.holdout.test_start
    assert cut.holdout.test_stop == n_bars


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_bars": 700}, "700 bars are too few: 536 go to warm-up, training and purge, 206 to holdout"),
        ({"embargo": -1}, "embargo is -1; it is a number of bars"),
        ({"n_folds": 1}, "give 2 folds or more"),
        ({"holdout_bars": 0}, "1 bar or more to train on and to hold out"),
    ],
)
def test_a_split_that_cannot_be_is_refused(change: dict[str, int], said: str) -> None:
    given: dict[str, Any] = {**GIVEN, **change}
    with pytest.raises(InputError, match=said):
        split(given.pop("n_bars", 2000), **given)
