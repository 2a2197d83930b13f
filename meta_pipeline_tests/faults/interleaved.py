"""Running the random sequences: with the service as it is, and with rules broken on purpose."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.governance_machine import Governance
from meta_pipeline_tests.faults.mutations import MUTATIONS, broken

MOST: Final = 300
"""How many sequences have to be enough to notice a rule that is broken."""


QUICK: Final = (
    *("authors may approve", "who left the list still counts", "another's key signs", "approvals never lapse"),
    *("another key is written", "a revert undoes nothing", "an apply is not in the audit log", "freezes stop nothing"),
)
"""Rules whose break is noticed within seconds: a quick run breaks these, a deep run every one, the suite four."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """How much was played: sequences, the acts in them, and how many of those were refused, applies, and reverts."""

    sequences: int
    acts: int
    refused: int
    applied: int
    reverted: int


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """One rule that was broken on purpose, and whether the sequences noticed."""

    name: str
    noticed: bool
    told: str
    sequences: int


def play(place: Database, *, examples: int, steps: int = 30, **options: Any) -> Played:
    """Play random sequences; what is not as the rules have it is raised, with the shortest sequence that shows it."""
    return _play(place, _nothing(), examples=examples, steps=steps, **options)


def _play(place: Database, counts: dict[str, int], *, examples: int, steps: int, **options: Any) -> Played:
    def counted() -> Governance:
        counts["sequences"] += 1
        return Governance(place, counts)

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
    return Played(**counts)


def play_broken(database: Database, rule: str) -> BrokenRule:
    """Break one rule, and play always the same sequences until one notices."""
    once: dict[str, Any] = {"derandomize": True, "database": None, "phases": [Phase.generate]}
    counts = _nothing()
    try:
        with broken(rule):
            _play(database, counts, examples=MOST, steps=30, report_multiple_bugs=False, **once)
    except AssertionError as error:
        return BrokenRule(name=rule, noticed=True, told=_first_line(error), sequences=counts["sequences"])
    except SQLAlchemyError as error:
        told = f"the database refused it: {str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]}"
        return BrokenRule(name=rule, noticed=True, told=told, sequences=counts["sequences"])
    return BrokenRule(name=rule, noticed=False, told="NOT NOTICED", sequences=counts["sequences"])


def break_rules(database: Database, rules: Iterable[str] = MUTATIONS) -> Iterator[BrokenRule]:
    """Break rules, one after the other."""
    for rule in rules:
        yield play_broken(database, rule)


def _nothing() -> dict[str, int]:
    return dict.fromkeys((field.name for field in fields(Played)), 0)


def _first_line(error: AssertionError) -> str:
    said = str(error).splitlines()
    return said[0] if said and said[0] else "an invariant of the tables does not hold"
