"""What the doctor says of one thing: OK, WARN or FAIL, with what mends it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from meta_pipeline.canonical import JsonValue

Level: TypeAlias = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found about one thing.

    Parameters
    ----------
    mend
        What to do; empty if it is OK.
    """

    what: str
    level: Level
    text: str
    mend: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the diagnosis as a JSON object."""
        return {"what": self.what, "level": self.level, "text": self.text, "mend": self.mend}
