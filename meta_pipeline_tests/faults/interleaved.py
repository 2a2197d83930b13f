"""Running the random sequences: with the service as it is, and with rules broken on purpose."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.governance_machine import Governance
from meta_pipeline_tests.faults.mutations import MUTATIONS, broken


@dataclass(frozen=True, kw_only=True)
class Played:
    """How much was played."""

    sequences: int
    acts: int


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """One rule that was broken on purpose, and whether the sequences noticed."""

    name: str
    noticed: bool
    told: str


def play(place: Database, *, examples: int, steps: int = 30, **options: Any) -> Played:
    """Play random sequences; the first invariant that breaks is raised, with the shortest sequence that breaks it."""
    counts = {"sequences": 0, "acts": 0}

    def counted() -> Governance:
        counts["sequences"] += 1
        machine = Governance(place)
        machine.counts = counts
        return machine

    run_state_machine_as_test(
        cast("type[Governance]", partial(counted)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            **options,
        ),
    )
    # The invariants are checked once before the first act.
    return Played(sequences=counts["sequences"], acts=counts["acts"] - counts["sequences"])


def play_broken(database: Database, rule: str) -> BrokenRule:
    """Break one rule, and play always the same sequences until one notices."""
    once: dict[str, Any] = {"derandomize": True, "database": None, "phases": [Phase.generate]}
    try:
        with broken(rule):
            play(database, examples=120, report_multiple_bugs=False, **once)
    except AssertionError as error:
        return BrokenRule(name=rule, noticed=True, told=f"noticed: {_first_line(error)}")
    return BrokenRule(name=rule, noticed=False, told="NOT NOTICED")


def break_rules(database: Database) -> Iterator[BrokenRule]:
    """Break every rule that can be broken, one after the other."""
    for rule in MUTATIONS:
        yield play_broken(database, rule)


def _first_line(error: AssertionError) -> str:
    said = str(error).splitlines()
    return said[0] if said and said[0] else "an invariant of the tables does not hold"
