import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.canonical import ABSENT, level_key
from meta_pipeline.evidence.factors import Config, Role, aliases, assign_roles, combine, read_factors

BLOCKS = np.zeros(4, dtype=np.int64)


def test_true_and_one_and_one_point_zero_are_three_levels() -> None:
    (factor,) = read_factors([{"k": True}, {"k": 1}, {"k": 1.0}, {"k": 1}], ["k"])  # A06
    assert len(factor.levels) == 3
    assert factor.codes[1] == factor.codes[3]
    assert len(set(factor.codes[:3].tolist())) == 3


def test_absent_null_and_zero_are_three_levels() -> None:
    (factor,) = read_factors([{}, {"k": None}, {"k": 0}, {"other": 1}], ["k"])[:1]  # A07
    assert len(factor.levels) == 3
    assert factor.levels[int(factor.codes[0])] is ABSENT
    assert factor.codes[0] == factor.codes[3]


def test_nested_values_and_lists_of_lists_are_levels_like_any_other() -> None:
    configs: list[Config] = [
        {"caps": {"tech": 0.2, "energy": 0.1}, "legs": [[1, 2], {"a": 3}]},
        {"caps": {"energy": 0.1, "tech": 0.2}, "legs": [[1, 2], {"a": 4}]},
    ]
    caps, legs, *rest = read_factors(configs, ["caps", "legs"])  # A01, A02
    assert len(caps.levels) == 1
    assert len(legs.levels) == 2
    assert rest == []


def test_a_knob_inside_an_object_is_read_by_its_path() -> None:
    factors = read_factors([{"risk": {"cap": 1, "note": "x"}}, {"risk": {"cap": 2}}], ["risk.cap"])
    assert [(f.path, f.role) for f in factors] == [("risk.cap", Role.KNOB), ("risk.note", Role.NUISANCE)]
    assert [f.levels for f in factors] == [(1, 2), ("x", ABSENT)]


def test_minus_zero_is_zero() -> None:
    (factor,) = read_factors([{"k": 0.0}, {"k": -0.0}], ["k"])
    assert len(factor.levels) == 1


def test_identifiers_dates_and_real_nuisances_are_told_apart() -> None:
    configs: list[Config] = [
        {"h": h, "sleeve": f"S_H{h}", "start": 2018 + block, "label": f"run{i}", "cost": cost}
        for i, (block, h, cost) in enumerate((b, h, c) for b in (0, 1) for h in (5, 21) for c in ("low", "high"))
    ]
    blocks = np.array([0] * 4 + [1] * 4)
    roles = {f.path: f.role for f in assign_roles(read_factors(configs, ["h"]), blocks)}
    assert roles == {
        "h": Role.KNOB,
        "sleeve": Role.DETERMINED,
        "start": Role.DETERMINED,
        "label": Role.IDENTIFIER,
        "cost": Role.NUISANCE,
    }


def test_keys_that_move_together_are_reported_once_as_a_set() -> None:
    configs = [{"h": h, "sleeve": f"S{h}", "v": v} for h in (5, 21) for v in (0, 1)]
    factors = assign_roles(read_factors(configs, ["h", "v"]), BLOCKS)
    assert aliases(factors, BLOCKS) == (("h", "sleeve"),)


def test_keys_that_move_together_within_every_block_are_aliased_even_if_they_turn_between_blocks() -> None:
    configs = [{"a": 0, "b": 1}, {"a": 1, "b": 0}, {"a": 0, "b": 0}, {"a": 1, "b": 1}]
    factors = read_factors(configs, ["a", "b"])
    assert aliases(factors, np.array([0, 0, 1, 1])) == (("a", "b"),)
    assert aliases(factors, BLOCKS) == ()


def test_a_key_that_varies_only_between_blocks_is_no_alias() -> None:
    factors = read_factors([{"a": 0, "b": 0}, {"a": 1, "b": 1}], ["a", "b"])
    assert aliases(factors, np.array([0, 1])) == ()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xyz", max_size=1), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(json_values, min_size=1, max_size=12))
def test_two_runs_share_a_code_exactly_when_their_values_are_the_same(values: list[object]) -> None:
    (factor,) = read_factors([{"k": value} for value in values], ["k"])  # type: ignore[dict-item]
    keys = [level_key(value) for value in values]  # type: ignore[arg-type]
    for i, key in enumerate(keys):
        assert level_key(factor.levels[int(factor.codes[i])]) == key
    assert len(factor.levels) == len(set(keys))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_combined_codes_are_equal_exactly_where_all_columns_are(rows: list[tuple[int, int]]) -> None:
    table = np.array(rows, dtype=np.int64)
    codes = combine([table[:, 0], table[:, 1]])
    for i in range(len(rows)):
        assert ((codes == codes[i]) == (table == table[i]).all(axis=1)).all()
