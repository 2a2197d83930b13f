"""Knobs inside a knob that is changed as one value."""

import pytest

from meta_pipeline.canonical import JsonValue
from meta_pipeline.proposals.knob_groups import objection_inside
from meta_pipeline.proposals.knobs import Knob

KNOBS = (Knob(path="risk", knob_type="json"), Knob(path="risk.cap", knob_type="float", lower=0.0, upper=1.0))
LIVE: dict[str, JsonValue] = {"cap": 0.5, "note": "ours"}


def test_a_key_nobody_declared_may_stay_as_it_is() -> None:
    assert objection_inside(KNOBS, "risk", LIVE, {"cap": 0.4, "note": "ours"}) is None


@pytest.mark.parametrize("after", [{"cap": 0.5, "note": "x"}, {"cap": 0.5}, {**LIVE, "leverage": 9}])
def test_it_may_not_be_changed_removed_or_added(after: dict[str, JsonValue]) -> None:
    assert "not declared inside" in (objection_inside(KNOBS, "risk", LIVE, after) or "")


def test_what_is_declared_inside_holds_in_the_group() -> None:
    assert "above its upper bound" in (objection_inside(KNOBS, "risk", LIVE, {"cap": 1.5, "note": "ours"}) or "")
