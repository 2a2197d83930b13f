"""Judging the best of a search: the evidence gathered, the holdout opened at most once, the verdict kept.

Belongs here: what the gates need from ledgers, checkpoints and earlier looks, and the one transaction that opens a
holdout. The gates themselves are `hyperband.verdict`.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select, text, update

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import Blocked, Conflict
from meta_pipeline.hyperband.checkpoints import CheckpointStore
from meta_pipeline.hyperband.holdout import Opening, earlier_looks
from meta_pipeline.hyperband.judging import Contest, Judgeable, judge
from meta_pipeline.hyperband.ledger import Entry, Ledger, open_existing, searches
from meta_pipeline.hyperband.results import SearchResult
from meta_pipeline.hyperband.slots import LIVE, Slot
from meta_pipeline.hyperband.verdict import Thresholds
from meta_pipeline.store import search
from meta_pipeline.store.schema_search import holdout_openings
from meta_pipeline.store.schema_search import searches as search_rows

if TYPE_CHECKING:
    from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
    from meta_pipeline.store.database import Database
    from meta_pipeline.store.search_ledgers import SearchPlace

_SCOPE: Final = "scope"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a search trades, and the holdout it must not see.

    Parameters
    ----------
    name
        Strategy and symbols. Other settings are not other data, and do not make a holdout new.
    as_of
        Day of the newest bar.
    first_day, last_day
        Of the holdout.
    """

    name: str
    as_of: date
    first_day: date
    last_day: date


def scope_of(evaluator: "ForestEvaluator") -> Scope:
    """Return what the four-model strategy trades, from its bars."""
    times = evaluator.data.holdout.times.astype("datetime64[D]")
    newest = max(series.times[-1] for series in evaluator.bars).astype("datetime64[D]")
    first, last, as_of = (day.astype(date) for day in (times[0], times[-1], newest))
    name = scope_name(series.symbol for series in evaluator.bars)
    return Scope(name=name, as_of=as_of, first_day=first, last_day=last)


def scope_name(symbols: Iterable[str]) -> str:
    """Return the name of what the four-model strategy trades."""
    return f"four forests: {','.join(sorted(symbols))}"


def declare_scope(ledger: Ledger, name: str) -> None:
    """Write into a search's study what it trades, so that its configurations count in every later search's trials."""
    if ledger.study.user_attrs.get(_SCOPE) != name:
        ledger.study.set_user_attr(_SCOPE, name)


def judge_search(
    database: "Database",
    place: "SearchPlace",
    evaluator: Judgeable,
    result: SearchResult,
    *,
    scope: Scope,
    actor: str,
    now: datetime,
    thresholds: Thresholds | None = None,
) -> dict[str, JsonValue] | None:
    """Judge the best configuration of a finished search; return the verdict as JSON, None if nothing can be judged.

    A configuration that is no candidate (not viable, or not better than the live one) is judged as well, so that one
    sees how far it came; the holdout stays closed to it.

    Raises
    ------
    Conflict
        If this as-of date's holdout was opened for another configuration, or the evaluator is another one.
    """
    best = result.top[0] if result.top and np.isfinite(result.top[0].result.value) else None
    if best is None or not result.is_finished:
        return None
    store: CheckpointStore = place.checkpoints.build()
    kept = store.find(best.entry.slot, result.settings.maximum_resource)
    if kept is None:
        raise Conflict(f"the checkpoint of {best.entry.slot} is lost or damaged; run the search under a new name")
    with database.connect() as connection:
        ratios, scored = _ever_scored(connection, place, scope.name, result, evaluator.periods_per_year)
    contest = Contest(
        config=best.entry.config,
        checkpoint=kept[1].checkpoint,
        units=result.settings.maximum_resource,
        all_returns=np.column_stack(list(_all_returns(result, store))),
        all_sharpe_ratios=ratios,
        n_scored=scored,
        live_returns=_live_returns(result, store),
    )
    barred = result.reason if result.candidate is None else None

    def open_holdout() -> int:
        if barred is not None:
            raise Blocked(barred)
        with database.begin() as connection:
            opening = Opening(
                scope=scope.name,
                as_of=scope.as_of,
                first_day=scope.first_day,
                last_day=scope.last_day,
                config=_config_digest(evaluator, best.entry.config),
            )
            return open_once(connection, opening, search_name=result.settings.name, actor=actor, now=now)

    try:
        judged = judge(evaluator, contest, open_holdout=open_holdout, thresholds=thresholds)
    except Blocked:
        return {"winner": False, "summary": f"No winner: {barred}.", "config_slot": str(best.entry.slot), "gates": []}
    return {
        **judged.verdict.to_json(),
        "config_slot": str(best.entry.slot),
        "research": dict(judged.research),
        "stressed": dict(judged.stressed),
        "holdout": dict(judged.holdout),
    }


