"""Objects kept by key come back as they were, take each value once, and are written as canonical JSON."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import canonical_json
from meta_pipeline.evidence.records import Records, RecordsBuilder

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 2.5]) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2))
objects = st.lists(st.dictionaries(st.sampled_from("abcd"), values, max_size=4), max_size=12)


@given(objects, st.integers(0, 12))
def test_objects_come_back_as_they_were_however_they_came_in(given_objects: list[dict[str, object]], cut: int) -> None:
    builder = RecordsBuilder()
    builder.extend(given_objects[:cut])  # type: ignore[arg-type]
    builder.extend(given_objects[cut:])  # type: ignore[arg-type]
    written = [canonical_json(one) for one in given_objects]  # type: ignore[arg-type]
    for records in (builder.finish(), Records.of(given_objects)):  # type: ignore[arg-type]
        assert [canonical_json(one) for one in records] == written
        assert records.texts() == written


@given(objects)
def test_a_selection_keeps_its_order_and_drops_values_that_none_has(given_objects: list[dict[str, object]]) -> None:
    chosen = np.arange(len(given_objects))[::-2]
    taken = Records.of(given_objects).take(chosen)  # type: ignore[arg-type]
    assert taken == [given_objects[index] for index in chosen]
    for column in taken.columns.values():
        assert set(column.codes.tolist()) == set(range(len(column.levels)))


def test_numbers_are_numbers_only_and_an_index_beyond_the_end_is_an_error() -> None:
    records = Records.of([{"a": 1, "b": True}, {"a": 2.5}, {"a": "3"}, {}])
    np.testing.assert_array_equal(records.numbers("a"), [1.0, 2.5, np.nan, np.nan])
    assert np.isnan(records.numbers("b")).all()
    assert np.isnan(records.numbers("c")).all()
    assert records[-1] == {}
    with pytest.raises(IndexError, match="there are 4 objects"):
        records[4]
