"""People and machines doing what they like, in any order, with the invariants of governance held after every step.

What must hold of the tables is in `invariants`. What must hold of an act when it succeeds (nothing was frozen, whoever
did it might, the approval had not lapsed) is checked here, from the tables, by other means than the service's own.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import text

from meta_pipeline.canonical import ABSENT, Level, digest
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.decision import Decision, Verdict
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.roles import Role
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import approvers, changes, freezing, governance, people, proposals, strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.proposals.governed import KNOBS, NOW, draft, strategy
from meta_pipeline_tests.store.governed import SETTINGS, TABLES, add_approvers, declare
from meta_pipeline_tests.store.invariants import check_invariants

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


_APPLIED = """
    SELECT p.strategy_id, p.target_component, p.expires_at, c.previous_value, c.new_value, a.decided_at, l.active
    FROM meta_config_proposals p
    JOIN config_change_log c USING (proposal_id)
    JOIN approvals a ON a.proposal_id = p.proposal_id AND a.decision = 'approve' AND a.body_digest = p.body_digest
    JOIN approvers l ON l.name_key = a.approver_key
    WHERE p.proposal_id = :id ORDER BY a.approval_id DESC LIMIT 1"""
_FROZEN = """
    SELECT count(*) FROM freezes
    WHERE lifted_at IS NULL AND starts_local <= :now AND (strategy_id IS NULL OR strategy_id = :strategy)"""
_HELD = """
    SELECT role, active FROM person_roles WHERE name_key = :key
    UNION ALL SELECT 'approver', active FROM approvers WHERE name_key = :key"""
MORE_TABLES = ("person_roles", "freezes", "strategy_limits")


def reset(database: Database) -> None:
    """Empty the governed tables, which takes the rights of the owner and triggers that do not fire."""
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {', '.join((*TABLES, *MORE_TABLES))} CASCADE"))


def _local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


class Governance(RuleBasedStateMachine):
    """People propose, edit, decide, apply, revert, withdraw, freeze and give roles; machines try to; time passes."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.now: datetime = NOW
        self.campaign = 0
        self.counts: dict[str, int] = {"acts": 0}
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

    def check_applied(self, proposal_id: str, actor: str) -> None:
        """Assert that what was applied just now might be, judging by the tables alone."""
        self.check_permitted(actor)
        with self.database.connect() as connection:
            row = connection.execute(text(_APPLIED), {"id": proposal_id}).one()
            frozen = connection.execute(
                text(_FROZEN), {"strategy": row.strategy_id, "now": _local(self.now)}
            ).scalar_one()
        assert row.active, "the approver is on the list no more"
        assert row.decided_at <= self.now < min(row.decided_at + timedelta(hours=72), row.expires_at), "it had lapsed"
        lower = row.target_component == "risk.max_vol" and row.new_value < row.previous_value
        assert frozen == 0 or lower, "applied in a freeze, and it does not reduce risk"

    def check_permitted(self, actor: str) -> None:
        """Assert that somebody may apply and revert, judging by the tables alone."""
        with self.database.connect() as connection:
            held = {row.role: row.active for row in connection.execute(text(_HELD), {"key": actor.casefold()})}
            closed = connection.execute(text("SELECT count(*) FROM person_roles WHERE role = 'operator'")).scalar_one()
        assert not held.get("auditor"), "an auditor acted"
        assert closed == 0 or held.get("operator") or held.get("approver"), "somebody acted without the role"

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

    @rule(strategy_id=STRATEGIES, change=CHANGES, applier=ACTORS)
    def carry_through(self, strategy_id: str, change: tuple[str, Level], applier: str) -> None:
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
            done = governance.apply(
                self.database, made.record.proposal_id, actor=applier, now=self.now, settings=SETTINGS
            )
            assert done.outcome == "applied", "a proposal that was just made cannot have been applied before"
            self.check_applied(made.record.proposal_id, applier)

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
        (result,) = governance.decide(
            self.database,
            [decision],
            approver=who,
            channel="python",
            channel_ref="",
            now=self.now,
            settings=SETTINGS,
        )
        if result.outcome == "approved":
            wrote = {record.draft.author.casefold(), *record.editor_keys}
            assert who.casefold() not in wrote, "approved by one who wrote it"

    @rule(pick=PICK, actor=ACTORS, dry_run=st.booleans())
    def apply(self, pick: int, actor: str, dry_run: bool) -> None:
        record = self.proposal(pick, Status.APPROVED)
        if record is None:
            return
        result = self.attempt(
            lambda: governance.apply(
                self.database, record.proposal_id, actor=actor, now=self.now, dry_run=dry_run, settings=SETTINGS
            )
        )
        if result is not None and result.outcome == "applied":
            self.check_applied(record.proposal_id, actor)

    @rule(actor=ACTORS)
    def apply_all(self, actor: str) -> None:
        rehearsed = governance.apply_approved(self.database, actor=actor, now=self.now, dry_run=True, settings=SETTINGS)
        results = governance.apply_approved(self.database, actor=actor, now=self.now, settings=SETTINGS)
        for result in results:
            if result.outcome == "applied":
                self.check_applied(result.proposal_id, actor)
        assert [(r.proposal_id, r.error is None) for r in rehearsed] == [
            (r.proposal_id, r.error is None) for r in results
        ]

    @rule(pick=PICK, actor=ACTORS, dry_run=st.booleans())
    def revert(self, pick: int, actor: str, dry_run: bool) -> None:
        change = self.change(pick)
        if change is None:
            return
        result = self.attempt(
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
        if result is not None and result.outcome == "reverted":
            self.check_permitted(actor)

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
        fewer = tuple(knob for knob in KNOBS if knob.path != without)

        def declare_again() -> None:
            with self.database.begin() as connection:
                strategies.declare(connection, strategy(strategy_id, knobs=fewer), actor="zoe", now=self.now)

        self.attempt(declare_again)

    @rule(name=st.sampled_from(PEOPLE), role=st.sampled_from([Role.OPERATOR, *Role]), by=ACTORS, back=st.booleans())
    def roles_are_given_and_taken(self, name: str, role: Role, by: str, back: bool) -> None:
        def move() -> None:
            with self.database.begin() as connection:
                (people.grant if back else people.revoke)(connection, name, role, actor=by, now=self.now)

        self.attempt(move)

    @rule(strategy_id=st.one_of(st.none(), STRATEGIES), by=ACTORS)
    def freeze(self, strategy_id: str | None, by: str) -> None:
        def stop() -> None:
            with self.database.begin() as connection:
                freezing.freeze_now(connection, reason="because", strategy_id=strategy_id, actor=by, now=self.now)

        self.attempt(stop)

    @rule(pick=PICK, by=ACTORS)
    def lift(self, pick: int, by: str) -> None:
        with self.database.connect() as connection:
            there = freezing.list_freezes(connection)
        if there:

            def resume() -> None:
                with self.database.begin() as connection:
                    frozen = there[pick % len(there)].freeze.freeze_id
                    freezing.lift(connection, frozen, reason="because", actor=by, now=self.now)

            self.attempt(resume)

    @invariant()
    def all_agrees(self) -> None:
        self.counts["acts"] += 1
        check_invariants(self.database)
