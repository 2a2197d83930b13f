"""docs/reliability.md, from what was found. The same findings give the same text."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from meta_pipeline_tests.faults.injection import FAULTS
from meta_pipeline_tests.faults.interleaved import BrokenRule, Played

MINUTES: Final = 10.0
"""How long a run may take on two processors of its own."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one step of one act, and what came of it."""

    act: str
    step: str
    fault: str
    outcome: str
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that a run has found.

    Parameters
    ----------
    minutes
        How long it might take.
    seconds, processors, load
        How long it took, on how many processors, and how many processes wanted one at its end (the load average of
        five minutes): above that of an idle machine others ran beside it.
    """

    cells: tuple[Cell, ...]
    played: Played
    rules: tuple[BrokenRule, ...]
    began: datetime
    minutes: float
    seconds: float
    processors: int
    load: float


def summary(found: Found) -> str:
    """Return what was found in one sentence."""
    cells, played, rules = found.cells, found.played, found.rules
    steps, acts = {cell.step for cell in cells}, {cell.act for cell in cells}
    return (
        f"{len(cells)} faults at {len(steps)} steps of {len(acts)} acts: {sum(cell.failed for cell in cells)} failed. "
        f"{played.sequences} random sequences of {played.acts} acts ({played.applied} changes applied, "
        f"{played.reverted} reverted, {played.refused} acts refused): every answer as the rules have it. "
        f"{sum(rule.noticed for rule in rules)} of {len(rules)} rules broken on purpose were noticed."
    )


def verdict(rule: BrokenRule) -> str:
    """Return in words whether a broken rule was noticed, and by what."""
    if not rule.noticed:
        return f"NOT NOTICED in {rule.sequences} sequences"
    return f"noticed by sequence {rule.sequences}: {rule.told}"


def text(found: Found) -> str:
    """Return the whole document."""
    cells = found.cells
    codes = _codes(cells)
    counted = Counter(cell.outcome for cell in cells)
    lines = [
        *_INTRODUCTION.splitlines(),
        "",
        _written(found),
        "",
        *_READING.splitlines(),
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
        *_RACES.splitlines(),
        "",
        "## Random sequences",
        "",
        *_SEQUENCES.splitlines(),
        "",
        "| rule broken on purpose | noticed by sequence | by |",
        "|---|---|---|",
        *(
            f"| {rule.name} | {rule.sequences if rule.noticed else 'NOT NOTICED'} | {rule.told} |"
            for rule in found.rules
        ),
        "",
        *_LIMITS.splitlines(),
    ]
    return "\n".join(lines) + "\n"


def prose() -> tuple[str, ...]:
    """Return the parts of the document that are the same whatever is found."""
    return _INTRODUCTION, _READING, _FAULTS, _RACES, _SEQUENCES, _LIMITS


def _written(found: Found) -> str:
    longer = "" if found.minutes == MINUTES else f" MINUTES={found.minutes:g}"
    said = (
        f"`make test-faults{longer}` wrote this page on {found.began:%Y-%m-%d}, in {found.seconds / 60:.1f} minutes "
        f"on {found.processors} processors with a load of {found.load:.1f}. {summary(found)}"
    )
    return textwrap.fill(said, width=116, break_long_words=False, break_on_hyphens=False)


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

May a change of a live configuration be half done, done twice, done without its approval, or done and not on record?
Here that is tried: each named step of deciding, applying, reverting, judging outcomes and reverting by itself, of one
change and of several applied together, is interrupted, in a real process on a real PostgreSQL. After each fault it
is checked that configuration, change log, statuses and audit log agree, that the audit chain verifies and still holds
the entry that was its head before, and that a retry ends in exactly one change with the true previous value; a
further retry writes nothing at all. Then people and machines do whatever they like, in random order, and every answer
is held against the rules."""

_READING: Final = """\
`make test-faults` does all of it. It exits with 1 if anything failed, or was not done after ten minutes
(`MINUTES=30`, say, where other work has the processors). `make test-faults DEPTH=quick` kills the process at every
step, does each other fault once per act, plays fewer sequences, and writes no page. The test suite does a share of
it on every commit."""

