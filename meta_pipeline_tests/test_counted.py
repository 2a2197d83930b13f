"""A number and what it counts agree."""

import numpy as np
import pytest

from meta_pipeline.counted import counted


@pytest.mark.parametrize(
    ("number", "words", "written"),
    [
        (1, ("run",), "1 run"),
        (0, ("run",), "0 runs"),
        (2700, ("distinct run",), "2,700 distinct runs"),
        (np.int64(1), ("day",), "1 day"),
        (1.0, ("hour",), "1 hour"),
        (0.5, ("hour",), "0.5 hours"),
        (1, ("policy", "policies"), "1 policy"),
        (3, ("policy", "policies"), "3 policies"),
        (1, ("fill was", "fills were"), "1 fill was"),
    ],
)
def test_a_number_and_what_it_counts_agree(number: float, words: tuple[str, ...], written: str) -> None:
    assert counted(number, *words) == written
