"""Where a configuration stands in a search: the slot that names it for good."""

from typing import Final, NamedTuple


class Slot(NamedTuple):
    """Iteration, Hyperband's s of the bracket, and the number within the bracket; all from zero."""

    iteration: int
    bracket: int
    number: int

    def __str__(self) -> str:
        return "live" if self == LIVE else f"{self.iteration}.{self.bracket}.{self.number}"


LIVE: Final = Slot(-1, 0, 0)
"""The live configuration's: it is in no bracket, gets all of R at once, and is never sampled from."""
