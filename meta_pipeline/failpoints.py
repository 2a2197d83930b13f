"""Named steps at which a test may stop the process. In production each is one comparison with None.

Belongs here: the list of steps, and the hook. It takes two settings to arm one (META_PIPELINE_FAILPOINT names the step,
META_PIPELINE_FAILPOINTS_ARMED=true), and then the process kills itself there, as a power cut would.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

STEPS: Final = (
    # deciding, inside its transaction
    *("approve.locked", "approve.checked", "approve.recorded", "approve.moved", "approve.audited"),
    # applying one proposal, or each of a batch, inside the transaction
    *("apply.locked", "apply.checked", "apply.versioned", "apply.logged", "apply.moved", "apply.ended"),
    "apply.audited",
    # several proposals of one strategy together: all judged, each written, all written
    *("batch.locked", "batch.judged", "batch.one_written", "batch.written"),
    # reverting
    *("revert.locked", "revert.computed", "revert.versioned", "revert.logged", "revert.moved", "revert.ended"),
    "revert.audited",
    # any of them, once the server has said that it is committed
    *("approve.committed", "apply.committed", "batch.committed", "revert.committed"),
    # judging the outcome of a change, inside its transaction, and after it
    *("outcome.locked", "outcome.recorded", "outcome.logged", "outcome.moved", "outcome.audited", "outcome.committed"),
)
"""Every step, in the order in which they are passed."""

_hook: Callable[[str], None] | None = None


class ArmedBy(Protocol):
    """What of the settings arms a failpoint."""

    @property
    def failpoint(self) -> str | None:
        """The step."""

    @property
    def failpoints_armed(self) -> bool:
        """Whether it counts."""


def reach(step: str) -> None:
    """Say that a step is reached. Does nothing unless a test has armed a hook."""
    if _hook is not None:
        assert step in STEPS, step
        _hook(step)


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with every step from now on; None: nothing any more."""
    global _hook  # noqa: PLW0603 -- one process, one hook, and none outside tests
    _hook = hook


def arm_by(settings: ArmedBy) -> None:
    """Arm the failpoint that the settings name, if they arm it; otherwise change nothing.

    Raises
    ------
    ValueError
        If there is no such step: a test of it would pass without having tested anything.
    """
    wanted = settings.failpoint
    if wanted is None or not settings.failpoints_armed:
        return
    if wanted not in STEPS:
        raise ValueError(f"there is no failpoint {wanted!r}; there are: {', '.join(STEPS)}")

    def die(step: str) -> None:
        if step == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    arm(die)
