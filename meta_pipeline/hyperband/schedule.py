"""What is to be done next, as a function of what was reported: nothing about a search's progress is stored.

Belongs here: which slots need a configuration, which evaluations can be made, whose way has ended. Does not belong
here: drawing, running, or writing any of it down.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from meta_pipeline.hyperband.brackets import Bracket
from meta_pipeline.hyperband.jobs import JobKey
from meta_pipeline.hyperband.ledger import End, Entry
from meta_pipeline.hyperband.promotion import best_first
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import LIVE, Slot

Entries = Mapping[Slot, Entry]


class Step(NamedTuple):
    """One evaluation that can be made: of which slot, from and to how many units."""

    slot: Slot
    r_from: int
    r_to: int

    @property
    def key(self) -> JobKey:
        """The job's."""
        return JobKey(self.slot, self.r_to)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One bracket of one iteration.

    Parameters
    ----------
    index
        Its place among all brackets of the search, from 0.
    """

    index: int
    iteration: int
    bracket: Bracket

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots it starts with."""
        return tuple(
            Slot(self.iteration, self.bracket.number, number) for number in range(self.bracket.rungs[0].configurations)
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What can be done now.

    Parameters
    ----------
    draw
        Slots of one bracket that need a configuration before anything else; LIVE alone for the live one.
    seen
        The rounds whose configurations these draws may learn from.
    steps
        Evaluations that can be made, the most urgent first; some may be running.
    ends
        Configurations whose way has ended, and not been told so.
    finished
        Whether all is done.
    """

    draw: tuple[Slot, ...] = ()
    seen: tuple[Round, ...] = ()
    steps: tuple[Step, ...] = ()
    ends: tuple[tuple[Slot, End], ...] = ()
    finished: bool = False


def rounds(settings: SearchSettings) -> tuple[Round, ...]:
    """List all brackets of all iterations, in order."""
    brackets = settings.hyperband.brackets
    return tuple(
        Round(index=iteration * len(brackets) + place, iteration=iteration, bracket=bracket)
        for iteration in range(settings.iterations)
        for place, bracket in enumerate(brackets)
    )


def plan(settings: SearchSettings, entries: Entries) -> Plan:
    """Say what can be done now."""
    if settings.live_config is not None and LIVE not in entries:
        return Plan(draw=(LIVE,))
    steps, ends = _of_live(settings, entries)
    if settings.promotion == "asha":
        return _asha_plan(settings, entries, steps, ends)
    oldest: int | None = None
    for round_ in rounds(settings):
        if oldest is not None and round_.index > oldest + settings.overlap:
            break
        if missing := tuple(slot for slot in round_.slots if slot not in entries):
            seen = rounds(settings)[: max(0, round_.index - settings.overlap)]
            # What is already known to be over is told along with it.
            return Plan(draw=missing, seen=seen, steps=tuple(steps), ends=tuple(ends))
        if all(entries[slot].end is not None for slot in round_.slots):
            continue  # judged before, from the same values
        now, over = _synchronous(settings, round_, entries)
        if now and oldest is None:
            oldest = round_.index
        steps += now
        ends += over
    return Plan(steps=tuple(steps), ends=tuple(ends), finished=not steps)


def rung_members(settings: SearchSettings, round_: Round, entries: Entries) -> Iterator[tuple[Slot, ...]]:
    """Yield who is in each rung of a bracket, from the first to the last that is known; all of them synchronous."""
    members: tuple[Slot, ...] = round_.slots
    last = len(round_.bracket.rungs) - 1
    for place, rung in enumerate(round_.bracket.rungs):
        yield members
        if place == last or any(slot not in entries or rung.resource not in entries[slot].rungs for slot in members):
            return
        found = {slot: entries[slot].rungs[rung.resource] for slot in members}
        order = best_first(found, settings.objectives, scored=_scored(settings, round_))
        members = tuple(sorted(order[: round_.bracket.rungs[place + 1].configurations]))


def _synchronous(
    settings: SearchSettings, round_: Round, entries: Entries
) -> tuple[list[Step], list[tuple[Slot, End]]]:
    """Return what a bracket can do now (nothing: it is finished), and whose way is over."""
    known = list(rung_members(settings, round_, entries))
    resources = round_.bracket.resources
    ends = []
    for below, above in pairwise(known):
        ends += [_out(entries[slot]) for slot in below if slot not in above]
    r_to = resources[len(known) - 1]
    r_from = resources[len(known) - 2] if len(known) > 1 else 0
    waiting = [slot for slot in known[-1] if r_to not in entries[slot].rungs]
    if not waiting:
        ends += [_out(entries[slot], at_top=True) for slot in known[-1]]
    open_ends = [(slot, end) for slot, end in ends if entries[slot].end is None]
    return [Step(slot, r_from, r_to) for slot in waiting], open_ends


def _asha_plan(settings: SearchSettings, entries: Entries, steps: list[Step], ends: list[tuple[Slot, End]]) -> Plan:
    """Look for work in the oldest bracket first; the next one begins when the ones before have none to give."""
    for round_ in rounds(settings):
        if missing := tuple(slot for slot in round_.slots if slot not in entries):
            if steps_to_start(steps, entries):
                break
            return Plan(draw=missing, seen=rounds(settings)[: round_.index], steps=tuple(steps), ends=tuple(ends))
        now = _asha(settings, round_, entries)
        steps += now
        if not now:
            over = (
                _out(entries[slot], at_top=settings.maximum_resource in entries[slot].rungs) for slot in round_.slots
            )
            ends += [(slot, end) for slot, end in over if entries[slot].end is None]
    return Plan(steps=tuple(steps), ends=tuple(ends), finished=not steps)


def steps_to_start(steps: list[Step], entries: Entries) -> bool:
    """Say whether any of these evaluations has not been begun by anybody."""
    return any(step.r_to not in entries[step.slot].leases for step in steps)


def _asha(settings: SearchSettings, round_: Round, entries: Entries) -> list[Step]:
    """Promote whoever is among the best 1/eta of those that are there, the highest rung first.

    Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, algorithm 2.
    """
    resources = round_.bracket.resources
    begun = [Step(slot, 0, resources[0]) for slot in round_.slots if resources[0] not in entries[slot].rungs]
    promoted: list[Step] = []
    for below, above in pairwise(resources):
        found = {slot: entries[slot].rungs[below] for slot in round_.slots if below in entries[slot].rungs}
        order = best_first(found, settings.objectives, scored=_scored(settings, round_))
        best = order[: len(found) // settings.eta]
        # Who was once promoted stays so, even if the others have overtaken: its evaluation is under way.
        going = [slot for slot in order if slot in best or above in entries[slot].leases]
        promoted = [Step(slot, below, above) for slot in going if above not in entries[slot].rungs] + promoted
    return promoted + begun


def _of_live(settings: SearchSettings, entries: Entries) -> tuple[list[Step], list[tuple[Slot, End]]]:
    entry = entries.get(LIVE)
    if entry is None:
        return [], []
    if settings.maximum_resource not in entry.rungs:
        return [Step(LIVE, 0, settings.maximum_resource)], []
    return [], [_out(entry, at_top=True)] if entry.end is None else []


def _out(entry: Entry, *, at_top: bool = False) -> tuple[Slot, End]:
    if entry.last is not None and entry.last.error is not None:
        return entry.slot, End.FAIL
    return entry.slot, End.COMPLETE if at_top else End.PRUNED


def _scored(settings: SearchSettings, round_: Round) -> int:
    """Count the configurations that were drawn up to and with a bracket."""
    return sum(before.bracket.rungs[0].configurations for before in rounds(settings)[: round_.index + 1])
