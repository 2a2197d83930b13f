"""The assets, one per file: call a stage, write through the store, return what a person wants to see."""

from typing import Final

GROUP: Final = "loop"
"""One group for all: the UI draws a single group open, and the loop is short enough to be seen whole."""
