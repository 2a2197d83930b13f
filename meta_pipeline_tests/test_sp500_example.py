"""The page on the S&P 500 says what its command computes, and nothing beats buying and holding."""

import numpy as np

from benchmarks.sp500_example import DOCUMENT, FAST, PICTURE, SLOW, crossovers, example, page


def test_every_figure_of_the_page_is_what_the_command_computes() -> None:
    found = example()
    assert DOCUMENT.read_text(encoding="utf-8") == page(found)
    assert PICTURE.is_file()
    assert len(found.names) == 72
    assert found.probabilistic > 0.99
    assert found.ability.p_value > 0.1
    assert found.stepwise == ()
    assert 0 in found.confidence.included, "buying and holding cannot be told from the best"


def test_a_crossover_holds_from_the_second_day_after_the_close_that_decided_it() -> None:
    rng = np.random.default_rng(4)
    closes = np.asarray(100 * np.cumprod(1 + rng.normal(0, 0.01, 400)), dtype=np.float64)
    changes = closes[1:] / closes[:-1] - 1
    returns, names = crossovers(closes, changes)
    assert returns.shape == (len(changes) - max(SLOW), len(FAST) * len(SLOW))
    column = names.index("10/100")
    for day in (0, 57, len(returns) - 1):
        decided = max(SLOW) - 1 + day  # the close at which it was decided
        wish = closes[decided - 9 : decided + 1].mean() > closes[decided - 99 : decided + 1].mean()
        earned = closes[decided + 2] / closes[decided + 1] - 1
        assert returns[day, column] == (earned if wish else 0.0)
