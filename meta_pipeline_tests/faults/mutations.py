"""Rules broken on purpose: the random sequences have to notice each of them, or they would show nothing.

Each is one line of the service that is no longer there. `broken` puts it back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from meta_pipeline.proposals import checks
from meta_pipeline.store import applying, audit, decisions


def _without(*gone: object) -> list[Any]:
    """Leave checks out, where decisions and applies make them."""
    return [
        patch.object(module, name, tuple(check for check in getattr(checks, name) if check not in gone))
        for module, name in ((decisions, "APPROVE"), (applying, "APPLY"))
    ]


def _forgets_the_entry_of_the_apply(connection: Any, events: Sequence[audit.Event], **who: Any) -> None:
    _APPEND_ALL(connection, events[1:], **who)


_APPEND_ALL = audit.append_all

MUTATIONS: Final[Mapping[str, Callable[[], list[Any]]]] = {
    "authors may approve": lambda: _without(checks.second_person),
    "freezes stop nothing": lambda: _without(checks.not_frozen),
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
