"""Strategies as they are declared."""

import math
from typing import Any

import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline_tests.proposals.governed import strategy


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"strategy_id": ""}, "strategy_id is ''"),
        ({"strategy_id": "x" * 65}, "1 to 64 characters"),
        ({"strategy_id": " S"}, "without spaces around"),
        ({"family": "x" * 65}, "family"),
        ({"knobs": (Knob(path="a", knob_type="int"),) * 2}, "a declared twice"),
        ({"live_config": {"a": math.nan}}, "no JSON"),
        ({"live_config": {"a": object()}}, "no JSON"),
        ({"live_config": {1: 2}}, "no JSON"),
    ],
)
def test_a_strategy_that_cannot_be_declared_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        strategy(**fields)
