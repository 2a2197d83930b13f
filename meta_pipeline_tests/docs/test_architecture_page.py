"""docs/architecture.md names every room of the package, and no other."""

import re

from meta_pipeline_tests.architecture import FLOORS
from meta_pipeline_tests.docs.pages import ROOT, text_of


def test_every_room_has_its_line_and_every_line_its_room() -> None:
    table = text_of("docs/architecture.md").split("## Rooms\n", 1)[1].split("\n## ", 1)[0]
    first = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    named = re.findall(r"`([\w/.]+)`", first)
    assert [name for name in named if not (ROOT / "meta_pipeline" / name).exists()] == []
    rooms = {name.rstrip("/").removesuffix(".py") for name in named}
    assert set(FLOORS) - {"__main__"} <= rooms
