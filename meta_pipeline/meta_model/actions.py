"""The three actions, their order, and their codes.

The order SELL, HOLD, BUY is the order of the classes, of the one-hot features and of every array of
probabilities in this package.
"""

from typing import Final

ACTIONS: Final[tuple[str, str, str]] = ("SELL", "HOLD", "BUY")
"""Names of the actions; the index of a name is its code."""

SELL: Final = 0
HOLD: Final = 1
BUY: Final = 2

ABSENT_VOTE: Final = -1
"""Code of a base model that did not vote, or whose vote was rejected. Not the same as a vote for HOLD."""

ACTION_CODES: Final = {name: code for code, name in enumerate(ACTIONS)}


def action_code(text: str) -> int | None:
    """Return the code of an action's name, whatever its case and surrounding space; None if there is no such action."""
    return ACTION_CODES.get(text.strip().upper())
