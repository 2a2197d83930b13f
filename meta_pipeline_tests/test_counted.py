"""A number and what it counts agree, on every surface."""

import re
from pathlib import Path

import numpy as np
import pytest

from meta_pipeline.counted import counted

SURFACES = ("report", "api", "cli", "orchestration")
FIXED_PLURAL = re.compile(
    r"\{[^{}]*(?::,|n_[a-z_]+|len\([^{}]*\))\} (?:[a-z]+ )?(?:days|runs|changes|regimes|periods|proposals|candidates|"
    r"configurations|outcomes|entries|pairs|trials|alerts|decisions|strategies|executors|policies|trades|anchors|hours|"
    r"checks|evaluations|units|parameters|editors|markets|splits|fills|predictions|prices|knobs)\b"
)
NEVER_ONE = {"{len(verdict.checks)} checks": "a model is put to a dozen of them"}
"""What is written after a number that is fixed in the code -> why it is never one."""


@pytest.mark.parametrize(
    ("number", "words", "written"),
    [
        (1, ("run",), "1 run"),
        (0, ("run",), "0 runs"),
        (2700, ("distinct run",), "2,700 distinct runs"),
        (np.int64(1), ("day",), "1 day"),
        (1.0, ("hour",), "1 hour"),
        (0.5, ("hour",), "0.5 hours"),
        (1, ("policy", "policies"), "1 policy"),
        (3, ("policy", "policies"), "3 policies"),
        (1, ("fill was", "fills were"), "1 fill was"),
    ],
)
def test_a_number_and_what_it_counts_agree(number: float, words: tuple[str, ...], written: str) -> None:
    assert counted(number, *words) == written


def test_no_surface_writes_a_fixed_plural_after_a_number() -> None:
    package = Path(__file__).parents[1] / "meta_pipeline"
    found = {
        f"{path.relative_to(package)}: {match.group()}"
        for surface in SURFACES
        for path in sorted((package / surface).rglob("*"))
        if path.suffix in {".py", ".html"}
        for match in FIXED_PLURAL.finditer(path.read_text(encoding="utf-8"))
        if match.group() not in NEVER_ONE
    }
    assert found == set(), "write counted(number, 'run')"


def test_a_fixed_plural_after_a_number_is_seen() -> None:
    for wrong in ("{report.n_days:,} days", "{len(found)} distinct runs", "{n_fills} fills"):
        assert FIXED_PLURAL.search(wrong), wrong
    assert not FIXED_PLURAL.search("{counted(len(found), 'run')} were made")
