"""People and machines doing what they like, in any order: which acts, by whom, on what. They are judged elsewhere.

Three choices in four are likely ones (somebody who may, a proposal that waits), so that sequences get somewhere; the
others are anything. What matters most, a change that is proposed, approved, applied and reverted, with something that
comes in between, is a step of its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from meta_pipeline.canonical import ABSENT, Level
from meta_pipeline.proposals.decision import Verdict
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store.database import Database
from meta_pipeline_tests.faults.expected_acts import Wish
from meta_pipeline_tests.faults.expected_world import MACHINE, PATHS, Changed, Proposed, get, key, shown, touching
from meta_pipeline_tests.faults.judged_service import KEYS, JudgedService
from meta_pipeline_tests.store.invariants import check_invariants

T = TypeVar("T")

PEOPLE: Final = ("ann", "Bob", "Cleo", "zoe")
ACTORS: Final = (*PEOPLE, "BOB", MACHINE)
_CHANGES: Final[tuple[tuple[str, Level], ...]] = (
    *(("risk.max_vol", 0.25), ("risk.max_vol", 0.7), ("risk.max_vol", 0.5), ("risk.max_vol", 5.0)),
    *(("risk.stop", 0.1), ("risk.stop", ABSENT), ("risk", {"max_vol": 0.3}), ("risk", {"max_vol": 0.5, "cap": 3})),
    *(("alpha", 0.5), ("alpha", ABSENT), ("lookback", 21), ("lookback", 126), ("portfolio_id", "P9")),
)
ALLOWED: Final = tuple(one for one in _CHANGES if one not in (("risk.max_vol", 5.0), ("portfolio_id", "P9")))
BRAKES: Final = ("freeze", "limit")
"""What stops an apply for a while."""

PICK = st.integers(0, 239)
FOUR = st.tuples(PICK, PICK, PICK, PICK)
STRATEGIES = st.sampled_from(["ONE", "TWO"])
CHANGES = st.sampled_from(_CHANGES)
HOURS = st.sampled_from([1, 47, 72, 24 * 15, 24 * 31])
SIGNED = st.sampled_from([None, None, "own", "bob", "cleo"])


class Governance(RuleBasedStateMachine):
    """People propose, edit, decide, apply, revert, withdraw, freeze and give roles; machines try to; time passes."""

    def __init__(self, database: Database, counts: dict[str, int]) -> None:
        super().__init__()
        self.service = JudgedService(database, counts)
        self.world = self.service.world
        self.campaign = 0
        self.wanted = 0

    def teardown(self) -> None:
        if self.service.sound:  # what has failed already is not to be drowned by what follows from it
            check_invariants(self.service.database)

    def somebody(self, pick: int, power: str) -> str:
        return one_of(pick, [who for who in PEOPLE if self.world.may(who, power)], ACTORS)

    def an_approver(self, pick: int, *, but: Collection[str] = ()) -> str:
        return one_of(pick, [who for who in PEOPLE if key(who) in self.world.approvers - set(but)], ACTORS)

    def a_proposal(self, pick: int, *likely: str) -> Proposed:
        there = self.world.proposals
        return one_of(pick, [one for one in there if one.status in likely], there)

    def a_change(self, pick: int) -> Changed:
        return one_of(pick, [one for one in self.world.changes if not one.reverted], self.world.changes)

    @rule(strategy_id=STRATEGIES, change=CHANGES, by=PICK, evidence=st.sampled_from(["because", "it is time"]))
    def propose(self, strategy_id: str, change: tuple[str, Level], by: int, evidence: str) -> None:
        self.service.propose(Wish(strategy_id, *change, self.somebody(by, "propose"), evidence))

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, signed=SIGNED)
    def change_it(self, strategy_id: str, change: int, by: tuple[int, int, int, int], signed: str | None) -> None:
        """Take a change all the way, as people do on most days."""
        self.carry_through(strategy_id, change, by, signed=signed)

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, rehearsed=st.booleans())
    def change_it_and_back(self, strategy_id: str, change: int, by: tuple[int, int, int, int], rehearsed: bool) -> None:
        for one in self.carry_through(strategy_id, change, by):
            if rehearsed:
                self.service.revert(one, self.somebody(by[3], "revert"), dry_run=True)
            self.service.revert(one, self.somebody(by[3], "revert"))

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR)
    def the_approver_leaves_in_between(self, strategy_id: str, change: int, by: tuple[int, int, int, int]) -> None:
        self.carry_through(strategy_id, change, by, between="approver leaves")

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR)
    def the_approval_lapses_in_between(self, strategy_id: str, change: int, by: tuple[int, int, int, int]) -> None:
        self.carry_through(strategy_id, change, by, between="time")

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, between=st.sampled_from(BRAKES))
    def a_brake_is_put_on_in_between(
        self, strategy_id: str, change: int, by: tuple[int, int, int, int], between: str
    ) -> None:
        self.carry_through(strategy_id, change, by, between=between)

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, between=st.sampled_from(["key", "knob", "rival"]))
    def what_it_rests_on_is_changed_in_between(
        self, strategy_id: str, change: int, by: tuple[int, int, int, int], between: str
    ) -> None:
        self.carry_through(strategy_id, change, by, signed="own" if between == "key" else None, between=between)

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, event=st.sampled_from(["edit", "rejection", "rival", "time"]))
    def something_comes_before_the_decision(
        self, strategy_id: str, change: int, by: tuple[int, int, int, int], event: str
    ) -> None:
        one = self.service.propose(wish := self.a_wish(strategy_id, change, by[0]))
        if one is None:
            return
        who = self.an_approver(by[1], but=one.hands)
        if event == "edit":
            self.service.edit(one, who, f"better so, {self.wanted}")
        elif event == "rejection":
            self.decide_on(one, "reject", who, None)
            self.service.propose(self.again(wish, wish.after))
        elif event == "rival":
            rival = self.service.propose(self.a_rival(wish, change))
            if rival is not None:
                self.decide_on(rival, "approve", self.an_approver(by[2], but=rival.hands), None)
        else:
            self.service.let_time_pass(24 * 15, tidy=False)
        self.decide_on(one, "approve", who, None)

    @rule(strategy_id=STRATEGIES, change=PICK, by=FOUR, who=PICK)
    def one_key_is_changed_twice_and_the_first_change_reverted(
        self, strategy_id: str, change: int, by: tuple[int, int, int, int], who: int
    ) -> None:
        for first in self.carry_through(strategy_id, change, by):
            done = first.proposal
            wish = Wish(strategy_id, done.path, done.after, done.author, done.evidence)
            for second in self.carry(self.a_rival(wish, change), by):
                for one in (first, second, first):
                    self.service.revert(one, self.somebody(who, "revert"))

    def carry_through(
        self,
        strategy_id: str,
        change: int,
        by: tuple[int, int, int, int],
        *,
        signed: str | None = None,
        between: str = "",
    ) -> list[Changed]:
        """Propose, approve and apply; return the change, if that is what it ends in."""
        return self.carry(self.a_wish(strategy_id, change, by[0]), by, signed=signed, between=between)

    def carry(
        self, wish: Wish, by: tuple[int, int, int, int], *, signed: str | None = None, between: str = ""
    ) -> list[Changed]:
        one = self.service.propose(wish)
        if one is None:
            return []
        self.decide_on(one, "approve", self.an_approver(by[1], but=one.hands), signed)
        self.disturb(one, between, by[2])
        self.service.apply(one, self.somebody(by[2], "apply"))
        return [made for made in self.world.changes if made.proposal is one]

    def a_wish(self, strategy_id: str, change: int, by: int) -> Wish:
        """Return a change of what is live, on evidence of its own."""
        live = self.world.config(strategy_id)
        moves = [one for one in ALLOWED if shown(get(live, one[0])) != shown(one[1])]
        self.wanted += 1
        return Wish(
            strategy_id, *one_of(change, moves, _CHANGES), self.somebody(by, "propose"), f"wanted {self.wanted}"
        )

    def a_rival(self, wish: Wish, pick: int) -> Wish:
        """Return another change of the same key, one around it or one inside it."""
        others = [one for one in ALLOWED if touching(one[0], wish.path) and shown(one[1]) != shown(wish.after)]
        path, level = others[pick % len(others)]
        return self.again(replace(wish, path=path), level)

    def again(self, wish: Wish, level: Level) -> Wish:
        self.wanted += 1
        return replace(wish, after=level, evidence=f"wanted {self.wanted}")

    def disturb(self, one: Proposed, between: str, by: int) -> None:
        manager = self.somebody(by, "manage")
        if between == "time":
            self.service.let_time_pass(72, tidy=False)
        elif between == "approver leaves" and one.approver is not None:
            self.service.take(one.approver, Role.APPROVER, manager)
        elif between == "freeze":
            self.service.freeze(None if by % 3 else one.strategy, self.somebody(by, "freeze"))
        elif between == "key" and one.signed_with is not None:
            self.service.revoke_key(one.signed_with, manager)
        elif between == "limit":
            self.service.limit(one.strategy, by % 2, manager)
        elif between == "knob":
            self.service.redeclare(one.strategy, one.path, manager)
        elif between == "rival":
            self.service.propose(Wish(one.strategy, "lookback", 200, "zoe", f"beside {self.wanted}"))

    @rule(strategy_id=STRATEGIES, wanted=st.lists(CHANGES, max_size=3), new_evidence=st.booleans())
    def generate(self, strategy_id: str, wanted: list[tuple[str, Level]], new_evidence: bool) -> None:
        self.campaign += new_evidence
        self.service.generate(strategy_id, wanted, campaign=str(self.campaign))

    @rule(
        pick=PICK,
        verdict=st.sampled_from(["approve", "approve", "approve", "reject"]),
        by=PICK,
        signed=SIGNED,
        former=st.sampled_from([False, False, False, True]),
    )
    @precondition(lambda self: self.world.proposals)
    def decide(self, pick: int, verdict: Verdict, by: int, signed: str | None, former: bool) -> None:
        one = self.a_proposal(pick, "PENDING")
        self.decide_on(one, verdict, self.an_approver(by, but=one.hands), signed, of="0" * 64 if former else "")

    def decide_on(self, one: Proposed, verdict: Verdict, who: str, signed: str | None, *, of: str = "") -> None:
        key_of = key(who) if signed == "own" else signed
        self.service.decide(one, verdict, who, of=of, signed_with=key_of if key_of in KEYS else None)

    @rule(pick=PICK, by=PICK)
    @precondition(lambda self: self.world.proposals)
    def the_author_decides(self, pick: int, by: int) -> None:
        one = self.a_proposal(pick, "PENDING")
        self.service.decide(one, "approve", one_of(by, [who for who in PEOPLE if key(who) in one.hands], ACTORS))

    @rule(pick=PICK, by=PICK, dry_run=st.sampled_from([False, False, True]))
    @precondition(lambda self: self.world.proposals)
    def apply(self, pick: int, by: int, dry_run: bool) -> None:
        self.service.apply(self.a_proposal(pick, "APPROVED"), self.somebody(by, "apply"), dry_run=dry_run)

    @rule(by=PICK)
    def apply_all(self, by: int) -> None:
        self.service.apply_all(self.somebody(by, "apply"))

    @rule(pick=PICK, by=PICK, dry_run=st.sampled_from([False, False, True]))
    @precondition(lambda self: self.world.changes)
    def revert(self, pick: int, by: int, dry_run: bool) -> None:
        self.service.revert(self.a_change(pick), self.somebody(by, "revert"), dry_run=dry_run)

    @rule(pick=PICK, by=PICK)
    @precondition(lambda self: self.world.proposals)
    def edit(self, pick: int, by: int) -> None:
        self.wanted += 1
        self.service.edit(self.a_proposal(pick, "PENDING"), self.somebody(by, "propose"), f"better so, {self.wanted}")

    @rule(pick=PICK, by=PICK)
    @precondition(lambda self: self.world.proposals)
    def withdraw(self, pick: int, by: int) -> None:
        one = self.a_proposal(pick, "PENDING", "APPROVED")
        self.service.withdraw(one, one_of(by, [who for who in PEOPLE if key(who) in one.hands], ACTORS))

    @rule(hours=HOURS, tidy=st.booleans())
    def time_passes(self, hours: int, tidy: bool) -> None:
        self.service.let_time_pass(hours, tidy=tidy)

    @rule(name=st.sampled_from(PEOPLE), role=st.sampled_from(list(Role)), by=PICK, back=st.booleans())
    def roles_are_given_and_taken(self, name: str, role: Role, by: int, back: bool) -> None:
        (self.service.give if back else self.service.take)(name, role, self.somebody(by, "manage"))

    @rule(strategy_id=st.one_of(st.none(), STRATEGIES), by=PICK)
    def freeze(self, strategy_id: str | None, by: int) -> None:
        self.service.freeze(strategy_id, self.somebody(by, "freeze"))

    @rule(pick=PICK, by=PICK)
    @precondition(lambda self: self.world.freezes)
    def lift(self, pick: int, by: int) -> None:
        self.service.lift(self.world.freezes[pick % len(self.world.freezes)], self.somebody(by, "lift"))

    @rule(strategy_id=STRATEGIES, without=st.one_of(st.none(), st.sampled_from(PATHS)), by=PICK)
    def redeclare(self, strategy_id: str, without: str | None, by: int) -> None:
        self.service.redeclare(strategy_id, without, self.somebody(by, "manage"))

    @rule(strategy_id=STRATEGIES, changes=st.sampled_from([5, 2, 1, 0]), by=PICK)
    def limit(self, strategy_id: str, changes: int, by: int) -> None:
        self.service.limit(strategy_id, changes, self.somebody(by, "manage"))

    @rule(owner=st.sampled_from(sorted(KEYS)), by=PICK)
    def revoke_key(self, owner: str, by: int) -> None:
        self.service.revoke_key(owner, self.somebody(by, "manage"))


def one_of(pick: int, likely: Sequence[T], all_there: Sequence[T]) -> T:
    """Choose: three times in four one of the likely, if there are any (hypothesis likes to pick 0)."""
    chosen = likely if likely and pick % 4 != 3 else all_there
    return chosen[pick // 4 % len(chosen)]
