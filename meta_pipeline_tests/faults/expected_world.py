"""What governance has to be, in memory: strategies, proposals, changes, people and freezes as the rules make them.

Written anew from docs/governance.md, for one small world, by other means than the service's own: configurations are
folded from the changes in force, and nothing of `meta_pipeline.proposals` or `meta_pipeline.store` is called. Belongs
here: the state, and what it says of who may and what is allowed. What an act makes of it is in `expected_acts`.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from meta_pipeline.canonical import ABSENT, Level
from meta_pipeline_tests.proposals.governed import KNOBS, LIVE

MACHINE: Final = "meta-pipeline"
OPEN: Final = ("PENDING", "APPROVED")
OVER: Final = ("EXPIRED", "STALE", "SUPERSEDED", "WITHDRAWN", "REJECTED", "REVERTED")
"""Ends after which the same change may be proposed again."""

PROPOSAL_LIFE: Final = timedelta(days=14)
APPROVAL_LIFE: Final = timedelta(hours=72)
SUPPRESSED_FOR: Final = timedelta(days=30)
BUDGET: Final = (5, timedelta(hours=24))

# Power: who may, and which role closes it once anybody holds it. None: nothing does.
POWERS: Final[dict[str, tuple[frozenset[str], str | None]]] = {
    "propose": (frozenset({"researcher"}), "researcher"),
    "decide": (frozenset({"approver"}), None),
    "withdraw": (frozenset(), None),
    "apply": (frozenset({"operator", "approver"}), "operator"),
    "revert": (frozenset({"operator", "approver"}), "operator"),
    "freeze": (frozenset({"operator", "approver"}), "operator"),
    "lift": (frozenset({"operator"}), "operator"),
    "manage": (frozenset({"operator"}), "operator"),
}
OPTIONAL: Final = frozenset({"risk.stop", "risk.cap", "alpha", "extras"})
BOUNDS: Final = {
    "risk.max_vol": (0.05, 0.95),
    "risk.stop": (0.0, 1.0),
    "risk.cap": (1, 10),
    "lookback": (5, 252),
    "alpha": (0.0, 1.0),
}
PATHS: Final = tuple(knob.path for knob in KNOBS)


@dataclass(eq=False, kw_only=True)
class Proposed:
    """A proposal. `hands`: keys of all who wrote it. `signed_with`: whose key, and which of theirs."""

    proposal_id: str
    body_digest: str
    strategy: str
    path: str
    before: Level
    after: Level
    base: int
    author: str
    evidence: str
    made_at: datetime
    status: str = "PENDING"
    hands: set[str] = field(default_factory=set)
    approver: str | None = None
    approved_at: datetime | None = None
    approval_ends: datetime | None = None
    signed_with: str | None = None
    last_decision: tuple[str, str, str] | None = None
    turned_down_at: datetime | None = None

    @property
    def by_machine(self) -> bool:
        """Whether the pipeline itself proposed it."""
        return self.author == MACHINE

    @property
    def content(self) -> tuple[str, ...]:
        """What makes two proposals one."""
        return (*self.change, self.evidence)

    @property
    def change(self) -> tuple[str, ...]:
        """What it changes, and from what to what."""
        return (self.strategy, self.path, shown(self.before), shown(self.after))

    @property
    def reduces_risk(self) -> bool:
        """Whether it does: less volatility is less risk, and of nothing else is it known."""
        both = isinstance(self.before, float) and isinstance(self.after, float)
        return self.path == "risk.max_vol" and both and self.after < self.before  # type: ignore[operator]


@dataclass(eq=False, kw_only=True)
class Changed:
    """A change that was applied."""

    change_id: str
    proposal: Proposed
    version: int
    at: datetime
    reverted: bool = False


@dataclass(eq=False, kw_only=True)
class Frozen:
    """A freeze from now on. `strategy` None: of everything."""

    number: int
    strategy: str | None


@dataclass(eq=False)
class World:
    """All there is. `log` holds the entries that the last act has to have written."""

    now: datetime
    strategies: dict[str, set[str]] = field(default_factory=dict)
    """Strategy -> the paths it declares."""
    proposals: list[Proposed] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    freezes: list[Frozen] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    approvers: set[str] = field(default_factory=set)
    roles: dict[str, set[str]] = field(default_factory=dict)
    ever_given: set[str] = field(default_factory=set)
    revoked_keys: set[str] = field(default_factory=set)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def version(self, strategy: str) -> int:
        """Return the version of a strategy's live configuration: one, and one more per apply and per revert."""
        own = [change for change in self.changes if change.proposal.strategy == strategy]
        return 1 + len(own) + sum(change.reverted for change in own)

    def config(self, strategy: str) -> dict[str, Any]:
        """Return a strategy's live configuration: the declared one with the changes in force folded in."""
        config = copy.deepcopy(LIVE)
        for change in self.in_force(strategy):
            put(config, change.proposal.path, change.proposal.after)
        return config

    def in_force(self, strategy: str) -> Iterator[Changed]:
        """Yield a strategy's changes that were not reverted, oldest first."""
        own = (one for one in self.changes if one.proposal.strategy == strategy and not one.reverted)
        yield from sorted(own, key=lambda one: one.version)

    def of(self, strategy: str, *statuses: str) -> list[Proposed]:
        """Return a strategy's proposals in one of some statuses."""
        return [one for one in self.proposals if one.strategy == strategy and one.status in statuses]

    def may(self, who: str, power: str) -> bool:
        """Say whether somebody's roles let them use a power."""
        held = self.held(who)
        roles, closes = POWERS[power]
        return "auditor" not in held and (bool(held & roles) or closes is None or closes not in self.ever_given)

    def held(self, who: str) -> set[str]:
        """Return the roles somebody holds."""
        return self.roles.get(key(who), set()) | ({"approver"} if key(who) in self.approvers else set())

    def is_frozen(self, strategy: str) -> bool:
        """Say whether a freeze holds for a strategy."""
        return any(freeze.strategy in {None, strategy} for freeze in self.freezes)

    def spent(self, strategy: str) -> int:
        """Return how many changes a strategy had within the budget's window."""
        since = self.now - BUDGET[1]
        return sum(change.proposal.strategy == strategy and change.at > since for change in self.changes)

    def knobs_allow(self, strategy: str, path: str, before: Level, after: Level) -> bool:
        """Say whether a strategy's knobs allow a change: declared, no identifier, there or optional, within bounds."""
        declared = self.strategies[strategy]
        if path not in declared or path == "portfolio_id" or shown(before) == shown(after):
            return False
        if path != "risk":
            return _level_allowed(path, after)
        assert isinstance(after, dict)
        was = before if isinstance(before, dict) else {}
        return all(
            _part_allowed(f"risk.{name}", was.get(name, ABSENT), after.get(name, ABSENT), declared)
            for name in {*was, *after, *(one.removeprefix("risk.") for one in declared if one.startswith("risk."))}
        )

    def same_target(self, one: Proposed) -> list[Proposed]:
        """Return the other open proposals that touch the same key."""
        others = self.of(one.strategy, *OPEN)
        return [other for other in others if other is not one and touching(other.path, one.path)]


