"""Whatever people and machines do, in whatever order, no invariant breaks; and a rule that is broken is noticed."""

import pytest

from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.interleaved import play, play_broken

pytestmark = pytest.mark.database


def test_no_interleaving_breaks_an_invariant(database: Database) -> None:
    played = play(database, examples=8)
    assert played.sequences >= 8
    assert played.acts > played.sequences


@pytest.mark.parametrize("rule", ["authors may approve", "an apply is not in the audit log"])
def test_a_rule_that_is_broken_is_noticed(database: Database, rule: str) -> None:
    assert play_broken(database, rule).noticed
