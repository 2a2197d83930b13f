"""Knobs: what a declaration may say, which values and changes it allows, what a change does to risk."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import ABSENT, Level, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.knobs import (
    KNOB_TYPES,
    NUMERIC_TYPES,
    Knob,
    RiskDirection,
    is_identifier_or_date,
    knob_of,
    typed_value,
)

VOLATILITY = Knob(
    path="risk.max_vol",
    knob_type="float",
    lower=0.1,
    upper=0.5,
    max_step=0.1,
    risk_direction=RiskDirection.HIGHER_IS_RISKIER,
)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"path": ""}, "empty"),
        ({"path": "a..b"}, "empty part"),
        ({"path": "a. .b"}, "empty part"),
        ({"path": "x" * 257}, "257 characters"),
        ({"path": "a\x00b"}, "NUL"),
        ({"knob_type": "decimal"}, "'decimal' is not one of"),
        ({"lower": math.nan}, "nan"),
        ({"upper": math.inf}, "inf"),
        ({"lower": 2.0, "upper": 1.0}, "lower bound 2.0 is above upper bound 1.0"),
        ({"max_step": 0.0}, "must be positive"),
        ({"knob_type": "str", "lower": 1.0}, "lower is for numbers"),
        ({"choices": ()}, "choices is empty"),
        ({"knob_type": "int", "choices": (1, 2.5)}, "choice 2.5"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Knob(**{"path": "p", "knob_type": "float", **fields})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.05, "0.05 is below its lower bound 0.1"),
        (1e9, "above its upper bound 0.5"),
        (10**400, "above its upper bound 0.5"),
        (math.nan, "not of the declared type float"),
        (math.inf, "not of the declared type float"),
        ("0.2", "not of the declared type float"),
        (True, "not of the declared type float"),
        (None, "not of the declared type float"),
        ({"max": 0.2}, "not of the declared type float"),
        (ABSENT, "must be present"),
    ],
)
def test_a_value_that_the_knob_does_not_allow_is_named_with_its_rule(value: Level, said: str) -> None:
    objection = VOLATILITY.objection(value)
    assert objection is not None
    assert said in objection


def test_integers_beyond_the_precision_of_floats_are_held_against_bounds_as_they_are() -> None:
    knob = Knob(path="n", knob_type="int", upper=2**53)
    assert knob.objection(2**53) is None
    assert knob.objection(2**53 + 1) is not None


def test_choices_are_told_apart_by_type() -> None:
    knob = Knob(path="n", knob_type="json", choices=(1, "1"))
    assert knob.objection(1) is None
    assert knob.objection(True) is not None
    assert knob.objection(1.0) is not None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.3, 0.45, "step 0.1500"),
        (0.3, 0.3, "would change nothing"),
        (ABSENT, 0.3, "no step can be measured"),
        ("0.3", 0.3, "no step can be measured"),
        (0.3, math.nan, "not of the declared type"),
    ],
)
def test_a_change_that_the_knob_does_not_allow_is_refused(before: Level, after: Level, said: str) -> None:
    objection = VOLATILITY.objection_to_change(before, after)
    assert objection is not None
    assert said in objection


def test_a_step_of_exactly_the_largest_step_is_allowed_in_spite_of_rounding() -> None:
    assert VOLATILITY.objection_to_change(0.3, 0.2) is None
    assert VOLATILITY.objection_to_change(0.1, 0.2) is None


def test_a_number_written_in_another_way_is_no_change() -> None:
    knob = Knob(path="x", knob_type="float")
    assert "change nothing" in str(knob.objection_to_change(1, 1.0))
    assert knob.objection_to_change(None, 1.0) is None


@pytest.mark.parametrize(
    "path",
    [
        "strategy_id",
        "portfolioId",
        "start_date",
        "risk.endDate",
        "as_of",
        "asOf",
        "run.uuid",
        "created_timestamp",
        "ID",
    ],
)
def test_identifiers_and_dates_are_never_changed_even_where_a_knob_declares_them(path: str) -> None:
    assert is_identifier_or_date(path)
    objection = Knob(path=path, knob_type="json").objection_to_change("a", "b")
    assert objection is not None
    assert "never changed by a proposal" in objection


@pytest.mark.parametrize("path", ["max_holding_days", "grid", "validity", "update_rate", "id_weight", "candidate.lag"])
def test_words_that_merely_resemble_them_are_knobs(path: str) -> None:
    assert not is_identifier_or_date(path)


def test_a_date_in_the_value_is_never_changed_whatever_the_knob_is_called() -> None:
    knob = Knob(path="train_from", knob_type="str")
    assert "dates are never changed" in str(knob.objection_to_change("2015-01-01", "2018-01-01"))
    assert "dates are never changed" in str(knob.objection_to_change("x", "2018-01-01T00:00"))


def test_a_knob_that_is_not_changeable_is_not_changed() -> None:
    knob = Knob(path="x", knob_type="float", changeable=False)
    assert "not changeable" in str(knob.objection_to_change(1.0, 2.0))


@pytest.mark.parametrize(
    ("direction", "before", "after", "expected"),
    [
        (RiskDirection.HIGHER_IS_RISKIER, 0.2, 0.3, "raises"),
        (RiskDirection.HIGHER_IS_RISKIER, 0.3, 0.2, "reduces"),
        (RiskDirection.LOWER_IS_RISKIER, 0.3, 0.2, "raises"),
        (RiskDirection.NEUTRAL, 0.3, 0.2, "neutral"),
        (RiskDirection.UNKNOWN, 0.3, 0.2, "unknown"),
        (RiskDirection.HIGHER_IS_RISKIER, ABSENT, 0.2, "unknown"),
        (RiskDirection.HIGHER_IS_RISKIER, 0.2, ABSENT, "unknown"),
        (RiskDirection.HIGHER_IS_RISKIER, math.nan, 0.2, "unknown"),
        (RiskDirection.HIGHER_IS_RISKIER, True, 0.2, "unknown"),
        (RiskDirection.HIGHER_IS_RISKIER, 0.2, 0.2, "unknown"),
    ],
)
def test_the_direction_of_risk_follows_the_declaration_and_is_unknown_where_it_cannot_be_told(
    direction: RiskDirection, before: Level, after: Level, expected: str
) -> None:
    assert Knob(path="x", knob_type="float", risk_direction=direction).risk_change(before, after) == expected


def test_a_switch_has_a_direction_of_risk_too() -> None:
    hedge = Knob(path="hedge", knob_type="bool", risk_direction=RiskDirection.LOWER_IS_RISKIER)
    assert hedge.risk_change(True, False) == "raises"
    assert hedge.risk_change(False, True) == "reduces"


def test_a_declaration_is_read_back_from_what_it_is_written_as() -> None:
    knob = Knob(path="m", knob_type="str", choices=("a", "b"), optional=True, changeable=False)
    assert knob_of(knob.to_json()) == knob
    assert knob_of(VOLATILITY.to_json()) == VOLATILITY
    assert knob_of({"path": "x", "knob_type": "int"}) == Knob(path="x", knob_type="int")


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ({"path": "x"}, "missing fields \\['knob_type'\\]"),
        ({"path": "x", "knob_type": "int", "max": 3}, "unknown fields \\['max'\\]"),
        ({"path": "x", "knob_type": "int", "risk_direction": "up"}, "'up' is not one of"),
        ({"path": 3, "knob_type": "int"}, "path is 3"),
        ({"path": "x", "knob_type": "int", "optional": "no"}, "optional is 'no'"),
        ({"path": "x", "knob_type": "int", "choices": 5}, "give a list"),
        ({"path": "x", "knob_type": "int", "lower": "0"}, "lower is '0'"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(declaration: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        knob_of(declaration)


@pytest.mark.parametrize(
    ("knob_type", "text", "value"),
    [
        ("float", "0.25", 0.25),
        ("float", "1", 1.0),
        ("int", "21", 21),
        ("bool", "true", True),
        ("str", "5", "5"),
        ("str", "slow", "slow"),
        ("json", '{"a": [1, 2.0]}', {"a": [1, 2.0]}),
        ("json", "null", None),
    ],
)
def test_a_typed_value_becomes_a_value_of_the_knobs_type(knob_type: str, text: str, value: Any) -> None:
    found = typed_value(Knob(path="x", knob_type=knob_type), text)
    assert found == value
    assert type(found) is type(value)


def test_a_typed_number_takes_the_form_of_the_choice_it_equals() -> None:
    found = typed_value(Knob(path="x", knob_type="float", choices=(1, 2)), "1.0")
    assert type(found) is int


@pytest.mark.parametrize(
    ("knob_type", "text"),
    [
        ("float", "NaN"),
        ("float", "1e400"),
        ("float", "a lot"),
        ("int", "2.5"),
        ("bool", "1"),
        ("json", "{"),
        ("json", '{"a": 1, "a": 2}'),
        ("json", '[{"a": NaN}]'),
        ("float", ""),
    ],
)
def test_a_typed_value_that_is_not_of_the_knobs_type_is_refused(knob_type: str, text: str) -> None:
    with pytest.raises(InputError, match=knob_type):
        typed_value(Knob(path="x", knob_type=knob_type), text)


LEVELS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(ABSENT)
NUMBERS = st.floats(-1e6, 1e6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-(10**6), 10**6),
    "float": NUMBERS,
    "str": st.sampled_from(["fast", "slow", "naïve", "a b"]),
    "json": st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS | st.none(), max_size=2),
}
"""Knob type -> values of it. A new knob type is added here, and the invariants below cover it."""


@st.composite
def knobs(draw: st.DrawFn) -> Knob:
    knob_type = draw(st.sampled_from(sorted(KNOB_TYPES)))
    fields: dict[str, Any] = {
        "path": draw(st.sampled_from(["x", "risk.x", "a.b.c"])),
        "knob_type": knob_type,
        "risk_direction": draw(st.sampled_from(list(RiskDirection))),
        "changeable": draw(st.booleans()),
        "optional": draw(st.booleans()),
    }
    if draw(st.booleans()):
        fields["choices"] = tuple(draw(st.lists(VALUES[knob_type], min_size=1, max_size=3)))
    if knob_type in NUMERIC_TYPES and draw(st.booleans()):
        fields["lower"], fields["upper"] = sorted((draw(NUMBERS), draw(NUMBERS)))
        fields["max_step"] = draw(st.none() | st.floats(1e-6, 1e6))
    return Knob(**fields)


def test_there_are_values_to_try_for_every_knob_type() -> None:
    assert set(VALUES) == set(KNOB_TYPES)


@given(knobs())
def test_whatever_is_declared_can_be_declared_again_from_its_json(knob: Knob) -> None:
    written = json.loads(canonical_json(knob.to_json()))
    assert knob_of(written) == knob
    assert canonical_json(knob_of(written).to_json()) == canonical_json(written)


@given(knobs(), st.data())
def test_what_a_knob_does_not_allow_is_refused_with_its_name_and_the_rest_is_of_its_type(
    knob: Knob, data: st.DataObject
) -> None:
    before, after = (data.draw(LEVELS | VALUES[knob.knob_type]) for _ in range(2))
    assert knob.risk_change(before, after) in {"raises", "reduces", "neutral", "unknown"}
    objection = knob.objection_to_change(before, after)
    if objection is not None:
        assert knob.path in objection
        return
    assert knob.changeable
    if after is ABSENT:
        assert knob.optional
        return
    assert KNOB_TYPES[knob.knob_type](after)
    if isinstance(after, int | float) and knob.knob_type in NUMERIC_TYPES:
        assert knob.lower is None or after >= knob.lower
        assert knob.upper is None or after <= knob.upper


@pytest.mark.parametrize("before", [float("nan"), float("inf"), "\x00", "\ud800"])
def test_a_value_before_that_no_configuration_can_hold_is_no_reason_to_fail(before: float | str) -> None:
    free = Knob(path="name", knob_type="str", choices=("a", "b"))
    assert free.objection_to_change(before, "a") is None
