"""Differences: touched keys only, with the direction of risk, and the three-way view."""

from typing import Any

import pytest

from meta_pipeline.canonical import ABSENT, Level
from meta_pipeline.proposals.diff import ThreeWay, sentence, show, touched_keys
from meta_pipeline_tests.proposals.governed import KNOBS, LIVE

BY_PATH = {knob.path: knob for knob in KNOBS}


def test_only_touched_keys_are_shown_down_to_the_innermost() -> None:
    after = {**LIVE, "risk": {"max_vol": 0.25, "cap": 3}, "new": {"x": 1}}
    touched = touched_keys(LIVE, after, knobs=BY_PATH)
    assert [(key.path, key.before, key.after, key.risk_change) for key in touched] == [
        ("new.x", ABSENT, 1, "unknown"),
        ("risk.max_vol", 0.5, 0.25, "reduces"),
    ]
    assert touched_keys(LIVE, LIVE, knobs=BY_PATH) == ()


def test_an_integer_that_became_a_float_and_a_null_that_went_are_differences() -> None:
    touched = touched_keys({"a": 1, "b": None, "c": {}}, {"a": 1.0}, knobs={})
    assert [(key.path, show(key.before), show(key.after)) for key in touched] == [
        ("a", "1", "1.0"),
        ("b", "null", "absent"),
        ("c", "{}", "absent"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.3, 0.25, "Change risk.max_vol of S from 0.3 to 0.25: reduces risk."),
        (ABSENT, 0.25, "Set risk.max_vol of S, absent until now, to 0.25: reduces risk."),
        (0.3, ABSENT, "Remove risk.max_vol of S (now 0.3): reduces risk."),
    ],
)
def test_a_change_is_one_sentence(before: Level, after: Level, expected: str) -> None:
    found = sentence(strategy_id="S", path="risk.max_vol", before=before, after=after, risk_change="reduces")
    assert found == expected


def test_three_values_stand_in_one_line() -> None:
    difference = ThreeWay(path="a.b", before=ABSENT, after=0.7, live={"x": None})
    assert difference.text() == 'a.b: absent -> 0.7 by this change, {"x":null} now'


def test_a_touched_key_is_json_in_which_absent_is_not_null() -> None:
    (key,) = touched_keys({}, {"a": None}, knobs={})
    expected: dict[str, Any] = {
        "path": "a",
        "before": {"absent": True},
        "after": {"absent": False, "value": None},
        "risk_change": "unknown",
    }
    assert key.to_json() == expected
