"""Every act of the governance service that can be interrupted: how it is prepared, done, done again, and proved.

Belongs here: the acts. What is done to the process that carries one out belongs to `faults`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from meta_pipeline.proposals.decision import Decision, Verdict
from meta_pipeline.store import auto_revert, changes, governance
from meta_pipeline.store.change_outcomes import judge_change
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store import known_truth
from meta_pipeline_tests.store.governed import SETTINGS, applied, approved, declare, propose

Subject = tuple[str, ...]
"""What an act is about: the proposals whose statuses tell how far it came, then what else it needs, after "with"."""

_WITH: Final = "with"
_LATER: Final = NOW + timedelta(days=301)


@dataclass(frozen=True, kw_only=True)
class Act:
    """One act.

    Parameters
    ----------
    prepare
        Makes what the act is about, under a strategy of the given name.
    perform
        Does it, in whatever process, and returns one word per part.
    before, after
        Statuses of its proposals.
    first, again
        What it answers when it is done, and when it was done already.
    between
        Statuses, and the answer of a retry, once only the first of its transactions is committed.
    late
        Steps that are first passed in the second of its transactions.
    levels
        The true value before the change, and after it, of the first proposal.
    """

    name: str
    prepare: Callable[[Database, str], Subject]
    perform: Callable[[Database, Subject], tuple[str, ...]]
    before: Subject
    after: Subject
    first: Subject
    again: Subject
    between: tuple[Subject, Subject] | None = None
    late: frozenset[str] = frozenset()
    levels: tuple[Any, Any] | None = None


def statuses(database: Database, subject: Subject) -> Subject:
    """Return the statuses of an act's proposals."""
    ids = subject[: subject.index(_WITH)]
    with database.connect() as connection:
        rows = connection.execute(
            text("SELECT proposal_id, status FROM meta_config_proposals WHERE proposal_id = ANY(:ids)"),
            {"ids": list(ids)},
        )
        found = {row.proposal_id: str(row.status) for row in rows}
    return tuple(found[one] for one in ids)


def check_levels(database: Database, act: Act, subject: Subject) -> None:
    """Assert that there is exactly one change of the act's first proposal, with the true previous value."""
    if act.levels is None:
        return
    with database.connect() as connection:
        made = [one for one in changes.list_changes(connection) if one.proposal_id == subject[0]]
    assert [(one.previous_value, one.new_value) for one in made] == [act.levels]


def _prepare_decision(database: Database, name: str) -> Subject:
    declare(database, name)
    record = propose(database, strategy_id=name)
    return record.proposal_id, _WITH, record.body_digest


def _approve(database: Database, subject: Subject) -> tuple[str, ...]:
    return _decide(database, subject, "approve")


def _reject(database: Database, subject: Subject) -> tuple[str, ...]:
    return _decide(database, subject, "reject")


def _decide(database: Database, subject: Subject, verdict: Verdict) -> tuple[str, ...]:
    decision = Decision(proposal_id=subject[0], digest=subject[2], verdict=verdict, reason="a fault")
    (result,) = governance.decide(
        database, [decision], approver="Bob", channel="python", channel_ref="", now=NOW, settings=SETTINGS
    )
    return (result.outcome if result.error is None else f"refused: {result.message}",)


def _prepare_apply(database: Database, name: str) -> Subject:
    declare(database, name)
    record = approved(database, strategy_id=name)
    rival = propose(database, "risk.max_vol", 0.2, strategy_id=name)
    return record.proposal_id, rival.proposal_id, _WITH


def _apply(database: Database, subject: Subject) -> tuple[str, ...]:
    return (governance.apply(database, subject[0], actor="dora", now=NOW, settings=SETTINGS).outcome,)


def _prepare_batch(database: Database, name: str) -> Subject:
    """Two changes of one strategy that go together, and one of another strategy."""
    declare(database, name)
    declare(database, f"{name} B")
    together = [
        approved(database, knob, to, strategy_id=name, reason="one campaign").proposal_id
        for knob, to in (("lookback", 21), ("alpha", 0.5))
    ]
    return *together, approved(database, strategy_id=f"{name} B").proposal_id, _WITH


def _apply_batch(database: Database, subject: Subject) -> tuple[str, ...]:
    results = governance.apply_approved(database, actor="dora", now=NOW, settings=SETTINGS, proposal_ids=subject[:3])
    return tuple(one.outcome if one.error is None else f"refused: {one.message}" for one in results)


def _prepare_revert(database: Database, name: str) -> Subject:
    declare(database, name)
    change_id = applied(database, strategy_id=name)
    waiting = propose(database, "lookback", 21, strategy_id=name)
    return _proposal_of(database, change_id), waiting.proposal_id, _WITH, change_id


def _revert(database: Database, subject: Subject) -> tuple[str, ...]:
    done = governance.revert(database, subject[3], actor="emil", reason="a fault", now=NOW, settings=SETTINGS)
    return (done.outcome,)