def key(who: str) -> str:
    """Return what names are compared by."""
    return who.casefold()


def shown(level: Level) -> str:
    """Return a level as a text that is the same for the same level."""
    return "absent" if level is ABSENT else json.dumps(level, sort_keys=True)


def touching(one: str, other: str) -> bool:
    """Say whether two paths are the same, or one is inside the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def get(config: dict[str, Any], path: str) -> Level:
    """Return what is at a path."""
    here: Any = config
    for part in path.split("."):
        if part not in here:
            return ABSENT
        here = here[part]
    return copy.deepcopy(here)  # type: ignore[no-any-return]


def put(config: dict[str, Any], path: str, level: Level) -> None:
    """Put a level at a path, or take away what is there."""
    *way, last = path.split(".")
    for part in way:
        config = config[part]
    if level is ABSENT:
        config.pop(last, None)
    else:
        config[last] = copy.deepcopy(level)


def _part_allowed(path: str, was: Level, becomes: Level, declared: set[str]) -> bool:
    if path not in declared:
        return shown(was) == shown(becomes)
    return _level_allowed(path, becomes)


def _level_allowed(path: str, level: Level) -> bool:
    if level is ABSENT:
        return path in OPTIONAL
    low, high = BOUNDS[path]
    assert isinstance(level, int | float)
    return low <= level <= high
