"""The service and the rules side by side: every act is done by the one, and has to end as the other foresees.

Beside the database runs a `World` that follows the rules in memory. Whatever the service does, the world has to have
foreseen: what is refused, with which error, and what is done; and afterwards every configuration, change, status and
audit entry has to be as the world has it. So a rule that is not enforced is noticed, and so is one too many.
"""

import copy
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from meta_pipeline.canonical import Level, digest
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.policy.signing import Ed25519Signer
from meta_pipeline.proposals.decision import ApplyResult, Decision, RevertResult, Verdict
from meta_pipeline.proposals.digests import change_id
from meta_pipeline.proposals.roles import Role
from meta_pipeline.proposals.signatures import Message, key_id_of, sign
from meta_pipeline.store import (
    approver_keys,
    audit,
    freezing,
    governance,
    limits,
    people,
    proposals,
    strategies,
)
from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults import expected_acts as rules
from meta_pipeline_tests.faults.expected_acts import Answer, Wish
from meta_pipeline_tests.faults.expected_world import MACHINE, PATHS, Changed, Frozen, Proposed, World, get
from meta_pipeline_tests.faults.on_record import read, reset
from meta_pipeline_tests.proposals.governed import KNOBS, NOW, draft, strategy
from meta_pipeline_tests.store.governed import LIFETIME, SETTINGS, add_approvers, declare

T = TypeVar("T")

KEYS: Final = {name: hashlib.sha256(name.encode()).digest() for name in ("bob", "cleo")}
"""Whose decisions can be signed, and their private keys."""