_FAULTS: Final = """\
An empty cell: the fault cannot be done at that step.

- **process killed**: SIGKILL at the step. Of a batch, transactions committed before it stay.
- **connection cut**: the server ends the process's session; the process goes on, and must not claim what is not so.
- **server killed**: SIGKILL of PostgreSQL, which then recovers from its write-ahead log.
- **server restarted**: an orderly restart in the middle of the transaction.
- **process frozen, a rival**: SIGSTOP; another process does the same meanwhile; SIGCONT.
- **answer to COMMIT lost**: the server has committed, and the session ends before it can say so.

A failpoint is one comparison with None in production. The steps are `meta_pipeline.failpoints.STEPS`; a new one is
covered by itself, and one that no act passes fails. The suite kills the process at every step
(`meta_pipeline_tests/faults/test_crash_matrix.py`) and does the other faults at a few."""

_RACES: Final = """\
## Races

Real processes that start at the same moment, or of which one stands at a named step, run by the suite
(`store/test_governance_races.py`, `store/test_audit.py`, `faults/test_freeze_races.py`, `faults/test_role_races.py`).
Whoever wins, this is left:

| race | what is left |
|---|---|
| 24 apply one proposal | one applied it; 23 hear "already applied", with the id of the same change |
| approve against reject | rejected; every decision that was made is on record |
| approve against edit | approved as it was read, or refused as that content is no more |
| apply against edits | exactly the content that was approved |
| two applies on one strategy | one applied; the other is stale, and names the change that moved the configuration |
| revert against a newer apply on the same key | one of the two; the other is refused, and says why |
| four revert one change | one reverted it; three hear "already reverted" |
| eight write the audit log | one unbroken chain |
| a freeze, or the kill file, against an apply whose checks had passed | refused; of a batch only what it stops |
| a freeze against an apply past its last look | applied and committed before the freeze returns |
| a freeze against an apply that hangs there | undone: the server ends a silent session after 20 s (0.3 in the test) |
| a lower limit against an apply that is under way | applied; the limit returns after it, and holds from then on |
| the first operator is named against an apply, batch or revert whose checks had passed | refused; nothing is written |
| the first operator is named against an apply past its last look | applied and committed before the naming returns |
| four make themselves the first operator | one is it; three are refused |"""

_SEQUENCES: Final = """\
Four people and the machine propose, edit, approve (signed or not), reject, withdraw, rehearse, apply one or all,
revert, freeze, lift freezes, give and take roles, revoke keys, set limits and declare knobs anew; time passes. Three
choices in four are likely ones, the others anything. Beside the database runs a model of the rules in memory, which
calls nothing of the service (`faults/expected_world.py`, `expected_acts.py`). For every act it
foretells the answer, the kind of the error included: what is not allowed has to be refused, and what is allowed
must not be. After every act every live configuration is the fold of the changes in force, every status, every
change with its true previous value, and the audit entries written are those foretold; after every sequence the
invariants of `store/invariants.py` hold, the chain's among them.

So that this shows something, rules of the service are broken on purpose, one at a time, and the sequences have to
notice each, within 300; they begin anew each time, and stop at the first answer that is not as foretold. A refusal
for another reason than the one foretold is such an answer too."""

_LIMITS: Final = """\
## What this does not show

- **Power cuts.** The servers run with fsync off; what a disk does that lies about flushing is not tested here.
- **Faults between steps.** A statement and the COMMIT itself are covered by `store/test_governance_crash.py`, which
  holds the transaction in a trigger and kills the process there; a fault inside a statement is PostgreSQL's to undo.
- **Two faults at once.**
- **Rules outside the sequences.** They judge no outcomes, set no tiers, and do nothing by automation or by
  experiments; the outcomes are in the matrix, the others have tests of their own. A rule that both the service and
  its model get wrong in the same way is not noticed.
- **Rows changed by hand.** What of that is noticed is in [governance.md](governance.md), and tested by
  `store/test_governance_malice.py`."""
