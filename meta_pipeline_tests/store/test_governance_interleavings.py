"""Whatever people and machines do, in whatever order: the invariants of governance hold after every step."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from meta_pipeline.canonical import ABSENT, Level, digest
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.decision import Decision, Verdict
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import approvers, changes, governance, proposals, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import KNOBS, NOW, draft, strategy
from meta_pipeline_tests.store.governed import SETTINGS, TABLES, add_approvers, declare
from meta_pipeline_tests.store.invariants import check_invariants

pytestmark = pytest.mark.database

PEOPLE = ("ann", "Bob", "Cleo", "zoe")
ACTORS = st.sampled_from([*PEOPLE, "BOB", MACHINE_ACTOR])
STRATEGIES = st.sampled_from(["ONE", "TWO"])
CHANGES: st.SearchStrategy[tuple[str, Level]] = st.sampled_from(
    [
        *(("risk.max_vol", 0.25), ("risk.max_vol", 0.7), ("risk.max_vol", 0.5), ("risk.max_vol", 5.0)),
        *(("risk.stop", 0.1), ("risk.stop", ABSENT), ("risk", {"max_vol": 0.3}), ("risk", {"max_vol": 0.5, "cap": 3})),
        *(("alpha", 0.5), ("alpha", ABSENT), ("lookback", 21), ("portfolio_id", "P9")),
    ]
)
PICK = st.integers(0, 1_000)


def reset(database: Database) -> None:
    """Empty the governed tables, which takes the rights of the owner and triggers that do not fire."""
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {', '.join(TABLES)} CASCADE"))


class Governance(RuleBasedStateMachine):
    """People propose, edit, decide, apply, revert and withdraw; machines propose and apply; time passes."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.now: datetime = NOW
        self.campaign = 0
        reset(database)
        for name in ("ONE", "TWO"):
            declare(database, name)
        add_approvers(database, "ann", "Bob", "Cleo")

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Do something that may be refused: by one of our own errors, and by no other."""
        try:
            return act()
        except MetaPipelineError:
            return None

    def proposal(self, pick: int, *likely: Status) -> ProposalRecord | None:
        """Pick a proposal: three times in four one of a likely status, if there is one."""
        with self.database.connect() as connection:
            records = proposals.list_proposals(connection)
        probable = [record for record in records if record.status in likely]
        chosen = probable if probable and pick % 4 else records
        return chosen[pick % len(chosen)] if chosen else None

    def change(self, pick: int) -> changes.ChangeRecord | None:
        with self.database.connect() as connection:
            records = changes.list_changes(connection)
        return records[pick % len(records)] if records else None

    @rule(strategy_id=STRATEGIES, change=CHANGES, author=ACTORS)
    def propose(self, strategy_id: str, change: tuple[str, Level], author: str) -> None:
        self.attempt(
            lambda: governance.create(
                self.database,
                strategy_id=strategy_id,
                knob=change[0],
                proposed=change[1],
                reason="because",
                author=author,
                now=self.now,
                settings=SETTINGS,
            )
        )

    @rule(strategy_id=STRATEGIES, change=CHANGES)
    def carry_through(self, strategy_id: str, change: tuple[str, Level]) -> None:
        """Take a change all the way, as people do on most days."""

        def all_the_way() -> None:
            made = governance.create(
                self.database,
                strategy_id=strategy_id,
                knob=change[0],
                proposed=change[1],
                reason=f"wanted at {self.now}",
                author="ann",
                now=self.now,
                settings=SETTINGS,
            )
            decision = Decision(
                proposal_id=made.record.proposal_id, digest=made.record.body_digest, verdict="approve", reason=""
            )
            governance.decide(
                self.database,
                [decision],
                approver="Bob",
                channel="python",
                channel_ref="",
                now=self.now,
                settings=SETTINGS,
            )
            governance.apply(self.database, made.record.proposal_id, actor="ann", now=self.now, settings=SETTINGS)

        self.attempt(all_the_way)

    @rule(strategy_id=STRATEGIES, wanted=st.lists(CHANGES, max_size=3), new_evidence=st.booleans())
    def generate(self, strategy_id: str, wanted: list[tuple[str, Level]], new_evidence: bool) -> None:
        self.campaign += new_evidence
        with self.database.begin() as connection:
            live = strategies.live_config(connection, strategy_id)
            drafts = [
                draft(
                    knob,
                    level_at(live.config, knob),
                    to,
                    strategy_id=strategy_id,
                    base_version=live.version,
                    evidence_digest=digest({"campaign": self.campaign}),
                )
                for knob, to in wanted
            ]
            saved = proposals.save(connection, drafts, now=self.now, lifetime=timedelta(days=14))
            again = proposals.save(connection, drafts, now=self.now, lifetime=timedelta(days=14))
        assert again.new == ()
        assert len(saved.refused) == len(again.refused)

    @rule(pick=PICK, verdict=st.sampled_from(["approve", "approve", "approve", "reject"]), who=ACTORS)
    def decide(self, pick: int, verdict: Verdict, who: str) -> None:
        record = self.proposal(pick, Status.PENDING)
        if record is None:
            return
        decision = Decision(
            proposal_id=record.proposal_id, digest=record.body_digest, verdict=verdict, reason="because"
        )
        governance.decide(
            self.database,
            [decision],
            approver=who,
            channel="python",
            channel_ref="",
            now=self.now,
            settings=SETTINGS,
        )

    @rule(pick=PICK, actor=ACTORS, dry_run=st.booleans())
    def apply(self, pick: int, actor: str, dry_run: bool) -> None:
        record = self.proposal(pick, Status.APPROVED)
        if record is not None:
            self.attempt(
                lambda: governance.apply(
                    self.database, record.proposal_id, actor=actor, now=self.now, dry_run=dry_run, settings=SETTINGS
                )
            )

    @rule(actor=ACTORS)
    def apply_all(self, actor: str) -> None:
        rehearsed = governance.apply_approved(self.database, actor=actor, now=self.now, dry_run=True, settings=SETTINGS)
        results = governance.apply_approved(self.database, actor=actor, now=self.now, settings=SETTINGS)
        assert [(r.proposal_id, r.error is None) for r in rehearsed] == [
            (r.proposal_id, r.error is None) for r in results
        ]

    @rule(pick=PICK, actor=ACTORS, dry_run=st.booleans())
    def revert(self, pick: int, actor: str, dry_run: bool) -> None:
        change = self.change(pick)
        if change is not None:
            self.attempt(
                lambda: governance.revert(
                    self.database,
                    change.change_id,
                    actor=actor,
                    reason="because",
                    now=self.now,
                    dry_run=dry_run,
                    settings=SETTINGS,
                )
            )

    @rule(pick=PICK, editor=ACTORS)
    def edit(self, pick: int, editor: str) -> None:
        record = self.proposal(pick)
        if record is not None:
            words = f"{record.draft.rationale[:40]}, says {editor}"
            self.attempt(
                lambda: governance.edit(self.database, record.proposal_id, rationale=words, editor=editor, now=self.now)
            )

    @rule(pick=PICK, actor=ACTORS)
    def withdraw(self, pick: int, actor: str) -> None:
        record = self.proposal(pick)
        if record is not None:
            self.attempt(
                lambda: governance.withdraw(
                    self.database, record.proposal_id, actor=actor, reason="because", now=self.now
                )
            )

    @rule(hours=st.sampled_from([1, 71, 24 * 15, 24 * 31]), tidy=st.booleans())
    def time_passes(self, hours: int, tidy: bool) -> None:
        self.now += timedelta(hours=hours)
        if tidy:
            with self.database.begin() as connection:
                governance.expire(connection, self.now)

    @rule(name=st.sampled_from(PEOPLE), back=st.booleans())
    def approvers_come_and_go(self, name: str, back: bool) -> None:
        def move() -> None:
            with self.database.begin() as connection:
                (approvers.add if back else approvers.remove)(connection, name, actor="ann", now=self.now)

        self.attempt(move)

    @rule(strategy_id=STRATEGIES, without=st.sampled_from([knob.path for knob in KNOBS]))
    @precondition(lambda self: self.campaign % 2 == 1)
    def redeclare(self, strategy_id: str, without: str) -> None:
        with self.database.begin() as connection:
            fewer = tuple(knob for knob in KNOBS if knob.path != without)
            strategies.declare(connection, strategy(strategy_id, knobs=fewer), actor="zoe", now=self.now)

    @invariant()
    def all_agrees(self) -> None:
        check_invariants(self.database)


def test_no_interleaving_breaks_an_invariant(database: Database) -> None:
    run_state_machine_as_test(
        cast("type[Governance]", partial(Governance, database)),
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
