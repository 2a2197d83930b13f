"""Configurations: read, set and remove nested keys; apply and revert as replaying changes."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import ABSENT, Level, canonical_json, level_key
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.configs import KeyChange, level_at, related, replay, with_level

KEYS = st.sampled_from(["a", "b", "c", "__proto__", "x[0]", "é", " "])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
CONFIGS = st.dictionaries(KEYS, VALUES, max_size=4)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
LEVELS = VALUES | st.just(ABSENT)


def test_a_key_is_read_wherever_it_is_and_absent_is_not_null() -> None:
    config: dict[str, Any] = {"risk": {"max_vol": None}, "flat": 1}
    assert level_at(config, "risk.max_vol") is None
    assert level_at(config, "risk.stop") is ABSENT
    assert level_at(config, "flat.inner") is ABSENT
    assert level_at(config, "risk") == {"max_vol": None}


def test_setting_a_nested_key_makes_the_objects_around_it_and_leaves_the_given_configuration_alone() -> None:
    config: dict[str, Any] = {"other": 1}
    assert with_level(config, "risk.limits.max_vol", 0.2) == {"other": 1, "risk": {"limits": {"max_vol": 0.2}}}
    assert config == {"other": 1}


def test_a_value_on_the_way_that_is_no_object_is_never_overwritten() -> None:
    with pytest.raises(InputError, match="'risk' on the way to it is 5"):
        with_level({"risk": 5}, "risk.max_vol", 0.2)
    assert with_level({"risk": 5}, "risk.max_vol", ABSENT) == {"risk": 5}


def test_a_key_that_itself_holds_a_dot_makes_a_path_ambiguous() -> None:
    with pytest.raises(InputError, match=r"ambiguous.*'risk\.max_vol'"):
        level_at({"risk.max_vol": 1, "risk": {"max_vol": 2}}, "risk.max_vol")
    with pytest.raises(InputError, match="ambiguous"):
        with_level({"a": {"b.c": {}}}, "a.b.c.d", 1)
    assert level_at({"elsewhere.x": 1, "risk": {"max_vol": 2}}, "risk.max_vol") == 2


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("risk", "risk", True),
        ("risk", "risk.max_vol", True),
        ("risk.max_vol.a", "risk", True),
        ("risk", "risky", False),
        ("risk.max_vol", "risk.stop", False),
        ("risk.max", "risk.max_vol", False),
    ],
)
def test_paths_are_related_when_one_is_or_contains_the_other(one: str, other: str, expected: bool) -> None:
    assert related(one, other) is expected
    assert related(other, one) is expected


@given(CONFIGS, PATHS, LEVELS)
def test_what_was_set_is_read_back_and_nothing_unrelated_moves(config: Any, path: str, level: Level) -> None:
    before = copy.deepcopy(config)
    try:
        after = with_level(config, path, level)
    except InputError:
        return
    assert level_key(level_at(after, path)) == level_key(level)
    assert config == before
    for other in config:
        if not related(other, path):
            assert canonical_json(after[other]) == canonical_json(config[other])


@given(CONFIGS, PATHS, LEVELS)
def test_apply_then_revert_is_identity_on_any_nested_configuration(config: Any, path: str, level: Level) -> None:
    change = KeyChange(path=path, level=level)
    try:
        replay(config, [change])
    except InputError:
        return
    assert canonical_json(replay(config, [])) == canonical_json(config)


@given(CONFIGS, st.lists(st.tuples(PATHS, LEVELS), max_size=5), st.data())
def test_unrelated_changes_reverted_in_any_order_leave_the_configuration_as_it_was(
    config: Any, drawn: list[tuple[str, Level]], data: st.DataObject
) -> None:
    changes: list[KeyChange] = []
    for path, level in drawn:
        if any(related(path, change.path) for change in changes):
            continue
        try:
            replay(config, [*changes, KeyChange(path=path, level=level)])
        except InputError:
            continue
        changes.append(KeyChange(path=path, level=level))
    in_force = list(changes)
    while in_force:
        in_force.remove(data.draw(st.sampled_from(in_force)))
        live = replay(config, in_force)
        for change in changes:
            expected = change.level if change in in_force else level_at(config, change.path)
            assert level_key(level_at(live, change.path)) == level_key(expected)
    assert canonical_json(replay(config, in_force)) == canonical_json(config)


def test_objects_made_to_hold_a_key_go_with_it_whatever_the_order_of_reverts() -> None:
    first, second = KeyChange(path="risk.a", level=1), KeyChange(path="risk.b", level=2)
    assert replay({}, [first, second]) == {"risk": {"a": 1, "b": 2}}
    assert replay({}, [second]) == {"risk": {"b": 2}}
    assert replay({}, []) == {}
    assert replay({"risk": {}}, []) == {"risk": {}}
