"""Which days are a change's, and what the old and the new configuration earned on them.

Attribution is by configuration version: the days of a change begin after the day on which its version went live, and
end before the day on which the strategy's next version did. Dates inside a configuration or a run play no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, select

from meta_pipeline.backtests.replaying import Replayed, load_replay, replay_named
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import ContentTampered, InputError
from meta_pipeline.outcomes.control import BeforeAndAfter, Control, difference_in_differences
from meta_pipeline.outcomes.days import Days, DaySource, Labels, lab_source
from meta_pipeline.outcomes.paired import MarketDays
from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database
from meta_pipeline.store.outcome_rules import markets_of
from meta_pipeline.store.regimes import read_regimes
from meta_pipeline.store.run_replay import StoredRuns
from meta_pipeline.store.schema import config_versions

LAB_REPLAY = "meta_pipeline.lab.replay:replay"
DAILY = 366.0
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Live days of one configuration version.

    Parameters
    ----------
    first, last
        Both inclusive, whole days (UTC) on which nothing else was live. `last` is None while the version is live.
    next_version
        What took its place.
    """

    first: date
    last: date | None
    next_version: int | None

    @property
    def is_empty(self) -> bool:
        """Whether the next version came before the version had a whole day of its own."""
        return self.last is not None and self.last < self.first

    def until(self, day: date) -> date | None:
        """Return the last day of the span that is over by `day`, or None if none is.

        Of an empty span it is the day on which the next version came: from then on there is nothing to wait for.
        """
        if self.last is None:
            return None if day < self.first else day
        if self.is_empty:
            came = self.last + ONE_DAY
            return came if came <= day else None
        last = min(day, self.last)
        return None if last < self.first else last


def span_of(connection: Connection, strategy_id: str, version: int) -> Span:
    """Return the live days of a configuration version."""
    columns = config_versions.c
    rows = connection.execute(
        select(columns.version, columns.created_at)
        .where(columns.strategy_id == strategy_id, columns.version.in_([version, version + 1]))
        .order_by(columns.version)
    ).all()
    following = rows[1] if len(rows) > 1 else None
    return Span(
        first=rows[0].created_at.date() + ONE_DAY,
        last=None if following is None else following.created_at.date() - ONE_DAY,
        next_version=None if following is None else following.version,
    )


def config_of(connection: Connection, strategy_id: str, version: int) -> Mapping[str, JsonValue]:
    """Return the configuration of a version.

    Raises
    ------
    ContentTampered
        If it is not what was hashed when it went live.
    """
    columns = config_versions.c
    row = connection.execute(
        select(columns.config_json, columns.config_digest).where(
            columns.strategy_id == strategy_id, columns.version == version
        )
    ).one()
    if digest(row.config_json) != row.config_digest:
        raise ContentTampered(
            f"version {version} of {strategy_id} is not what was hashed when it went live; compare with a backup, and "
            "look for who changed it in the database"
        )
    found: Mapping[str, JsonValue] = row.config_json
    return found


def source_of(database: Database, strategy_id: str, settings: Settings) -> DaySource:
    """Return where a strategy's days come from: its registered replay, or else the runs that were handed in.

    Raises
    ------
    InputError
        If the registered replay cannot be loaded.
    """
    target = replay_named(strategy_id, settings.replays)
    if target is None:
        return DaySource(replay=StoredRuns(database), name="stored runs", regimes_of=_StoredRegimes(database))
    if target != LAB_REPLAY:
        return DaySource(replay=load_replay(target), name=target, regimes_of=_StoredRegimes(database))
    with database.connect() as connection:
        declared = connection.execute(
            select(config_versions.c.created_at).where(
                config_versions.c.strategy_id == strategy_id, config_versions.c.version == 1
            )
        ).scalar_one()
    return lab_source(declared.date())


