"""A role that was given closes what it is for at once, also to those who were at it when it was open to all."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from meta_pipeline import errors
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store import (
    api_tokens,
    approver_keys,
    audit,
    automation_freezes,
    experiments,
    freezing,
    governance,
    limits,
    people,
    policies,
    strategies,
    tiers,
)
from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.acts import ACTS, Act, statuses
from meta_pipeline_tests.faults.injection import Site, answer_of, at_step, everything, wait_for, waits
from meta_pipeline_tests.proposals.governed import NOW, strategy
from meta_pipeline_tests.store.governed import LIFETIME, by_hand, prepare, propose
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.known_truth import hand_in_runs, settings
from meta_pipeline_tests.store.live_book import calm_policy, controller
from meta_pipeline_tests.store.processes import run_in_processes
from meta_pipeline_tests.store.workers import racing

pytestmark = pytest.mark.database

CLOSED = "Roles were given while this was under way; nothing was written"


@pytest.fixture
def ready(database: Database) -> Database:
    prepare(database)
    return database


def grant(database: Database, name: str, role: Role, *, actor: str = "ann") -> None:
    with database.begin() as connection:
        people.grant(connection, name, role, actor=actor, now=NOW)


def but_for_the_grant(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    return {table: kept for table, kept in rows.items() if table not in {"person_roles", "audit_log"}}


@pytest.mark.parametrize(
    ("name", "step"),
    [("apply", "apply.ended"), ("batch", "batch.judged"), ("revert", "revert.ended"), ("auto-revert", "revert.moved")],
)
def test_who_loses_the_right_between_the_checks_and_the_commit_changes_nothing(
    ready: Database, name: str, step: str
) -> None:
    act: Act = ACTS[name]
    subject = act.prepare(ready, "closed")
    before = everything(ready)
    process, pipe = at_step(Site(database=ready), act, subject, step)
    grant(ready, "olga", Role.OPERATOR)  # returns at once: nobody who hangs before the log's lock can hold it up
    pipe.send("go")
    answers = answer_of(process, pipe)
    assert all("may not" in answer and "it takes the role approver or operator" in answer for answer in answers)
    assert CLOSED in answers[0]
    assert statuses(ready, subject) == act.before
    assert but_for_the_grant(everything(ready)) == but_for_the_grant(before)
    check_invariants(ready)


def test_the_first_operator_is_named_after_an_apply_that_is_past_its_last_look(ready: Database) -> None:
    act = ACTS["apply"]
    subject = act.prepare(ready, "waited for")
    process, pipe = at_step(Site(database=ready), act, subject, "apply.audited")
    granting = threading.Thread(target=grant, args=(ready, "olga", Role.OPERATOR))
    granting.start()
    wait_for(lambda: waits(ready, "wait_event_type = 'Lock'"), "the grant to wait")
    pipe.send("go")
    assert answer_of(process, pipe) == ("applied",)
    granting.join(60)
    with ready.connect() as connection:
        newest = audit.entries(connection, limit=3)
    assert [entry.action for entry in newest] == ["person.grant", "proposal.supersede", "change.apply"]


def test_of_several_who_make_themselves_the_first_operator_one_does(ready: Database) -> None:
    names = ["ann", "zoe", "emil", "dora"]
    answers = run_in_processes(ready, racing([("grant", name, "operator", name) for name in names]), count=len(names))
    assert sorted(answer for answer in answers if isinstance(answer, list)) == [["operator"]]
    refused = [answer for answer in answers if isinstance(answer, str)]
    assert len(refused) == len(names) - 1
    assert all(answer.startswith("NotPermitted: ") for answer in refused)


def test_nobody_becomes_an_auditor_and_something_else_at_once(ready: Database) -> None:
    wanted = [("grant", "uma", role, "ann") for role in ("auditor", "researcher", "approver")]
    answers = run_in_processes(ready, racing(wanted), count=len(wanted))
    with ready.connect() as connection:
        held = people.get(connection, "uma").roles
    assert Role.AUDITOR not in held or held == {Role.AUDITOR}
    assert any(isinstance(answer, str) and "an auditor holds no other role" in answer for answer in answers)


Work = Callable[[Database], Any]


def within(work: Callable[..., Any], *arguments: Any, **options: Any) -> Work:
    """An act that takes a connection, in a transaction of its own."""

    def act(database: Database) -> None:
        with database.begin() as connection:
            work(connection, *arguments, now=NOW, **options)

    return act


def _start(database: Database) -> None:
    experiments.start(
        database,
        strategy_id="STRAT",
        knob="risk.max_vol",
        challenger=0.25,
        why="is less more?",
        actor="ann",
        now=NOW,
        settings=settings(),
    )


def test_every_act_that_could_add_risk_asks_again_once_it_holds_the_lock_of_the_audit_log(ready: Database) -> None:
    hand_in_runs(ready, "STRAT")
    waiting = propose(ready, "lookback", 21).proposal_id
    with ready.begin() as connection:
        made = freezing.freeze_now(connection, reason="incident", strategy_id=None, actor="ann", now=NOW)
    automation_freezes.freeze(ready, reason="x", actor="ann", now=NOW)
    number = made.freeze.freeze_id
    calm_policy(ready)
    policies.halt(ready, "live", controller(), actor="ann", reason="news")
    operating: dict[str, Work] = {
        "lift": within(freezing.lift, number, reason="over", actor="ann"),
        "unkill": within(freezing.record_kill_file, "unkill", path="KILL", reason="over", actor="ann"),
        "unfreeze": lambda database: automation_freezes.unfreeze(database, reason="x", actor="ann", now=NOW),
        "resume": lambda database: policies.resume(database, "live", controller(), actor="ann", reason="calm again"),
        "limit": within(limits.set_limits, limits.Limits(strategy_id="STRAT", owner="zoe"), actor="ann"),
        "tier": within(tiers.set_tier, "STRAT", "lookback", "four_eyes", actor="ann"),
        "declare": within(strategies.declare, strategy("NEW"), actor="ann"),
        "redeclare": within(strategies.declare, strategy("STRAT", family="other"), actor="ann"),
        "token": within(api_tokens.create_token, name="ann", role="operator", lifetime=LIFETIME, actor="ann"),
        "key": within(approver_keys.register, "Bob", bytes(range(32)), actor="ann"),
    }
    authoring: dict[str, Work] = {
        "propose": lambda database: propose(database, "alpha", 0.5),
        "edit": lambda database: governance.edit(database, waiting, rationale="as zoe puts it", editor="zoe", now=NOW),
        "experiment": _start,
    }
    withdrawal: dict[str, Work] = {
        "withdraw": lambda database: governance.withdraw(database, waiting, actor="ann", reason="x", now=NOW)
    }
    for role, holder, acts in (
        (Role.OPERATOR, "olga", operating),
        (Role.RESEARCHER, "Rita", authoring),
        (Role.AUDITOR, "ann", withdrawal),
    ):
        for name, work in acts.items():
            before = but_for_the_grant(everything(ready))
            with pytest.raises(errors.NotPermitted, match=CLOSED):
                _while_it_is_given(ready, holder, role, work)
            assert but_for_the_grant(everything(ready)) == before, name
            by_hand(ready, "DELETE FROM person_roles")
    for name, work in {**withdrawal, **operating}.items():
        work(ready)  # and where nothing is given meanwhile, it is done
        assert but_for_the_grant(everything(ready)) != before, name


def _while_it_is_given(database: Database, holder: str, role: Role, work: Work) -> None:
    """Do something while a role is being given: it passes its first checks, and waits for the audit log's lock."""
    raised: list[Exception] = []

    def act() -> None:
        try:
            work(database)
        except Exception as error:  # whatever it is, the caller judges it
            raised.append(error)

    acting = threading.Thread(target=act)
    with database.begin() as connection:
        people.grant(connection, holder, role, actor="emil", now=NOW)
        acting.start()
        wait_for(lambda: bool(raised) or waits(database, "wait_event_type = 'Lock'"), "the act to wait")
    acting.join(60)
    if raised:
        raise raised[0]
