"""`make test-faults`: faults at named steps, random sequences, rules broken on purpose; what came of each.

A deep run does every fault at every step and writes docs/reliability.md; a quick one kills the process at every step,
does each other fault once per act, and writes nothing. Two processes at once, each with a server of its own. Exit code
1 if anything failed, or was not done within the time.
"""

import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meta_pipeline import failpoints
from meta_pipeline_tests.faults import document
from meta_pipeline_tests.faults.acts import ACTS
from meta_pipeline_tests.faults.injection import COMMIT, FAULTS, Site, inject, steps_of
from meta_pipeline_tests.faults.interleaved import QUICK, BrokenRule, Played, break_rules, play
from meta_pipeline_tests.faults.mutations import MUTATIONS
from meta_pipeline_tests.faults.on_record import reset
from meta_pipeline_tests.faults.sites import own_site, prepared
from meta_pipeline_tests.store.processes import context

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
AFTER_COMMIT: Final = "answer to COMMIT lost"
KILLED: Final = "process killed"
SHARES: Final = (
    ("approve", "reject", "apply", "revert", "batch's outcome"),
    ("batch", "outcome", "auto-revert", "batch's auto-revert"),
)
"""The acts, in two shares of about the same work."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much is done."""

    every_fault: bool
    sequences: int
    steps: int
    rules: tuple[str, ...]


DEPTHS: Final = {
    "quick": Depth(every_fault=False, sequences=10, steps=30, rules=QUICK),
    "deep": Depth(every_fault=True, sequences=60, steps=40, rules=tuple(MUTATIONS)),
}


def cells_of(act: str, steps: list[str], depth: Depth) -> Iterator[tuple[str, str]]:
    """Yield the faults that are done to an act, each with its step."""
    in_transaction = [step for step in steps if not step.endswith(".committed")]
    for fault in FAULTS:
        if fault == AFTER_COMMIT:
            # An outcome that is reverted by itself has committed before, when it was judged.
            yield COMMIT, fault
        elif depth.every_fault or fault == KILLED:
            yield from ((step, fault) for step in steps)
        else:
            yield in_transaction[-1 - len(act) % 2], fault


def matrix(acts: tuple[str, ...], depth: Depth, until: float) -> list[document.Cell]:
    """Do faults at the steps of acts on a server of one's own; return what came of each."""
    found: list[document.Cell] = []
    with _site() as site:
        for name in acts:
            reset(site.database)  # what is checked after each fault is all there is, so begin with little
            prepared(site.database)
            steps = steps_of(site.database, ACTS[name], name=f"steps of {name}")
            for number, (step, fault) in enumerate(cells_of(name, steps, depth)):
                cell = _cell(site, name, step, fault, f"{name} {number}", until)
                _say(f"{cell.act:<12} {cell.step:<18} {cell.fault:<24} -> {cell.outcome}")
                found.append(cell)
    return found


def broken_rules(depth: Depth) -> list[BrokenRule]:
    """Break rules on purpose, one after the other, and see whether the sequences notice."""
    rules = []
    with _site() as site:
        for rule in break_rules(site.database, depth.rules):
            _say(f"broken on purpose: {rule.name:<44} -> {document.verdict(rule)}")
            rules.append(rule)
    return rules


def sequences(depth: Depth) -> Played:
    """Play random sequences with all rules in force."""
    with _site() as site:
        played = play(site.database, examples=depth.sequences, steps=depth.steps)
    _say(f"random sequences: {played.sequences}, with {played.acts} acts")
    return played


def _cell(site: Site, act: str, step: str, fault: str, name: str, until: float) -> document.Cell:
    if time.time() > until:
        return document.Cell(act=act, step=step, fault=fault, outcome="NOT DONE: out of time", failed=True)
    try:
        outcome, failed = inject(site, ACTS[act], step, fault, name=name), False
    except Exception as error:
        traceback.print_exc()
        outcome, failed = f"FAILED: {type(error).__name__}: {error}".splitlines()[0][:160], True
    return document.Cell(act=act, step=step, fault=fault, outcome=outcome, failed=failed)


@contextmanager
def _site() -> Iterator[Site]:
    """Open a server of one's own in a folder that is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-faults-"))
    try:
        with own_site(home) as site:
            yield site
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(name: str, *, minutes: float) -> int:
    """Run everything to a depth; return the exit code."""
    depth, began, started = DEPTHS[name], datetime.now(UTC), time.time()
    until = started + 60 * minutes
    with ProcessPoolExecutor(max_workers=2, mp_context=context()) as pool:
        first = pool.submit(matrix, SHARES[0], depth, until)
        second = pool.submit(matrix, SHARES[1], depth, until)
        third, fourth = pool.submit(broken_rules, depth), pool.submit(sequences, depth)
        cells = [*first.result(), *second.result()]
        rules, played = third.result(), fourth.result()
    found = document.Found(
        cells=tuple(cells),
        played=played,
        rules=tuple(rules),
        began=began,
        minutes=minutes,
        seconds=time.time() - started,
        processors=os.cpu_count() or 1,
        load=os.getloadavg()[1],
    )
    missing = sorted(set(failpoints.STEPS) - {cell.step for cell in cells})
    for outcome, count in sorted(Counter(cell.outcome for cell in cells).items()):
        _say(f"{count:5d}  {outcome}")
    failed = sum(cell.failed for cell in cells) + len(missing) + sum(not rule.noticed for rule in rules)
    never = f", never reached: {missing}" if missing else ""
    _say(f"{document.summary(found)}{never}")
    if depth.every_fault:
        DOCUMENT.write_text(document.text(found), encoding="utf-8")
        _say(f"written: {DOCUMENT.relative_to(Path.cwd())}")
    return 1 if failed or found.seconds > 60 * minutes else 0
