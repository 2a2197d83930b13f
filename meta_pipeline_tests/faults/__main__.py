"""`make test-faults`: the whole matrix, every step and every fault; then long random sequences; written down.

Prints what became of each step under each fault, and writes docs/reliability.md. Exit code 1 if anything failed.
"""

import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meta_pipeline import failpoints
from meta_pipeline_tests.faults import document
from meta_pipeline_tests.faults.acts import ACTS
from meta_pipeline_tests.faults.injection import COMMIT, FAULTS, Site, inject, steps_of
from meta_pipeline_tests.faults.interleaved import break_rules, play
from meta_pipeline_tests.faults.judged_service import reset
from meta_pipeline_tests.faults.sites import own_site, prepared

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
AFTER_COMMIT: Final = "answer to COMMIT lost"
EXAMPLES: Final = 30
STEPS: Final = 40


def matrix(site: Site) -> Iterator[document.Cell]:
    """Do every fault at every step of every act, and yield what came of each."""
    for act in ACTS.values():
        reset(site.database)  # what is checked after each fault is all there is, so begin with little
        prepared(site.database)
        steps = steps_of(site.database, act, name=f"steps of {act.name}")
        cells = [(step, fault) for step in steps for fault in FAULTS if fault != AFTER_COMMIT]
        for number, (step, fault) in enumerate([*cells, (COMMIT, AFTER_COMMIT)]):
            try:
                outcome, failed = inject(site, act, step, fault, name=f"{act.name} {number}"), False
            except Exception as error:
                traceback.print_exc()
                outcome, failed = f"FAILED: {type(error).__name__}: {error}".splitlines()[0][:160], True
            yield document.Cell(act=act.name, step=step, fault=fault, outcome=outcome, failed=failed)


def main() -> int:
    """Run everything; return the exit code."""
    began, started = datetime.now(UTC), time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-faults-"))
    cells: list[document.Cell] = []
    try:
        with own_site(home) as site:
            rules = list(break_rules(site.database))
            for rule in rules:
                sys.stdout.write(f"broken on purpose: {rule.name:<36} -> {rule.told}\n")
            for cell in matrix(site):
                cells.append(cell)
                sys.stdout.write(f"{cell.act:<12} {cell.step:<18} {cell.fault:<24} -> {cell.outcome}\n")
                sys.stdout.flush()
            sequences = play(site.database, examples=EXAMPLES, steps=STEPS)
            sys.stdout.write(f"random sequences: {sequences.sequences} of up to {STEPS} acts, {sequences.acts} acts\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    missing = set(failpoints.STEPS) - {cell.step for cell in cells}
    failed = sum(cell.failed for cell in cells) + len(missing) + sum(not rule.noticed for rule in rules)
    DOCUMENT.write_text(
        document.text(cells, sequences, rules, began=began, seconds=time.monotonic() - started), encoding="utf-8"
    )
    counted = Counter(cell.outcome for cell in cells)
    for outcome, count in sorted(counted.items()):
        sys.stdout.write(f"{count:5d}  {outcome}\n")
    sys.stdout.write(
        f"{len(cells)} faults, {failed} failed{f', never reached: {sorted(missing)}' if missing else ''}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
