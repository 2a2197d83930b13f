"""What became of every candidate on days after its evidence: incumbent and candidate replayed on the same days.

Belongs here: one night's replays. Does not belong here: which windows are due, and their rows (outcome_ledger); how two
series are compared (outcomes.paired).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from meta_pipeline.backtests.replaying import Replayed
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import contrast
from meta_pipeline.outcomes.days import DaySource
from meta_pipeline.outcomes.paired import MarketDays, Paired, on_one_calendar
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database
from meta_pipeline.store.outcome_days import daily_periods, source_of
from meta_pipeline.store.outcome_ledger import DueOutcome, Realised, due_outcomes, write_outcome
from meta_pipeline.store.outcome_rules import markets_of
from meta_pipeline.store.schema import backtest_runs

OTHER_SETTINGS: Final = 4
"""Configurations of the strategy's runs over which a main effect is averaged: each is replayed at both levels."""
DRAWS: Final = 99  # only the error is kept, which needs none; the least that `contrast` takes
MINIMUM_DAYS: Final = 20
LATE: Final = timedelta(days=10)  # a window may end on days without trading
AT_ONCE: Final = 2_000
"""Windows recorded in one night; what is left over comes the next night, earliest evidence first."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """What one night recorded of a strategy: outcomes with an effect, and such without, by reason."""

    n_due: int
    n_recorded: int
    missing: Mapping[str, int] = field(default_factory=dict)


def replay_outcomes(database: Database, strategy_id: str, settings: Settings, *, now: datetime) -> Night:
    """Replay the incumbent and every candidate whose window is over, and record what became of it.

    Candidates that were rejected, suppressed or never proposed are replayed like those that were applied. Without a
    registered replay, the runs that were handed in since serve, where they have both configurations on the same days. A
    window whose effect cannot be known yet is recorded with the reason, and tried again the next night. A replay that
    cannot be loaded, or that fails, costs outcomes and nothing else: it is a reason, too.
    """
    try:
        source = source_of(database, strategy_id, settings)
    except InputError as error:
        return Night(n_due=0, n_recorded=0, missing={str(error): 1})
    with database.connect() as connection:
        due = due_outcomes(connection, strategy_id, today=now.date(), moved=source.moved)[:AT_ONCE]
        markets = markets_of(connection, strategy_id)
        others = _other_settings(connection, strategy_id) if due else ()
    replays = _Replays(source, strategy_id, markets)
    missing: dict[str, int] = {}
    recorded = 0
    for window in due:
        found = _both_scales(replays, window, others)
        # One transaction each: what is recorded stays, whatever the next replay does.
        with database.begin() as connection:
            write_outcome(connection, window, found, strategy_id=strategy_id, now=now)
        known = [one for one in found if one.effect is not None]
        recorded += bool(known)
        for one in found:
            if not known and one.reason is not None:
                missing[one.reason] = missing.get(one.reason, 0) + 1
    return Night(n_due=len(due), n_recorded=recorded, missing=dict(sorted(missing.items())))


def _both_scales(replays: "_Replays", due: DueOutcome, others: Sequence[Mapping[str, JsonValue]]) -> list[Realised]:
    at_incumbent = _effect(replays, due, [due.live], "incumbent")
    if at_incumbent.effect is None:
        return [at_incumbent]
    return [at_incumbent, _effect(replays, due, [due.live, *others], "main")]


def _effect(replays: "_Replays", due: DueOutcome, settings: Sequence[Mapping[str, JsonValue]], scale: str) -> Realised:
    """Average the paired difference over settings of the other knobs and over markets."""
    found, reason = [], "no later days of both configurations"
    for index, base in enumerate(settings):
        try:
            low, high = with_level(base, due.knob, due.low), with_level(base, due.knob, due.high)
            found += replays.pairs(low, high, due, label=str(index))
        except Exception as error:  # whatever a user's backtest raises, for one setting of the other knobs or for all
            reason = f"{type(error).__name__}: {error}"
    paired = on_one_calendar(found)
    if not paired.markets:
        return Realised(scale=scale, n_days=0, reason=reason[:500])
    short = due.window_end - paired.days[-1].item()
    if paired.n_days < MINIMUM_DAYS or short > LATE:
        reason = f"later days are known to {paired.days[-1]} only, {paired.n_days} of them"
        return Realised(scale=scale, n_days=paired.n_days, reason=reason)
    if bool(np.array_equal(paired.before, paired.after, equal_nan=True)):
        return Realised(scale=scale, n_days=paired.n_days, effect=0.0, standard_error=0.0)
    return _difference(paired, scale)


def _difference(paired: Paired, scale: str) -> Realised:
    n = len(paired.markets)
    weights = np.concatenate([np.full(n, 1.0 / n), np.full(n, -1.0 / n)])
    tested = contrast(
        np.column_stack([paired.after, paired.before]),
        weights,
        np.tile(paired.periods_per_year, 2),
        metric="sharpe_ratio",
        n_draws=DRAWS,
    )
    if not math.isfinite(tested.estimate):
        return Realised(scale=scale, n_days=paired.n_days, reason="the difference of Sharpe ratios is not defined")
    return Realised(
        scale=scale,
        n_days=paired.n_days,
        effect=float(tested.estimate),
        standard_error=float(tested.standard_error) if math.isfinite(tested.standard_error) else None,
    )


class _Replays:
    """Replays of one strategy, each asked for once: the incumbent is in every pair."""

    def __init__(self, source: DaySource, strategy_id: str, markets: Mapping[str, float]) -> None:
        self._source, self._strategy_id, self._markets = source, strategy_id, markets
        self._known: dict[tuple[str, ...], Replayed] = {}

    def pairs(
        self, low: Mapping[str, JsonValue], high: Mapping[str, JsonValue], due: DueOutcome, *, label: str
    ) -> list[MarketDays]:
        """Return both configurations on the days of a window that both have, market by market."""
        found = []
        for market, periods in self._markets.items():
            old, new = self._ask(low, market, due), self._ask(high, market, due)
            common, in_old, in_new = np.intersect1d(old.dates, new.dates, return_indices=True)
            found.append(
                MarketDays(
                    market=f"{market}|{label}",
                    dates=common,
                    before=old.returns[in_old],
                    after=new.returns[in_new],
                    periods_per_year=daily_periods(periods),
                )
            )
        return found

    def _ask(self, config: Mapping[str, JsonValue], market: str, due: DueOutcome) -> Replayed:
        key = (digest(dict(config)), market, str(due.window_start), str(due.window_end))
        if key not in self._known:
            self._known[key] = self._source.on(self._strategy_id, config, market, due.window_start, due.window_end)
        return self._known[key]


def _other_settings(connection: Connection, strategy_id: str) -> tuple[Mapping[str, JsonValue], ...]:
    """Return a few configurations of the strategy's runs, in the order of their digests: as good as drawn at random."""
    columns = backtest_runs.c
    rows = connection.execute(
        select(columns.config_digest, columns.config_json)
        .where(columns.strategy_id == strategy_id, columns.state == "accepted")
        .distinct()
        .order_by(columns.config_digest)
        .limit(OTHER_SETTINGS)
    )
    return tuple(row.config_json for row in rows)
