"""Splits in time: nothing that was not known is trained on, and the audit sees it when it is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.fitting import calibration_windows
from meta_pipeline.meta_model.walk_forward import Fold, audit, average_uniqueness, walk_forward

spans = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), min_size=30, max_size=120)


def columns(rows: list[tuple[int, int]]) -> tuple[np.typing.NDArray[np.int64], np.typing.NDArray[np.int64]]:
    starts = np.sort(np.array([start for start, _ in rows], dtype=np.int64))
    return starts, starts + np.array([length for _, length in rows], dtype=np.int64)


@given(spans, st.integers(2, 6), st.integers(0, 30))
def test_every_fold_trains_on_what_was_known_an_embargo_before(
    rows: list[tuple[int, int]], n_splits: int, embargo: int
) -> None:
    starts, ends = columns(rows)
    if len(np.unique(starts)) <= n_splits:
        return
    folds = walk_forward(starts, ends, n_splits=n_splits, embargo=embargo)
    assert audit(folds, starts, ends, embargo) == []
    for train, test in folds:
        assert ends[train].max() < starts[test].min() - embargo
        assert starts[train].max() < starts[test].min()
    for earlier, later in pairwise(folds):
        assert starts[earlier.test].max() < starts[later.test].min()


@given(spans, st.integers(0, 20))
def test_calibration_windows_are_later_than_what_they_calibrate(rows: list[tuple[int, int]], embargo: int) -> None:
    starts, ends = columns(rows)
    for train, later in calibration_windows(starts, ends, np.arange(len(starts)), embargo=embargo):
        if len(train) and len(later):
            assert ends[train].max() < starts[later].min() - embargo


def test_the_audit_names_each_kind_of_leak() -> None:
    starts = np.array([0, 10, 20, 30, 40, 50], dtype=np.int64)
    ends = starts + 5

    def leaks(train: list[int], test: list[int], embargo: int = 0) -> str:
        return "; ".join(audit([Fold(np.array(train), np.array(test))], starts, ends, embargo))

    assert leaks([0, 1, 2], [3, 4]) == ""
    assert "labels not known an embargo before" in leaks([0, 1, 2], [3, 4], embargo=10)
    assert "tests on rows it was trained on" in leaks([0, 1, 3], [3, 4])
    assert "trains on 1 rows that begin in the test" in leaks([0, 5], [3, 4])
    assert "0 rows to train on" in leaks([], [3])
    ends[2] = 33
    assert "1 labels not known" in leaks([0, 1, 2], [3, 4])
    shared = audit([Fold(np.array([0]), np.array([1]))], np.array([7, 7]), np.array([7, 8]), 0)
    assert "fold 1 has 1 instants on both sides" in shared
    twice = [Fold(np.array([0]), np.array([2, 3])), Fold(np.array([0]), np.array([3, 4]))]
    assert audit(twice, starts, starts + 5, 0) == ["some rows are tested in more than one fold"]


def test_uniqueness_counts_independent_labels() -> None:
    starts = np.arange(100, dtype=np.int64)
    assert average_uniqueness(starts, starts + 1).sum() == 100
    assert average_uniqueness(starts, starts + 10).sum() == pytest.approx(10, rel=0.4)
    both = np.repeat(starts, 2)
    assert average_uniqueness(both, both + 1).sum() == 100


def test_too_little_data_and_impossible_embargoes_are_refused() -> None:
    starts = np.zeros(50, dtype=np.int64)
    with pytest.raises(InputError, match="1 distinct instants cannot be split 5 times"):
        walk_forward(starts, starts, n_splits=5, embargo=0)
    with pytest.raises(InputError, match="must not be negative"):
        walk_forward(np.arange(50), np.arange(50), n_splits=5, embargo=-1)
