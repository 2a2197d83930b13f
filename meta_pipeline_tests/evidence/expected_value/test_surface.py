"""The response surface: what a change does where it would be used."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.surface import INFORMED, Samples, fit_surface

END = np.datetime64("2010-12-31")
INCUMBENT = {"a": "0", "b": "0", "c": "1"}


def samples(seed: int, n_campaigns: int = 12, n_runs: int = 80) -> list[Samples]:
    """a = 1 adds .4 where b = 0 and takes .4 where b = 1; markets differ; c does nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for campaign in range(n_campaigns):
        codes = {knob: rng.integers(0, 2 if knob != "c" else 3, n_runs) for knob in "abc"}
        markets = np.asarray(["low", "high"], dtype=np.object_)[rng.integers(0, 2, n_runs)]
        effect = np.where(codes["b"] == 0, 0.4, -0.4) * (codes["a"] == 1)
        sharpe = effect + np.where(markets == "high", 3.0, 0.0) + rng.normal(0, 0.1, n_runs)
        levels = {knob: np.asarray([str(code) for code in column], dtype=np.object_) for knob, column in codes.items()}
        found.append(Samples(campaign=f"c{campaign}", ended=END, levels=levels, groups=markets, sharpe=sharpe))
    return found


def test_the_effect_at_the_incumbent_is_not_the_average_one() -> None:
    surface = fit_surface(samples(0, 60), at=END)
    assert surface.speaks()
    here = surface.uplift(INCUMBENT, "a", "1")
    there = surface.uplift(INCUMBENT | {"b": "1"}, "a", "1")
    assert here > 0.08
    assert there < -0.08
    assert abs(surface.uplift(INCUMBENT, "c", "2")) < 0.02
    assert surface.uplift(INCUMBENT | {"a": "1"}, "a", "0") == pytest.approx(-here)


def test_it_is_the_ridge_solution_of_the_formula() -> None:
    surface = fit_surface(samples(1, 6), at=END)
    y, rows, groups = [], [], []
    for part in samples(1, 6):
        for run in range(len(part.sharpe)):
            one = [
                np.eye(size)[int(part.levels[knob][run])] - 1 / size
                for knob, size in zip("abc", (2, 2, 3), strict=True)
            ]
            pairs = [np.outer(one[i], one[j]).ravel() for i, j in ((0, 1), (0, 2), (1, 2))]
            rows.append(np.concatenate([*one, *pairs]))
            y.append(part.sharpe[run])
            groups.append((part.campaign, part.groups[run]))
    x, target = np.asarray(rows), np.asarray(y)
    for group in set(groups):
        members = np.asarray([found == group for found in groups])
        x[members] -= x[members].mean(axis=0)
        target[members] -= target[members].mean()
    penalty = np.diag([30.0] * 7 + [150.0] * (x.shape[1] - 7))
    beta = np.linalg.solve(x.T @ x / 10 + penalty, x.T @ target / 10)

    def at(*codes: int) -> float:
        one = [np.eye(size)[code] - 1 / size for code, size in zip(codes, (2, 2, 3), strict=True)]
        pairs = [np.outer(one[i], one[j]).ravel() for i, j in ((0, 1), (0, 2), (1, 2))]
        return float(np.concatenate([*one, *pairs]) @ beta)

    assert surface.uplift(INCUMBENT, "a", "1") == pytest.approx(at(1, 0, 1) - at(0, 0, 1), rel=1e-9)
    assert surface.uplift(INCUMBENT, "c", "0") == pytest.approx(at(0, 0, 0) - at(0, 0, 1), rel=1e-9)


def test_what_it_never_saw_it_does_not_say() -> None:
    surface = fit_surface(samples(0, 6), at=END)
    assert np.isfinite(surface.uplift(INCUMBENT, "a", "1"))
    assert np.isnan(surface.uplift(INCUMBENT, "a", "7"))
    assert np.isnan(surface.uplift({"a": "7"}, "a", "1"))
    assert np.isnan(surface.uplift(INCUMBENT, "z", "1"))
    assert np.isnan(fit_surface([], at=END).uplift(INCUMBENT, "a", "1"))


def test_a_single_campaign_says_no_more_than_its_own_contrast() -> None:
    assert not fit_surface(samples(0, 1), at=END).speaks()
    assert fit_surface(samples(0, 2), at=END).speaks()


def test_it_speaks_of_a_change_from_a_hundred_runs_at_either_level_however_many_campaigns_they_are_from() -> None:
    few_large, many_small = fit_surface(samples(0, 2, 240), at=END), fit_surface(samples(0, 24, 12), at=END)
    for surface, informed in ((few_large, True), (many_small, False)):
        # Of a, with two levels, 240 and 144 runs a level; of c, with three, 160 and 96.
        assert np.isfinite(surface.uplift(INCUMBENT, "a", "1"))
        assert np.isfinite(surface.uplift(INCUMBENT, "c", "2")) == informed
    information = [fit_surface(samples(0, n), at=END).information["c"][1, 2] for n in (2, 6, 30)]
    assert 0 < information[0] < INFORMED < information[1] < information[2] < 1
    assert fit_surface(samples(0, 2), at=END).information["c"][1, 1] == pytest.approx(1.0)


def test_a_campaign_that_ended_after_the_decision_is_refused() -> None:
    with pytest.raises(InputError, match="c0 ended after 2010-12-30"):
        fit_surface(samples(0, 1), at=np.datetime64("2010-12-30"))


@given(st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_order_repetition_and_names_of_levels_change_no_bit(seed: int, random: Any) -> None:
    names = {"0": "true", "1": '"one"', "2": "-4"}
    mixed = []
    for part in samples(seed, 6, 60):
        rows = list(range(60)) + [random.randrange(60) for _ in range(5)]
        random.shuffle(rows)
        renamed = {
            knob: np.asarray([names[str(column[row])] for row in rows], dtype=np.object_)
            for knob, column in part.levels.items()
        }
        mixed.append(
            Samples(
                campaign=part.campaign,
                ended=END,
                levels=renamed,
                groups=part.groups[rows],
                sharpe=part.sharpe[rows],
            )
        )
    random.shuffle(mixed)
    one, two = fit_surface(samples(seed, 6, 60), at=END), fit_surface(mixed, at=END)
    there = {knob: names[level] for knob, level in INCUMBENT.items()}
    for knob, high in (("a", "1"), ("b", "1"), ("c", "0"), ("c", "2")):
        assert one.uplift(INCUMBENT, knob, high) == two.uplift(there, knob, names[high])