class JudgedService:
    """The service on a database, with a world beside it that foresees each of its answers.

    Parameters
    ----------
    counts
        Counted up: acts, those refused, applies and reverts.
    """

    def __init__(self, database: Database, counts: dict[str, int]) -> None:
        self.database = database
        self.world = World(now=NOW)
        self.sound = True
        self.counts = counts
        reset(database)
        for name in ("ONE", "TWO"):
            declare(database, name)
            self.world.strategies[name] = set(PATHS)
        add_approvers(database, "ann", "Bob", "Cleo")
        self.world.approvers = {"ann", "bob", "cleo"}
        self.world.ever_given = {"approver"}
        with database.begin() as connection:
            for owner, secret in KEYS.items():
                approver_keys.register(connection, owner, _public(secret), actor="zoe", now=NOW)
            self.seen = audit.head(connection).entries

    # What is done, and what has to come of it.

    def attempt(self, act: Callable[[], T]) -> tuple[T | None, Answer | None]:
        """Do something that may be refused: by one of our own errors, and by no other."""
        self.sound = False
        self.counts["acts"] += 1
        try:
            return act(), None
        except MetaPipelineError as error:
            return None, type(error)

    def judge(self, what: str, foreseen: object, answered: object) -> None:
        """Assert that the answer is the one foreseen, and that everything on record is as the world has it."""
        assert answered == foreseen, f"{what}: by the rules {_word(foreseen)}, but the service {_word(answered)}"
        self.counts["refused"] += isinstance(foreseen, type)
        self.compare(what)
        self.sound = True

    def compare(self, what: str) -> None:
        """Assert that everything on record is as the world has it."""
        world = self.world
        found = read(self.database, after=self.seen)
        live = {name: (world.version(name), world.config(name)) for name in world.strategies}
        assert found.live == live, f"{what}: another configuration is live than the changes in force make"
        statuses = {one.proposal_id: one.status for one in world.proposals}
        assert found.statuses == statuses, f"{what}: another status"
        made = {
            one.proposal_id: (one.before, one.after, "reverted" if change.reverted else "in force")
            for change in world.changes
            for one in [change.proposal]
        }
        assert found.changes == made, f"{what}: another change log"
        assert found.entries == sorted(world.log), f"{what}: other audit entries than what was done"
        self.seen += len(found.entries)
        world.log.clear()

    def propose(self, wish: Wish) -> Proposed | None:
        made, refused = self.attempt(
            lambda: governance.create(
                self.database,
                strategy_id=wish.strategy,
                knob=wish.path,
                proposed=wish.after,
                reason=wish.evidence,
                author=wish.author,
                now=self.world.now,
                settings=SETTINGS,
            )
        )
        ids = ("", "") if made is None else (made.record.proposal_id, made.record.body_digest)
        foreseen = rules.propose(self.world, wish, ids=ids)
        answered = refused or ("new" if made is not None and made.new else "existing")
        self.judge(f"{wish.author} proposes {wish.path}", foreseen, answered)
        return next((one for one in self.world.proposals if one.proposal_id == ids[0]), None)

    def decide(
        self, one: Proposed, verdict: Verdict, who: str, *, of: str = "", signed_with: str | None = None
    ) -> None:
        named = of or one.body_digest
        decision = Decision(
            proposal_id=one.proposal_id,
            digest=named,
            verdict=verdict,
            reason="because",
            signature=None if signed_with is None else self.signature(one, verdict, who, named, KEYS[signed_with]),
        )
        decided, _ = self.attempt(
            lambda: governance.decide(
                self.database,
                [decision],
                approver=who,
                channel="python",
                channel_ref="",
                now=self.world.now,
                settings=SETTINGS,
            )
        )
        assert decided is not None
        answered = decided[0].outcome if decided[0].error is None else type(decided[0].error)
        foreseen = rules.decide(self.world, one, verdict, who, body_digest=named, signed_with=signed_with)
        self.judge(f"{who} decides: {verdict}", foreseen, answered)

    def signature(self, one: Proposed, verdict: Verdict, who: str, named: str, secret: bytes) -> str:
        message = Message(
            proposal_id=one.proposal_id,
            body_digest=named,
            decision=verdict,
            approver=who,
            expires_at=self.world.now + rules.SIGNED_FOR,
        )
        return sign(secret, message).text()

    def apply(self, one: Proposed, who: str, *, dry_run: bool = False) -> None:
        result, refused = self.attempt(
            lambda: governance.apply(
                self.database, one.proposal_id, actor=who, now=self.world.now, dry_run=dry_run, settings=SETTINGS
            )
        )
        what = f"{who} applies {one.path}"
        if dry_run:
            assert result is not None or refused is not None
            foreseen = self.rehearse(lambda world: rules.apply(world, _twin(world, one), who))
            self.judge(f"{what}, rehearsed", foreseen, refused or _outcome(result))
            return
        foreseen = rules.apply(self.world, one, who)
        self.counts["applied"] += foreseen == "applied"
        self.judge(what, foreseen, refused or _outcome(result))

    def revert(self, change: Changed, who: str, *, dry_run: bool = False) -> None:
        one = change.proposal
        result, refused = self.attempt(
            lambda: governance.revert(
                self.database,
                change_id(one.proposal_id),
                actor=who,
                reason="because",
                now=self.world.now,
                dry_run=dry_run,
                settings=SETTINGS,
            )
        )
        answered: Any = refused or _outcome(result)
        what = f"{who} reverts {one.path}"
        if dry_run:
            number = self.world.changes.index(change)
            self.judge(
                f"{what}, rehearsed",
                self.rehearse(lambda world: rules.revert(world, world.changes[number], who)),
                answered,
            )
            return
        foreseen = rules.revert(self.world, change, who)
        self.counts["reverted"] += foreseen == "reverted"
        self.judge(what, foreseen, answered)

    def rehearse(self, act: Callable[[World], Answer]) -> Answer:
        """Return what an act would end in, in a world that is thrown away."""
        return act(copy.deepcopy(self.world))

    def freeze(self, strategy_id: str | None, who: str) -> None:
        def stop() -> int | None:
            with self.database.begin() as connection:
                made = freezing.freeze_now(
                    connection, reason="because", strategy_id=strategy_id, actor=who, now=self.world.now
                )
            return made.freeze.freeze_id

        number, refused = self.attempt(stop)
        foreseen = rules.freeze(self.world, strategy_id, who, number=number or 0)
        self.judge(f"{who} freezes {strategy_id or 'everything'}", foreseen, refused or "frozen")

    def generate(self, strategy_id: str, wanted: list[tuple[str, Level]], *, campaign: str) -> None:
        world = self.world
        live, version = world.config(strategy_id), world.version(strategy_id)
        drafts = [
            draft(
                knob,
                get(live, knob),
                to,
                strategy_id=strategy_id,
                base_version=version,
                evidence_digest=digest({"campaign": campaign}),
            )
            for knob, to in wanted
        ]

        def save() -> proposals.SaveResult:
            with self.database.begin() as connection:
                saved = proposals.save(connection, drafts, now=world.now, lifetime=LIFETIME)
                again = proposals.save(connection, drafts, now=world.now, lifetime=LIFETIME)
            assert again.new == (), "the same again added something"
            return saved

        saved, _ = self.attempt(save)
        assert saved is not None
        with self.database.connect() as connection:
            ids = [(one, proposals.get(connection, one).body_digest) for one in saved.new]
        wishes = [Wish(strategy_id, knob, to, MACHINE, f"campaign {campaign}") for knob, to in wanted]
        foreseen = rules.generate(world, wishes, ids=ids)
        told = {
            "new": len(saved.new),
            "existing": len(saved.existing),
            "suppressed": len(saved.suppressed_by_rejection),
            "refused": len(saved.refused),
        }
        words = [one if isinstance(one, str) else "refused" for one in foreseen]
        self.judge("the machine proposes", {word: words.count(word) for word in told}, told)

    def apply_all(self, who: str) -> None:
        def do(*, dry_run: bool) -> list[ApplyResult]:
            return governance.apply_approved(
                self.database, actor=who, now=self.world.now, dry_run=dry_run, settings=SETTINGS
            )

        results, _ = self.attempt(lambda: (do(dry_run=True), do(dry_run=False)))
        assert results is not None
        rehearsed, done = ([(one.proposal_id, _outcome(one)) for one in part] for part in results)
        foreseen = rules.apply_all(self.world, who)
        self.counts["applied"] += sum(answer == "applied" for _, answer in foreseen)
        assert rehearsed == done, "the rehearsal of all told something else than what came"
        self.judge(f"{who} applies all that is approved", foreseen, done)

    def edit(self, one: Proposed, who: str, words: str) -> None:
        edited, refused = self.attempt(
            lambda: governance.edit(self.database, one.proposal_id, rationale=words, editor=who, now=self.world.now)
        )
        foreseen = rules.edit(self.world, one, who, body_digest="" if edited is None else edited.body_digest)
        self.judge(f"{who} edits", foreseen, refused or "edited")

    def withdraw(self, one: Proposed, who: str) -> None:
        _, refused = self.attempt(
            lambda: governance.withdraw(self.database, one.proposal_id, actor=who, reason="because", now=self.world.now)
        )
        self.judge(f"{who} withdraws", rules.withdraw(self.world, one, who), refused or "withdrawn")

    def let_time_pass(self, hours: int, *, tidy: bool) -> None:
        self.world.now += timedelta(hours=hours)
        if tidy:
            self._do(
                "tidying",
                lambda connection: governance.expire(connection, self.world.now),
                lambda: rules.tidy(self.world),
                "tidied",
            )

    def lift(self, freeze: Frozen, who: str) -> None:
        self._do(
            f"{who} lifts a freeze",
            lambda connection: freezing.lift(
                connection, freeze.number, reason="because", actor=who, now=self.world.now
            ),
            lambda: rules.lift(self.world, freeze, who),
            "lifted",
        )

    def give(self, name: str, role: Role, who: str) -> None:
        self._do(
            f"{who} makes {name} {role}",
            lambda connection: people.grant(connection, name, role, actor=who, now=self.world.now),
            lambda: rules.grant(self.world, name, role, who),
            "granted",
        )

    def take(self, name: str, role: Role, who: str) -> None:
        self._do(
            f"{who} takes {role} from {name}",
            lambda connection: people.revoke(connection, name, role, actor=who, now=self.world.now),
            lambda: rules.revoke(self.world, name, role, who),
            "revoked",
        )

    def revoke_key(self, owner: str, who: str) -> None:
        prefix = key_id_of(_public(KEYS[owner]))
        self._do(
            f"{who} revokes the key of {owner}",
            lambda connection: approver_keys.revoke(
                connection, prefix, reason="because", actor=who, now=self.world.now
            ),
            lambda: rules.revoke_key(self.world, owner, who),
            "revoked",
        )

    def limit(self, strategy_id: str, changes: int, who: str) -> None:
        wanted = limits.Limits(strategy_id=strategy_id, max_changes=changes, window_hours=24)
        self._do(
            f"{who} limits {strategy_id}",
            lambda connection: limits.set_limits(connection, wanted, actor=who, now=self.world.now),
            lambda: rules.limit(self.world, strategy_id, changes, who),
            "limited",
        )

    def redeclare(self, strategy_id: str, without: str | None, who: str) -> None:
        fewer = strategy(strategy_id, knobs=tuple(knob for knob in KNOBS if knob.path != without))
        self._do(
            f"{who} declares {strategy_id} without {without}",
            lambda connection: strategies.declare(connection, fewer, actor=who, now=self.world.now),
            lambda: rules.redeclare(self.world, strategy_id, without, who),
            "declared",
        )

    def _do(self, what: str, work: Callable[[Connection], object], foresee: Callable[[], Answer], done: str) -> None:
        def act() -> str:
            with self.database.begin() as connection:
                work(connection)
            return done

        answered, refused = self.attempt(act)
        self.judge(what, foresee(), refused or answered)


def _public(secret: bytes) -> bytes:
    return Ed25519Signer("", secret).public_key()


def _twin(world: World, one: Proposed) -> Proposed:
    """Return the same proposal in another world."""
    return next(other for other in world.proposals if other.proposal_id == one.proposal_id)


def _outcome(result: ApplyResult | RevertResult | None) -> Answer:
    """Return the answer that a result is. What a rehearsal would do counts as done: in a world that is thrown away."""
    assert result is not None
    if result.error is not None:
        return type(result.error)
    return {"would_apply": "applied", "would_revert": "reverted"}.get(result.outcome, result.outcome)


def _word(answer: object) -> str:
    return f"refuses it ({answer.__name__})" if isinstance(answer, type) else f"answers {answer!r}"
