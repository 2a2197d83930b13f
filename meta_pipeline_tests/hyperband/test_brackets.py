"""Brackets: the published tables, and what floating point gets wrong."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.brackets import ALLOCATIONS, Allocation, Hyperband

# Li et al., JMLR 18 (2018), for R = 81 and eta = 3: bracket -> configurations @ units.
GOLDEN: dict[Allocation, str] = {
    "algorithm1": "81@1 27@3 9@9 3@27 1@81; 34@3 11@9 3@27 1@81; 15@9 5@27 1@81; 8@27 2@81; 5@81",
    "table1": "81@1 27@3 9@9 3@27 1@81; 27@3 9@9 3@27 1@81; 9@9 3@27 1@81; 6@27 2@81; 5@81",
}
# configurations, evaluations, reach R, units retrained, units resumed
TOTALS = {"algorithm1": (143, 206, 10, 1902, 1581), "table1": (128, 187, 10, 1701, 1404)}
RESUMED = {"algorithm1": [297, 276, 279, 324, 405], "table1": [297, 243, 189, 270, 405]}
RETRAINED = {"algorithm1": [405, 363, 351, 378, 405], "table1": [405, 324, 243, 324, 405]}


def written(hyperband: Hyperband) -> dict[int, str]:
    return {
        bracket.number: " ".join(f"{rung.configurations}@{rung.resource}" for rung in bracket.rungs)
        for bracket in hyperband.brackets
    }


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_both_published_tables_are_reproduced(allocation: Allocation) -> None:
    hyperband = Hyperband(maximum_resource=81, eta=3, allocation=allocation)
    assert "; ".join(written(hyperband).values()) == GOLDEN[allocation]
    assert list(written(hyperband)) == [4, 3, 2, 1, 0]
    assert TOTALS[allocation] == (
        hyperband.configurations,
        hyperband.evaluations,
        hyperband.reaching_the_top,
        hyperband.units_retrained,
        hyperband.units_resumed,
    )
    assert [bracket.units_resumed for bracket in hyperband.brackets] == RESUMED[allocation]
    assert [bracket.units_retrained for bracket in hyperband.brackets] == RETRAINED[allocation]


@pytest.mark.parametrize(("resource", "eta", "brackets"), [(243, 3, 6), (1000, 10, 4)])
def test_a_power_of_eta_keeps_the_bracket_that_floating_point_loses(resource: int, eta: int, brackets: int) -> None:
    assert len(Hyperband(maximum_resource=resource, eta=eta).brackets) == brackets
    assert int(math.log(resource) / math.log(eta)) + 1 == brackets - 1  # what other libraries build


def test_a_resource_that_is_no_power_of_eta_rounds_its_lower_rungs_down_and_ends_at_r() -> None:
    assert written(Hyperband(maximum_resource=100, eta=3))[4] == "81@1 27@3 9@11 3@33 1@100"
    assert written(Hyperband(maximum_resource=1, eta=2)) == {0: "1@1"}


@given(
    resource=st.integers(1, 5000),
    eta=st.integers(2, 12),
    allocation=st.sampled_from(ALLOCATIONS),
)
def test_every_bracket_halves_on_time_and_ends_at_the_whole_resource(
    resource: int, eta: int, allocation: Allocation
) -> None:
    hyperband = Hyperband(maximum_resource=resource, eta=eta, allocation=allocation)
    assert eta**hyperband.most_halvings <= resource < eta ** (hyperband.most_halvings + 1)
    for bracket in hyperband.brackets:
        assert len(bracket.rungs) == bracket.number + 1
        assert bracket.resources[-1] == resource
        assert bracket.rungs[0].resource >= 1
        assert bracket.rungs[-1].configurations >= 1
        assert all(a < b for a, b in zip(bracket.resources, bracket.resources[1:], strict=False))
        # floor(floor(n / eta^i) / eta) = floor(n / eta^(i + 1)): the paper's n_i and its top-k agree
        counts = [rung.configurations for rung in bracket.rungs]
        assert counts == [counts[0] // eta**i for i in range(len(counts))]
        assert bracket.units_resumed <= bracket.units_retrained
    assert (hyperband.units_resumed < hyperband.units_retrained) == (hyperband.most_halvings > 0)


@pytest.mark.parametrize(
    ("resource", "eta", "allocation", "said"),
    [
        (0, 3, "algorithm1", "R = 0"),
        (81.0, 3, "algorithm1", "R = 81.0"),
        (81, 1, "algorithm1", "eta = 1"),
        (81, 3, "table2", "algorithm1 and table1"),
    ],
)
def test_what_cannot_be_a_bracket_is_refused_with_the_way_out(
    resource: int, eta: int, allocation: Allocation, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Hyperband(maximum_resource=resource, eta=eta, allocation=allocation)
