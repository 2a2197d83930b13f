"""docs/reliability.md is of this code: its prose, its steps, and the rules that are broken on purpose."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from meta_pipeline import failpoints
from meta_pipeline_tests.faults import document
from meta_pipeline_tests.faults.interleaved import BrokenRule, Played
from meta_pipeline_tests.faults.mutations import MUTATIONS
from meta_pipeline_tests.faults.whole_run import DOCUMENT

FOUND = document.Found(
    cells=(document.Cell(act="apply", step="apply.locked", fault="process killed", outcome="undone", failed=False),),
    played=Played(sequences=2, acts=60, refused=9, applied=5, reverted=3),
    rules=(BrokenRule(name="authors may approve", noticed=True, told="seen", sequences=4),),
    began=datetime(2026, 11, 21, tzinfo=UTC),
    minutes=document.MINUTES,
    seconds=90.0,
    processors=2,
    load=1.0,
)


@pytest.mark.parametrize("part", document.prose())
def test_the_page_says_what_the_code_would_say_today(part: str) -> None:
    assert part in DOCUMENT.read_text(encoding="utf-8"), "run: make test-faults"


def test_the_page_has_every_step_and_every_rule_that_is_broken() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert [step for step in failpoints.STEPS if f"| `{step}` |" not in page] == []
    assert [rule for rule in MUTATIONS if f"| {rule} |" not in page] == []
    assert "FAILED" not in page
    assert "NOT NOTICED" not in page


def test_what_failed_and_what_was_not_noticed_stands_on_the_page() -> None:
    page = document.text(FOUND)
    assert "1 faults at 1 steps of 1 acts: 0 failed." in " ".join(page.split())
    assert "| apply | `apply.locked` | A |" in page
    unseen = replace(FOUND.rules[0], noticed=False)
    failed = replace(FOUND.cells[0], outcome="FAILED: it was half done", failed=True)
    worse = document.text(replace(FOUND, rules=(unseen,), cells=(failed,), minutes=30.0))
    said = " ".join(worse.split())
    assert "`make test-faults MINUTES=30` wrote this page on 2026-11-21" in said
    assert ": 1 failed." in said
    assert "0 of 1 rules broken on purpose were noticed." in said
    assert "| A | FAILED: it was half done | 1 |" in worse
    assert "| authors may approve | NOT NOTICED | seen |" in worse
