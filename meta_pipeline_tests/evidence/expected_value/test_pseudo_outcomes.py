"""A campaign's own past as a first ledger."""

import numpy as np
import pytest

from meta_pipeline.evidence.expected_value.pseudo_outcomes import pseudo_outcomes, splits
from meta_pipeline.evidence.half_years import half_year_of, half_years

DATES = np.arange(np.datetime64("2010-01-01"), np.datetime64("2015-01-01"))


def test_five_years_are_split_after_three_two_and_one() -> None:
    assert splits(0, 10) == ((6, 10), (4, 8), (2, 6))


def test_other_lengths_are_split_in_the_same_fifths() -> None:
    assert splits(100, 120) == ((112, 120), (108, 116), (104, 112))
    assert splits(0, 5) == ((3, 5), (2, 4), (1, 3))
    assert splits(0, 2) == ((1, 2),)
    assert splits(0, 1) == ()


def two_runs(n_blocks: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs in blocks: low, high; the high one earns more from 2013 on."""
    rng = np.random.default_rng(0)
    returns = rng.normal(0, 0.01, (len(DATES), 2 * n_blocks))
    returns[np.datetime64("2013-01-01") <= DATES, 1::2] += 0.01
    return returns, np.repeat(np.arange(n_blocks), 2)


def test_the_future_is_later_than_the_past_and_holds_the_effect_of_its_own_days() -> None:
    returns, blocks = two_runs()
    halves, periods = half_years(DATES, returns), np.full(2, 365.0)
    weights = np.asarray([[-1.0], [1.0]])
    found = pseudo_outcomes(
        halves,
        periods_per_year=periods,
        blocks=blocks,
        weights=weights,
        raised=weights > 0,
        local=weights,
        last_day=DATES[-1],
    )
    assert [(str(row.evidence_end), str(row.outcome_end), row.years) for row in found] == [
        ("2012-12-31", "2014-12-31", 3.0),
        ("2011-12-31", "2013-12-31", 2.0),
        ("2010-12-31", "2012-12-31", 1.0),
    ]
    first = int(half_year_of(DATES[:1])[0])
    before, after = halves.sharpe(first, first + 6, periods), halves.sharpe(first + 6, first + 10, periods)
    assert found[0].contrast == pytest.approx(before[1] - before[0])
    assert found[0].main == pytest.approx(after[1] - after[0])
    assert found[0].incumbent == found[0].main
    assert found[0].main > 10
    assert abs(found[2].main) < 5


def test_a_block_that_lacks_one_side_is_left_out_whole() -> None:
    returns, blocks = two_runs(2)
    weights = np.asarray([[-0.5], [0.5], [-0.5], [0.5]])
    returns[np.datetime64("2013-01-01") <= DATES, 3] = np.nan  # ended early
    found = pseudo_outcomes(
        half_years(DATES, returns),
        periods_per_year=np.full(4, 365.0),
        blocks=blocks,
        weights=weights,
        raised=weights > 0,
        last_day=DATES[-1],
    )
    alone = pseudo_outcomes(
        half_years(DATES, returns[:, :2]),
        periods_per_year=np.full(2, 365.0),
        blocks=blocks[:2],
        weights=weights[:2] * 2,
        raised=weights[:2] > 0,
        last_day=DATES[-1],
    )
    assert found[0].main == pytest.approx(alone[0].main)
    assert np.isnan(found[0].incumbent)


def test_no_returns_give_no_outcomes() -> None:
    nothing = np.full((len(DATES), 2), np.nan)
    weights = np.asarray([[-1.0], [1.0]])
    assert (
        pseudo_outcomes(
            half_years(DATES, nothing),
            periods_per_year=np.full(2, 365.0),
            blocks=np.zeros(2, dtype=np.int64),
            weights=weights,
            raised=weights > 0,
            last_day=DATES[-1],
        )
        == ()
    )
