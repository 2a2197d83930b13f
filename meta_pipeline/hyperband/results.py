"""What a search found: the configurations that had everything, the best first, and the history of all evaluations.

Belongs here: the answer as records and JSON, under the names that the predecessor documented (`top_configs`,
`optimization_history`). Whether the best of them may be believed is not said here: that is what the gates are for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from meta_pipeline.canonical import JsonValue
from meta_pipeline.hyperband.ledger import Entry, RungValue, ledger_digest
from meta_pipeline.hyperband.progress import Progress, progress_of
from meta_pipeline.hyperband.promotion import answer_first
from meta_pipeline.hyperband.search_settings import SearchSettings
from meta_pipeline.hyperband.slots import LIVE, Slot


@dataclass(frozen=True, kw_only=True)
class TopConfig:
    """One configuration with all of R.

    Parameters
    ----------
    rank
        From 1, the best.
    entry
        As the ledger has it.
    result
        What it came to at R.
    improvement
        Its value beside the live configuration's on the same days, as a share of the latter's size; None without one.
    """

    rank: int
    entry: Entry
    result: RungValue
    improvement: float | None

    @property
    def is_feasible(self) -> bool:
        """Whether it breaks no constraint."""
        return self.result.violation == 0

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return {
            "rank": self.rank,
            "slot": str(self.entry.slot),
            "config": dict(self.entry.config),
            "value": number(self.result.value),
            "feasible": self.is_feasible,
            "improvement": self.improvement,
            "metrics": dict(self.result.metrics),
            "constraints": {name: number(figure) for name, figure in self.result.constraints.items()},
        }


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search has found so far.

    Parameters
    ----------
    settings
        The search.
    progress
        How far it is.
    top
        The configurations with all of R, the best first. Lower rungs are never compared with them.
    live
        What the live configuration came to at R; None without one.
    candidate
        The best feasible one, if it is better than the live one by `min_improvement` at least. It is the one to
        be put before the gates, and no winner before it has passed them.
    reason
        Why there is no candidate; None if there is one.
    digest
        Of the whole ledger.
    entries
        All configurations.
    """

    settings: SearchSettings
    progress: Progress
    top: tuple[TopConfig, ...]
    live: RungValue | None
    candidate: TopConfig | None
    reason: str | None
    digest: str
    entries: Mapping[Slot, Entry]

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it is left to be done."""
        return (
            self.progress.evaluations > 0
            and all(entry.end is not None for entry in self.entries.values())
            and (
                len([slot for slot in self.entries if slot != LIVE])
                == self.settings.iterations * self.settings.hyperband.configurations
            )
        )

    def history(self) -> list[dict[str, JsonValue]]:
        """Return every evaluation, in the order of the brackets."""
        return [
            {
                "slot": str(slot),
                "iteration": slot.iteration,
                "bracket": slot.bracket,
                "number": slot.number,
                "resource": r,
                "value": number(rung.value),
                "config": dict(entry.config),
                "metrics": dict(rung.metrics),
                "constraints": {name: number(figure) for name, figure in rung.constraints.items()},
                "error": rung.error,
                "cpu_seconds": rung.cpu_seconds,
            }
            for slot, entry in sorted(self.entries.items(), key=_in_order)
            for r, rung in sorted(entry.rungs.items())
        ]

    def to_json(self, *, history: bool = False) -> dict[str, JsonValue]:
        """Return the result as JSON, on request with every evaluation."""
        brief: dict[str, JsonValue] = {
            "search": self.settings.name,
            "finished": self.is_finished,
            "deterministic": self.settings.is_deterministic,
            "digest": self.digest,
            "configurations": len([slot for slot in self.entries if slot != LIVE]),
            "evaluations": self.progress.evaluations,
            "evaluations_planned": self.progress.evaluations_planned,
            "units": self.progress.units,
            "units_planned": self.progress.units_planned,
            "failures": self.progress.failures,
            "cpu_seconds": round(self.progress.cpu_seconds, 3),
            "live_value": None if self.live is None else number(self.live.value),
            "candidate": None if self.candidate is None else self.candidate.to_json(),
            "reason": self.reason,
            "top_configs": [top.to_json() for top in self.top],
            "settings": self.settings.to_json(),
        }
        return {**brief, "optimization_history": self.history()} if history else brief


def _in_order(item: tuple[Slot, Entry]) -> tuple[int, int, int]:
    slot = item[0]
    return slot.iteration, -slot.bracket, slot.number


def result_of(settings: SearchSettings, entries: Mapping[Slot, Entry]) -> SearchResult:
    """Read the answer off a ledger's entries, whether the search is finished or not."""
    r = settings.maximum_resource
    searched = {slot: entry for slot, entry in entries.items() if slot != LIVE}
    at_top = {slot: entry.rungs[r] for slot, entry in searched.items() if r in entry.rungs}
    live = entries[LIVE].rungs.get(r) if LIVE in entries else None
    order = answer_first(at_top, settings.objectives, scored=len(searched))
    top = tuple(
        TopConfig(rank=rank, entry=entries[slot], result=at_top[slot], improvement=improvement(at_top[slot], live))
        for rank, slot in enumerate(order, start=1)
    )
    candidate, reason = _candidate(settings, top, live)
    return SearchResult(
        settings=settings,
        progress=progress_of(settings, entries),
        top=top,
        live=live,
        candidate=candidate,
        reason=reason,
        digest=ledger_digest(entries),
        entries=entries,
    )


def improvement(result: RungValue, live: RungValue | None) -> float | None:
    """Return by how much a value is above the live one's, as a share of the latter's size.

    None where there is no live value, or none to be a share of.
    """
    if live is None or live.error is not None or not math.isfinite(live.value) or not math.isfinite(result.value):
        return None
    if live.value == 0:
        return None
    return (result.value - live.value) / abs(live.value)


def _candidate(
    settings: SearchSettings, top: tuple[TopConfig, ...], live: RungValue | None
) -> tuple[TopConfig | None, str | None]:
    if not top:
        return None, "no configuration has had the whole resource yet"
    best = top[0]
    if not best.is_feasible:
        broken = sorted(name for name, figure in best.result.constraints.items() if figure > 0)
        return None, f"none of {len(top)} is viable; the best breaks {', '.join(broken)}"
    if not math.isfinite(best.result.value):
        return None, "the best one's value is minus infinity"
    if settings.live_config is not None:
        return _beside_live(settings, best, live)
    return best, None


def _beside_live(
    settings: SearchSettings, best: TopConfig, live: RungValue | None
) -> tuple[TopConfig | None, str | None]:
    if live is None or live.error is not None:
        why = "has not been evaluated" if live is None else f"cannot be evaluated: {live.error}"
        return None, f"the live configuration {why}, so that nothing can be said to be better"
    # Beside a live value of zero there is no share: any more is an improvement.
    needed = settings.min_improvement * abs(live.value)
    gain = best.result.value - live.value
    if gain <= 0 or gain < needed:
        return None, (
            f"the best value {best.result.value:.4g} is not {settings.min_improvement:.0%} above the live "
            f"configuration's {live.value:.4g} on the same days"
        )
    return best, None


def number(value: float) -> float | None:
    """Return a finite number, or None: JSON and the database have no infinities."""
    return value if math.isfinite(value) else None
