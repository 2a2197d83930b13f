"""Rules broken on purpose: the random sequences have to notice each of them, or they would show nothing.

Each is one line of the service that is no longer there, or says something else. `broken` puts it back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from meta_pipeline.proposals import checks
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.proposals.situation import Check, Checker, Situation
from meta_pipeline.store import applying, approver_keys, audit, changes, decisions, people, proposals

_JUDGES: Final = (decisions, applying, proposals)
"""Where checks are made: when it is decided, applied, and saved."""


def _without(*gone: Checker, at: Sequence[ModuleType] = _JUDGES) -> list[Any]:
    """Leave checks out."""

    def run(checkers: tuple[Checker, ...], seen: Situation) -> tuple[Check, ...]:
        return checks.run_checks(tuple(check for check in checkers if check not in gone), seen)

    return [patch.object(module, "run_checks", run) for module in at]


def _instead(of: Checker, other: Checker) -> list[Any]:
    """Make another check instead of one."""

    def run(checkers: tuple[Checker, ...], seen: Situation) -> tuple[Check, ...]:
        return checks.run_checks(tuple(other if check is of else check for check in checkers), seen)

    return [patch.object(module, "run_checks", run) for module in _JUDGES]


def _only_the_author(seen: Situation) -> Check:
    return checks.second_person(replace(seen, record=replace(seen.record, editor_keys=frozenset())))


def _whatever_it_does_to_risk(seen: Situation) -> Check:
    return checks.not_frozen(replace(seen, knobs={}))


def _forgets_the_entry_of_the_apply(connection: Any, events: Sequence[audit.Event], **who: Any) -> None:
    _APPEND_ALL(connection, events[1:], **who)


def _writes_beside(live: Mapping[str, Any], path: str, level: Any) -> dict[str, Any]:
    """Write what was approved into a key beside it."""
    return {**live, "beside": level} if path.startswith("risk") else with_level(live, path, level)


def _undoes_nothing(_: Any, __: Any, live: Any) -> dict[str, Any]:
    return dict(live.config)


def _anybodys(connection: Any, _: str, **__: Any) -> dict[str, bytes]:
    every = approver_keys.list_keys(connection)
    return {key.key_id: key.public_key for key in every if key.revoked_at is None}


def _also_revoked(connection: Any, name: str, **_: Any) -> dict[str, bytes]:
    return {key.key_id: key.public_key for key in approver_keys.list_keys(connection, name=name)}


_APPEND_ALL = audit.append_all

MUTATIONS: Final[Mapping[str, Callable[[], list[Any]]]] = {
    "authors may approve": lambda: _without(checks.second_person),
    "editors may approve": lambda: _instead(checks.second_person, _only_the_author),
    "who left the list still counts": lambda: _without(checks.on_the_list, at=[applying]),
    "anybody may approve": lambda: _without(checks.on_the_list, at=[decisions]),
    "roles are not looked at": lambda: [patch.object(people, "objection", lambda *_, **__: None)],
    "another's key signs": lambda: [patch.object(approver_keys, "good_keys", _anybodys)],
    "a revoked key still signs": lambda: [patch.object(approver_keys, "good_keys", _also_revoked)],
    "approvals never lapse": lambda: _without(checks.approval_in_time),
    "proposals never lapse": lambda: _without(checks.undecided_in_time),
    "freezes stop nothing": lambda: _without(checks.not_frozen),
    "freezes stop what reduces risk": lambda: _instead(checks.not_frozen, _whatever_it_does_to_risk),
    "the budget is not looked at": lambda: _without(checks.within_budget),
    "knobs are looked at only when it is proposed": lambda: _without(
        checks.knob_allows, checks.risk_as_stated, at=[decisions, applying]
    ),
    "what competes is approved as well": lambda: _without(checks.no_approved_rival),
    "a rejection suppresses nothing": lambda: [patch.object(proposals, "_suppression", lambda *_, **__: None)],
    "an apply leaves the others open": lambda: [
        patch.object(changes, "_end_the_others", lambda *_, **__: ((), (), []))
    ],
    "another key is written": lambda: [patch.object(changes, "with_level", _writes_beside)],
    "a revert undoes nothing": lambda: [patch.object(changes, "reverted_config", _undoes_nothing)],
    "a revert does not look at later changes": lambda: [
        patch.object(changes, "related", lambda *_: False),
        patch.object(changes, "level_key", lambda _: ""),
    ],
    "an apply is not in the audit log": lambda: [patch.object(audit, "append_all", _forgets_the_entry_of_the_apply)],
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break one rule until the block ends."""
    patches = MUTATIONS[name]()
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
