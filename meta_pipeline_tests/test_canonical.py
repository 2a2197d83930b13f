"""Canonical JSON: one value, one text, one digest, also after a stay in PostgreSQL."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from meta_pipeline.canonical import ABSENT, JsonValue, canonical_json, digest, level_key
from meta_pipeline.store.database import Database

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12)


@given(values)
def test_reading_canonical_json_and_writing_it_again_changes_nothing(value: Any) -> None:
    written = canonical_json(value)
    assert canonical_json(json.loads(written)) == written


@given(st.dictionaries(texts, scalars))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    reversed_keys = dict(reversed(value.items()))
    assert digest(reversed_keys) == digest(value)


def test_true_one_and_one_point_zero_are_three_levels() -> None:
    assert len({level_key(True), level_key(1), level_key(1.0), level_key("1"), level_key(None), level_key(ABSENT)}) == 6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [1, {"b": math.nan}]}])
def test_what_is_not_finite_is_refused_with_the_place_it_stands_at(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^\$.*NaN"):
        canonical_json(value)


def test_a_nul_a_lone_surrogate_and_a_foreign_type_are_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        canonical_json("a\x00b")
    with pytest.raises(ValueError, match="Unicode"):
        canonical_json("\ud800")
    with pytest.raises(TypeError, match="set"):
        canonical_json({"a": {1, 2}})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="keys are texts"):
        canonical_json({1: 2})  # type: ignore[dict-item]
    nested: JsonValue = 1
    for _ in range(2000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical_json(nested)


def test_negative_zero_is_zero_and_large_floats_stay_floats() -> None:
    assert canonical_json(-0.0) == "0.0"
    assert canonical_json(1e22) == "10000000000000000000000.0"
    assert isinstance(json.loads(canonical_json(1e300)), float)


@pytest.mark.database
def test_a_stay_in_jsonb_changes_neither_type_nor_digest(database: Database) -> None:
    value: JsonValue = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": None,
        "e": 1e-9,
        "f": 1e22,
        "g": [0.1, {"h": "ü\u2028"}],
        "i": 5e-324,
    }
    with database.connect() as connection:
        back = connection.execute(text("SELECT CAST(:value AS jsonb)"), {"value": canonical_json(value)}).scalar_one()
    assert canonical_json(back) == canonical_json(value)
