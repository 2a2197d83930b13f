"""What real processes do in tests of races and crashes. Imports little, so that a process starts quickly."""

import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

from meta_pipeline.errors import Frozen
from meta_pipeline.proposals.decision import Decision, Verdict
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store import audit, governance, people
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store.governed import SETTINGS

REFUSED = 33


def append_entries(database: Database, writer: int, barrier: Barrier, *, each: int) -> None:
    barrier.wait()
    for number in range(each):
        event = audit.Event(action="test.happen", subject_type="test", subject_id=f"t-{number}", payload={})
        with database.begin() as connection:
            audit.append(connection, event, actor=f"writer {writer}", at=NOW)


def apply(database: Database, proposal_id: str) -> tuple[str, str | None]:
    result = governance.apply(database, proposal_id, actor="dora", now=NOW, settings=SETTINGS)
    return result.outcome, result.change_id


def apply_reporting(database: Database, proposal_id: str) -> None:
    """End with the exit code REFUSED if a freeze stops it."""
    try:
        apply(database, proposal_id)
    except Frozen:
        sys.exit(REFUSED)


def revert(database: Database, change_id: str) -> tuple[str, str | None]:
    result = governance.revert(database, change_id, actor="emil", reason="a race", now=NOW, settings=SETTINGS)
    return result.outcome, result.change_id


def decide(database: Database, proposal_id: str, digest: str, verdict: Verdict, by: str) -> tuple[str, str]:
    decision = Decision(proposal_id=proposal_id, digest=digest, verdict=verdict, reason="a race")
    (result,) = governance.decide(
        database, [decision], approver=by, channel="python", channel_ref="", now=NOW, settings=SETTINGS
    )
    return result.outcome, "" if result.error is None else type(result.error).__name__


def edit(database: Database, proposal_id: str, editor: str) -> tuple[str, str]:
    record = governance.edit(database, proposal_id, rationale=f"as {editor} puts it", editor=editor, now=NOW)
    return "edited", record.body_digest


def grant(database: Database, name: str, role: str, by: str) -> list[str]:
    with database.begin() as connection:
        return sorted(people.grant(connection, name, Role(role), actor=by, now=NOW).roles)


ACTS: dict[str, Callable[..., Any]] = {
    "apply": apply,
    "revert": revert,
    "decide": decide,
    "edit": edit,
    "grant": grant,
}


def act(database: Database, number: int, barrier: Barrier, *, acts: list[tuple[Any, ...]]) -> Any:
    """Do the act of one's number, all processes at the same moment."""
    name, *arguments = acts[number]
    with database.connect():  # the connection is there before the race begins
        pass
    barrier.wait()
    return ACTS[name](database, *arguments)


def racing(acts: list[tuple[Any, ...]]) -> Any:
    return partial(act, acts=acts)
