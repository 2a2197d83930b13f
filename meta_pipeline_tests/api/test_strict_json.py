"""JSON that others let through is refused, with the reason; what is right is read as ever."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.api.strict_json import DEEPEST, StrictJsonError, strict_loads


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"[Infinity]", "Infinity is no JSON number"),
        (b"[-Infinity]", "Infinity is no JSON number"),
        (b"1e400", "1e400 is too large"),
        (b"[-1e400]", "too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' occurs twice"),
        (b'{"x": {"a": 1, "a": 1}}', "'a' occurs twice"),
        (b'["a\\u0000b"]', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "half a character"),
        (b"\xff", "not UTF-8"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"9223372036854775808", "too large"),
        (b"9" * 5000, "too large"),
        (b"{", "Expecting"),
        (b"", "Expecting"),
        (b"[1,]", "Illegal trailing comma|Expecting"),
        (b"'a'", "Expecting"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
def test_what_is_ambiguous_or_cannot_be_stored_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(StrictJsonError, match=said):
        strict_loads(data)


numbers = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_what_is_right_is_read_as_ever(value: object) -> None:
    assert strict_loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        strict_loads(data)
    except StrictJsonError:
        return
