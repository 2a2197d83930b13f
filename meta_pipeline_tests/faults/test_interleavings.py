"""Whatever people and machines do, in whatever order, it ends as the rules have it; and a broken rule is noticed."""

import pytest

from meta_pipeline_tests.faults.injection import Site
from meta_pipeline_tests.faults.interleaved import play, play_broken
from meta_pipeline_tests.faults.mutations import MUTATIONS

pytestmark = pytest.mark.database

NOTICED_AT_ONCE = ("authors may approve", "approvals never lapse", "another key is written", "a revert undoes nothing")
"""Those that take few sequences; `make test-faults` breaks all of them."""


def test_every_sequence_ends_as_the_rules_foresee(site: Site) -> None:
    played = play(site.database, examples=6)
    assert played.sequences >= 6
    assert played.acts > played.refused > 0
    assert played.applied > 0


@pytest.mark.parametrize("rule", NOTICED_AT_ONCE)
def test_a_rule_that_is_broken_is_noticed(site: Site, rule: str) -> None:
    assert rule in MUTATIONS
    assert play_broken(site.database, rule).noticed
