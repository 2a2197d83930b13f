"""docs/reliability.md, from what was found. The same findings give the same text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from meta_pipeline_tests.faults.injection import FAULTS
from meta_pipeline_tests.faults.interleaved import BrokenRule, Played


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one step of one act, and what came of it."""

    act: str
    step: str
    fault: str
    outcome: str
    failed: bool


def text(cells: Sequence[Cell], played: Played, rules: Sequence[BrokenRule], *, began: datetime, seconds: float) -> str:
    """Return the whole document."""
    codes = _codes(cells)
    counted = Counter(cell.outcome for cell in cells)
    lines = [
        *_INTRODUCTION.splitlines(),
        "",
        _summary(cells, played, rules, began=began, seconds=seconds),
        "",
        "## What became of each fault",
        "",
        "| | outcome | faults |",
        "|---|---|---|",
        *(f"| {codes[outcome]} | {outcome} | {counted[outcome]} |" for outcome in codes),
        "",
        "## The matrix",
        "",
        f"| act | step | {' | '.join(FAULTS)} |",
        f"|---|---|{'---|' * len(FAULTS)}",
        *_rows(cells, codes),
        "",
        *_FAULTS.splitlines(),
        "",
        "## Random sequences",
        "",
        *_SEQUENCES.splitlines(),
        "",
        "| rule broken on purpose | the sequences |",
        "|---|---|",
        *(f"| {rule.name} | {rule.told} |" for rule in rules),
        "",
        *_LIMITS.splitlines(),
    ]
    return "\n".join(lines) + "\n"


def _summary(
    cells: Sequence[Cell], played: Played, rules: Sequence[BrokenRule], *, began: datetime, seconds: float
) -> str:
    steps, acts = {cell.step for cell in cells}, {cell.act for cell in cells}
    return (
        f"`make test-faults` wrote this page on {began:%Y-%m-%d}, in {seconds / 60:.0f} minutes: {len(cells)} faults "
        f"at {len(steps)} steps of {len(acts)} acts, **{sum(cell.failed for cell in cells)} failed**; "
        f"{played.sequences} random sequences with {played.acts} acts, no invariant broken; "
        f"{sum(rule.noticed for rule in rules)} of {len(rules)} rules broken on purpose noticed."
    )


def _codes(cells: Sequence[Cell]) -> dict[str, str]:
    outcomes = sorted({cell.outcome for cell in cells})
    return {outcome: chr(ord("A") + number) for number, outcome in enumerate(outcomes)}


def _rows(cells: Sequence[Cell], codes: dict[str, str]) -> list[str]:
    found = {(cell.act, cell.step, cell.fault): codes[cell.outcome] for cell in cells}
    places = dict.fromkeys((cell.act, cell.step) for cell in cells)
    return [
        f"| {act} | `{step}` | {' | '.join(found.get((act, step, fault), '') for fault in FAULTS)} |"
        for act, step in places
    ]


_INTRODUCTION: Final = """\
# Reliability: what was broken, and what held

Every named step of deciding, applying (alone and in batches), reverting, judging outcomes and reverting by itself is
interrupted, in a real process on a real PostgreSQL. After each fault it is checked that configuration, change log,
statuses and audit log agree, that the audit chain verifies and still holds the entry that was its head before, and that
a retry ends in exactly one change with the true previous value; a further retry writes nothing at all."""

_FAULTS: Final = """\
- **process killed**: SIGKILL at the step. Of a batch, transactions committed before it stay.
- **connection cut**: the server ends the process's session; the process goes on, and must not claim what is not so.
- **server killed**: SIGKILL of PostgreSQL, which then recovers from its write-ahead log.
- **server restarted**: an orderly restart in the middle of the transaction.
- **process frozen, a rival**: SIGSTOP; another process does the same meanwhile; SIGCONT.
- **answer to COMMIT lost**: the server has committed, and the session ends before it can say so.

A failpoint is one comparison with None in production. The steps are `meta_pipeline.failpoints.STEPS`; a new one is
covered by itself, and one that no act passes fails. The suite kills the process at every step
(`meta_pipeline_tests/faults/test_crash_matrix.py`) and does the other faults at a few."""

_SEQUENCES: Final = """\
People and machines propose, edit, approve, reject, withdraw, apply, revert, freeze, lift freezes, join and leave the
list, give and take roles; time passes. After every act: the live configuration is the declared one with the applied
changes folded in; one change per proposal; nobody approved what they wrote; the chain verifies. Of every apply: no
freeze that it is not exempt from, an approval that had not lapsed, an approver on the list, a role that allows it. So
that this shows something, rules are broken on purpose, and the sequences have to notice."""

_LIMITS: Final = """\
## What this does not show

- **Power cuts.** The servers run with fsync off; what a disk does that lies about flushing is not tested here.
- **Faults between steps.** A statement and the COMMIT itself are covered by `store/test_governance_crash.py`, which
  holds the transaction in a trigger and kills the process there; a fault inside a statement is PostgreSQL's to undo.
- **Two faults at once.**"""