class _StoredRegimes:
    """The regimes of the database, asked by market and days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, market: str, days: Days) -> Labels | None:
        with self._database.connect() as connection:
            return read_regimes(connection, [market], days).get(market)


def days_of(
    source: DaySource,
    strategy_id: str,
    *,
    before: Mapping[str, JsonValue],
    after: Mapping[str, JsonValue],
    markets: Mapping[str, float],
    first: date,
    last: date,
) -> list[MarketDays]:
    """Replay two configurations over the same live days, market by market. Days that only one of them has are left out.

    Raises
    ------
    InputError
        As the replay.
    """
    found = []
    for market, periods in markets.items():
        old = source.on(strategy_id, before, market, first, last)
        new = source.on(strategy_id, after, market, first, last)
        common, in_old, in_new = np.intersect1d(old.dates, new.dates, return_indices=True)
        found.append(
            MarketDays(
                market=market,
                dates=common,
                before=old.returns[in_old],
                after=new.returns[in_new],
                periods_per_year=daily_periods(periods),
                regimes=source.regimes_on(market, common),
            )
        )
    return found


def daily_periods(periods_per_year: float) -> float:
    """Return the number of returns a year once bars within a day are one: round the clock, a year has 365."""
    return periods_per_year if periods_per_year <= DAILY else 365.0


def chosen_markets(connection: Connection, strategy_id: str, rule: OutcomeRule) -> dict[str, float]:
    """Return the markets that a rule names, or all of the strategy's, each with its periods per year.

    Raises
    ------
    InputError
        If there is none.
    """
    known = markets_of(connection, strategy_id)
    chosen = {name: known[name] for name in rule.markets or known if name in known}
    if not chosen:
        raise InputError(
            f"no market of {strategy_id} is known: it has no run with a return series"
            + (f" in {', '.join(rule.markets)}" if rule.markets else "")
        )
    return chosen


def control_of(
    database: Database,
    treated: Sequence[MarketDays],
    strategy_id: str,
    *,
    before: Mapping[str, JsonValue],
    source: DaySource,
    first: date,
    last: date,
    rule: OutcomeRule,
    settings: Settings,
) -> Control:
    """Compare the strategy before and after the change with strategies that nobody touched in either span.

    The span before is as long as the span after. Strategies whose days cannot be replayed are left out.
    """
    start = first - (last - first) - ONE_DAY
    spans = [
        BeforeAndAfter(
            strategy_id=strategy_id,
            market=one.market,
            dates=np.concatenate([earlier.dates, one.dates]),
            returns=np.concatenate([earlier.returns, one.after]),
            changed_on=np.datetime64(first, "D"),
            periods_per_year=one.periods_per_year,
        )
        for one in treated
        if (earlier := _earlier(source, strategy_id, before, one.market, start, first - ONE_DAY)) is not None
    ]
    untouched: list[BeforeAndAfter] = []
    for other, config, markets in _untouched(database, strategy_id, start=start, last=last):
        untouched += _spans(database, other, config, markets, settings, start=start, first=first, last=last)
    return difference_in_differences(spans, untouched, rule, seed=settings.seed)


def _earlier(
    source: DaySource, strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, last: date
) -> Replayed | None:
    try:
        return source.on(strategy_id, config, market, start, last)
    except InputError:  # before the first day that can be replayed
        return None


def _untouched(
    database: Database, strategy_id: str, *, start: date, last: date
) -> list[tuple[str, Mapping[str, JsonValue], dict[str, float]]]:
    """Return the other strategies that no version was made of between two days, with the configuration they had.

    What a strategy was declared with counts as its configuration before the declaration, too: it was not changed.
    """
    columns = config_versions.c
    by_strategy: dict[str, list[tuple[int, date, Mapping[str, JsonValue]]]] = {}
    found = []
    with database.connect() as connection:
        rows = connection.execute(
            select(columns.strategy_id, columns.version, columns.created_at, columns.config_json)
            .where(columns.strategy_id != strategy_id)
            .order_by(columns.strategy_id, columns.version)
        )
        for row in rows:
            by_strategy.setdefault(row.strategy_id, []).append((row.version, row.created_at.date(), row.config_json))
        for name, versions in by_strategy.items():
            touched = any(version > 1 and start <= made <= last for version, made, _ in versions)
            in_force = [config for version, made, config in versions if version == 1 or made < start]
            if not touched:
                found.append((name, in_force[-1], markets_of(connection, name)))
    return found


def _spans(
    database: Database,
    strategy_id: str,
    config: Mapping[str, JsonValue],
    markets: Mapping[str, float],
    settings: Settings,
    *,
    start: date,
    first: date,
    last: date,
) -> list[BeforeAndAfter]:
    found = []
    for market, periods in markets.items():
        try:
            days = source_of(database, strategy_id, settings).on(strategy_id, config, market, start, last)
        except InputError:  # a control that cannot be replayed is no control
            continue
        found.append(
            BeforeAndAfter(
                strategy_id=strategy_id,
                market=market,
                dates=days.dates,
                returns=days.returns,
                changed_on=np.datetime64(first, "D"),
                periods_per_year=daily_periods(periods),
            )
        )
    return found