def open_once(connection: Connection, wanted: Opening, *, search_name: str, actor: str, now: datetime) -> int:
    """Open a holdout: write the look down, and return how many earlier ones there were. The same look again is free.

    Raises
    ------
    Conflict
        If it was opened on this as-of date for another configuration.
    """
    # Two at once must not both find it closed.
    connection.execute(text("LOCK TABLE holdout_openings IN SHARE ROW EXCLUSIVE MODE"))
    table = holdout_openings.c
    query = select(table.scope, table.as_of, table.first_day, table.last_day, table.config)
    openings = [Opening(**row._mapping) for row in connection.execute(query)]
    looks = earlier_looks(openings, wanted)
    if wanted not in openings:
        values = {name: getattr(wanted, name) for name in Opening.__dataclass_fields__}
        row = insert(holdout_openings).values(**values, search_name=search_name, opened_by=actor, opened_at=now)
        connection.execute(row)
    return looks


def keep_verdict(connection: Connection, search_name: str, verdict: Mapping[str, Any], *, now: datetime) -> None:
    """Write a verdict beside its search."""
    row = update(search_rows).where(search_rows.c.search_name == search_name)
    connection.execute(row.values(verdict=dict(verdict), updated_at=now))


def _config_digest(evaluator: Judgeable, config: Mapping[str, Any]) -> str:
    from meta_pipeline.canonical import digest

    return digest(evaluator.space.check(config))


def _all_returns(result: SearchResult, store: CheckpointStore) -> Iterator[NDArray[np.float64]]:
    """Yield the returns of every configuration of the search at its last rung; failed ones have none."""
    for slot, entry in sorted(result.entries.items()):
        if slot == LIVE or entry.last is None or entry.last.error is not None:
            continue
        kept = store.find(slot, entry.highest)
        if kept is None:
            raise Conflict(f"the checkpoint of {slot} is lost or damaged; run the search under a new name")
        yield kept[1].returns


def _live_returns(result: SearchResult, store: CheckpointStore) -> NDArray[np.float64] | None:
    if result.live is None or result.live.error is not None:
        return None
    kept = store.find(LIVE, result.settings.maximum_resource)
    return None if kept is None else kept[1].returns


def _ever_scored(
    connection: Connection, place: "SearchPlace", scope: str, result: SearchResult, periods_per_year: float
) -> tuple[NDArray[np.float64], int]:
    """Return Sharpe ratios per bar, and the number, of all configurations that any search of the scope ever scored.

    Searches whose ledgers are elsewhere (in a folder, or in the database) are counted by what they wrote of themselves.
    """
    entries: list[Entry] = []
    here = set(searches(place.storage))
    for name in sorted(here):
        ledger = open_existing(place.storage, name)
        if name == result.settings.name or scope in {
            ledger.study.user_attrs.get(_SCOPE),
            _scope_said(ledger.settings.described),
        }:
            entries += [entry for slot, entry in ledger.entries().items() if slot != LIVE and entry.rungs]
    last = [entry.last for entry in entries if entry.last is not None]
    ratios = [rung.moments.sharpe_ratio for rung in last if rung.moments is not None]
    elsewhere = _recorded_elsewhere(connection, scope, here)
    ratios += [ratio / np.sqrt(periods_per_year) for ratio in elsewhere if ratio is not None]
    return np.asarray(ratios, dtype=np.float64), len(entries) + len(elsewhere)


def _recorded_elsewhere(connection: Connection, scope: str, here: Container[str]) -> list[float | None]:
    """Return the annual Sharpe ratio, at its last rung, of each configuration of searches whose ledger is not here."""
    last: dict[tuple[str, Slot], float | None] = {}
    for stored in search.list_searches(connection):
        if stored.search_name in here or _scope_said(stored.settings.get("described") or {}) != scope:
            continue
        for row in search.history(connection, stored.search_name):  # a configuration's rungs in their order
            slot = Slot(row["iteration"], row["bracket"], row["number"])
            if slot != LIVE:
                last[stored.search_name, slot] = row["metrics"].get("sharpe_ratio")
    return list(last.values())


def _scope_said(described: Mapping[str, Any]) -> str | None:
    """Return what a search trades, by what its evaluator said of itself; also of one that was never judged."""
    bars = described.get("bars")
    return scope_name(bars) if bars else None
