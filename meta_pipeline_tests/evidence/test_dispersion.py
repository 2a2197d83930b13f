"""How far series lie apart: by hand, at the two ends, and free of any order."""

import math

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.dispersion import dispersion_of


def test_two_series_that_move_against_each_other() -> None:
    found = dispersion_of(np.tile([0.01, -0.01], (30, 1)))
    assert found.daily == pytest.approx(math.sqrt(2) * 0.01)
    assert found.relative == pytest.approx(2.0)  # n / (n - 1)


def test_series_that_move_as_one_do_not_differ_and_those_on_their_own_differ_fully() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.01, (800, 1))
    assert dispersion_of(np.repeat(common, 4, axis=1)).relative == pytest.approx(0.0, abs=1e-12)
    assert dispersion_of(rng.normal(0, 0.01, (800, 6))).relative == pytest.approx(1.0, abs=0.05)
    half = np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(0, 0.01, (800, 6))
    assert dispersion_of(half).relative == pytest.approx(0.5, abs=0.06)


def test_regimes_are_told_apart_and_short_ones_are_not_known() -> None:
    rng = np.random.default_rng(2)
    labels = np.array(["CALM"] * 300 + ["CRISIS"] * 100 + ["RARE"] * 10 + [""] * 5)
    width = np.where(labels == "CRISIS", 0.03, 0.01)[:, None]
    found = dispersion_of(width * rng.standard_normal((415, 8)), labels)
    by = {one.label: one for one in found.by_regime}
    assert set(by) == {"CALM", "CRISIS", "RARE"}
    assert by["CRISIS"].daily == pytest.approx(3 * (by["CALM"].daily or 0), rel=0.15)
    assert (by["RARE"].n_days, by["RARE"].daily) == (10, None)


def test_the_order_of_series_and_days_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(0, 0.01, (200, 7))
    table[rng.random(table.shape) < 0.2] = np.nan
    labels = np.where(rng.random(200) < 0.5, "A", "B")
    days = rng.permutation(200)
    assert dispersion_of(table[days][:, rng.permutation(7)], labels[days]) == dispersion_of(table, labels)


def test_days_with_a_single_return_are_left_out_and_too_few_days_say_so() -> None:
    table = np.tile([0.01, -0.01, np.nan], (30, 1))
    table[:11, 1] = np.nan
    found = dispersion_of(table)
    assert (found.n_series, found.n_days, found.daily, found.relative) == (3, 19, None, None)
    assert "at least 20" in found.missing["daily"]
    flat = dispersion_of(np.zeros((25, 2)))
    assert (flat.daily, flat.relative) == (0.0, None)
    assert flat.missing["relative"]
    with pytest.raises(InputError, match="one label per day"):
        dispersion_of(table, np.array(["A"]))