def _prepare_outcome(database: Database, name: str, proposed: float = 0.25) -> Subject:
    declare(database, name)
    known_truth.hand_in_runs(database, name)
    change_id = applied(database, proposed=proposed, strategy_id=name)
    return _proposal_of(database, change_id), _WITH, change_id


def _prepare_batch_outcome(database: Database, name: str, proposed: float = 0.25) -> Subject:
    """Two changes of one strategy that were applied together, and are judged as one."""
    declare(database, name)
    known_truth.hand_in_runs(database, name)
    ids = [
        approved(database, knob, to, strategy_id=name, reason="one campaign").proposal_id
        for knob, to in (("risk.max_vol", proposed), ("lookback", 42))
    ]
    results = governance.apply_approved(database, actor="dora", now=NOW, settings=SETTINGS, proposal_ids=ids)
    assert [one.outcome for one in results] == ["applied", "applied"]
    return *ids, _WITH, str(results[0].change_id)


def _judge(database: Database, subject: Subject) -> tuple[str, ...]:
    judged = judge_change(
        database, subject[-1], until=known_truth.after(300), now=_LATER, settings=known_truth.settings()
    )
    return (judged.outcome,)


def _prepare_auto_revert(database: Database, name: str) -> Subject:
    subject = _prepare_outcome(database, name, proposed=0.95)
    assert _judge(database, subject) == ("judged",)
    return subject


def _prepare_batch_auto_revert(database: Database, name: str) -> Subject:
    subject = _prepare_batch_outcome(database, name, proposed=0.95)
    assert _judge(database, subject) == ("judged",)
    return subject


def _auto_revert(database: Database, subject: Subject) -> tuple[str, ...]:
    done = auto_revert.act_on(database, subject[-1], now=_LATER, settings=known_truth.settings(auto_revert=True))
    return ("nothing to do" if done is None else "reverted" if done.reverted else f"refused: {done.text}",)


def _proposal_of(database: Database, change_id: str) -> str:
    with database.connect() as connection:
        return changes.get(connection, change_id).proposal_id


_ACTS: Final = (
    Act(
        name="approve",
        prepare=_prepare_decision,
        perform=_approve,
        before=("PENDING",),
        after=("APPROVED",),
        first=("approved",),
        again=("already",),
    ),
    Act(
        name="reject",
        prepare=_prepare_decision,
        perform=_reject,
        before=("PENDING",),
        after=("REJECTED",),
        first=("rejected",),
        again=("already",),
    ),
    Act(
        name="apply",
        prepare=_prepare_apply,
        perform=_apply,
        before=("APPROVED", "PENDING"),
        after=("APPLIED", "SUPERSEDED"),
        first=("applied",),
        again=("already_applied",),
        levels=(0.5, 0.25),
    ),
    Act(
        name="batch",
        prepare=_prepare_batch,
        perform=_apply_batch,
        before=("APPROVED",) * 3,
        after=("APPLIED",) * 3,
        first=("applied",) * 3,
        again=("already_applied",) * 3,
        between=(("APPLIED", "APPLIED", "APPROVED"), ("already_applied", "already_applied", "applied")),
        late=frozenset({"apply.locked", "apply.checked"}),
        levels=(63, 21),
    ),
    Act(
        name="revert",
        prepare=_prepare_revert,
        perform=_revert,
        before=("APPLIED", "PENDING"),
        after=("REVERTED", "STALE"),
        first=("reverted",),
        again=("already_reverted",),
        levels=(0.5, 0.25),
    ),
    Act(
        name="outcome",
        prepare=_prepare_outcome,
        perform=_judge,
        before=("APPLIED",),
        after=("KEPT",),
        first=("judged",),
        again=("known",),
        levels=(0.5, 0.25),
    ),
    Act(
        name="auto-revert",
        prepare=_prepare_auto_revert,
        perform=_auto_revert,
        before=("APPLIED",),
        after=("REVERTED",),
        first=("reverted",),
        again=("nothing to do",),
        levels=(0.5, 0.95),
    ),
    Act(
        name="batch's outcome",
        prepare=_prepare_batch_outcome,
        perform=_judge,
        before=("APPLIED", "APPLIED"),
        after=("KEPT", "KEPT"),
        first=("judged",),
        again=("known",),
        levels=(0.5, 0.25),
    ),
    Act(
        name="batch's auto-revert",
        prepare=_prepare_batch_auto_revert,
        perform=_auto_revert,
        before=("APPLIED", "APPLIED"),
        after=("REVERTED", "REVERTED"),
        first=("reverted",),
        again=("nothing to do",),
        levels=(0.5, 0.95),
    ),
)
ACTS: Final[Mapping[str, Act]] = {act.name: act for act in _ACTS}
