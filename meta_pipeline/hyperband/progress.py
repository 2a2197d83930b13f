"""How far a search is, as one record that bars, logs and tables show."""

from collections.abc import Mapping
from dataclasses import dataclass

from meta_pipeline.hyperband.ledger import Entry
from meta_pipeline.hyperband.promotion import answer_first
from meta_pipeline.hyperband.schedule import rounds
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import LIVE, Slot


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is.

    Parameters
    ----------
    evaluations, evaluations_planned
        Rung values reported, and those of all brackets. Failures end early, so that fewer may be made.
    units, units_planned
        Units of the resource behind them, when what is promoted goes on from where it was.
    failures
        Configurations that could not be evaluated.
    iteration, bracket, rung
        Where the work is, that is the newest value's place: iteration from 0, Hyperband's s, units; None before.
    at_top
        Configurations that have all of R.
    best
        The best of those with all of R; of the highest resource there is, before any has. None before any value.
    best_value
        Its value.
    best_resource
        Its units.
    cpu_seconds
        Processor time spent, as far as it was measured.
    """

    evaluations: int
    evaluations_planned: int
    units: int
    units_planned: int
    failures: int
    iteration: int | None
    bracket: int | None
    rung: int | None
    at_top: int
    best: Slot | None
    best_value: float | None
    best_resource: int | None
    cpu_seconds: float

    @property
    def finished_share(self) -> float:
        """Share of the planned units that is done, 0 to 1."""
        return self.units / self.units_planned


def progress_of(
    settings: SearchSettings, entries: Mapping[Slot, Entry], newest: tuple[Slot, int] | None = None
) -> Progress:
    """Say how far a search is."""
    searched = [entry for slot, entry in entries.items() if slot != LIVE]
    top = max((entry.highest for entry in searched), default=0)
    at_top = {entry.slot: entry.rungs[top] for entry in searched if top and top in entry.rungs}
    order = answer_first(at_top, settings.objectives, scored=len(searched))
    all_rounds = rounds(settings)
    return Progress(
        evaluations=sum(len(entry.rungs) for entry in searched),
        evaluations_planned=settings.iterations * settings.hyperband.evaluations,
        units=sum(entry.highest for entry in searched),
        units_planned=sum(round_.bracket.units_resumed for round_ in all_rounds),
        failures=sum(entry.last is not None and entry.last.error is not None for entry in searched),
        iteration=newest[0].iteration if newest else None,
        bracket=newest[0].bracket if newest else None,
        rung=newest[1] if newest else None,
        at_top=sum(settings.maximum_resource in entry.rungs for entry in searched),
        best=order[0] if order else None,
        best_value=at_top[order[0]].value if order else None,
        best_resource=top if order else None,
        cpu_seconds=sum(rung.cpu_seconds or 0.0 for entry in entries.values() for rung in entry.rungs.values()),
    )
