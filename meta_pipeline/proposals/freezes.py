"""Freeze windows: when nothing is applied, in the local time of a market.

Daylight saving fails towards frozen: where a local time does not exist or occurs twice, a window begins at the
earliest instant it can mean and ends at the latest. A zone that cannot be read is frozen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meta_pipeline.errors import InputError

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

EXCHANGES: Final[Mapping[str, str]] = {
    "NYSE": "America/New_York",
    "NASDAQ": "America/New_York",
    "CME": "America/Chicago",
    "TSX": "America/Toronto",
    "B3": "America/Sao_Paulo",
    "LSE": "Europe/London",
    "XETRA": "Europe/Berlin",
    "EUREX": "Europe/Berlin",
    "EURONEXT": "Europe/Paris",
    "SIX": "Europe/Zurich",
    "NSE": "Asia/Kolkata",
    "SGX": "Asia/Singapore",
    "HKEX": "Asia/Hong_Kong",
    "SSE": "Asia/Shanghai",
    "JPX": "Asia/Tokyo",
    "ASX": "Australia/Sydney",
}
"""Exchange -> the zone of its local time. A window can name either."""

_FOLDS: Final = (0, 1)


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """One freeze: every week on some days, or once from one local time to another (or without an end).

    Parameters
    ----------
    freeze_id
        0 for one that is not stored yet.
    strategy_id
        The one strategy it holds for; None: all.
    time_zone
        A name of the IANA database. The times are local to it.
    weekdays
        For a weekly one: days on which it begins, 0 is Monday. Empty: it is dated.
    starts_time, ends_time
        For a weekly one. An end that is not after the start is on the day after.
    starts_local, ends_local
        For a dated one, without a zone; `ends_local` None: until it is lifted.
    """

    time_zone: str
    reason: str
    freeze_id: int = 0
    strategy_id: str | None = None
    weekdays: tuple[int, ...] = ()
    starts_time: time | None = None
    ends_time: time | None = None
    starts_local: datetime | None = None
    ends_local: datetime | None = None

    def check(self) -> None:
        """Check that the freeze can be one.

        Raises
        ------
        InputError
            If its zone is none, or its times contradict each other.
        """
        zone_of(self.time_zone)
        weekly, dated = (self.starts_time, self.ends_time), (self.starts_local, self.ends_local)
        if self.weekdays:
            if None in weekly or dated != (None, None):
                raise InputError("a weekly freeze takes weekdays and two times of day, and no dates")
            if not set(self.weekdays) <= set(range(7)):
                raise InputError(f"weekdays {self.weekdays} are not all within 0 (Monday) to 6 (Sunday)")
        elif self.starts_local is None or weekly != (None, None):
            raise InputError("a dated freeze takes a date and time to begin with, and no times of day")
        elif self.ends_local is not None and self.ends_local <= self.starts_local:
            raise InputError(f"a freeze from {self.starts_local} to {self.ends_local} would end before it begins")

    def covers(self, now: datetime) -> bool:
        """Say whether the freeze is in force at an instant (UTC-aware); yes if that cannot be told."""
        try:
            zone = zone_of(self.time_zone)
            return any(start <= now and (end is None or now < end) for start, end in self._intervals(zone, now))
        except (InputError, OverflowError):
            return True

    def text(self) -> str:
        """Return the freeze in words."""
        whom = "everything" if self.strategy_id is None else self.strategy_id
        return f"freeze {self.freeze_id} of {whom}, {self.when()}: {self.reason}"

    def when(self) -> str:
        """Return its times in words."""
        if self.weekdays:
            days = ", ".join(WEEKDAYS[day] for day in sorted(self.weekdays))
            return f"every {days} {self.starts_time:%H:%M} to {self.ends_time:%H:%M} {self.time_zone}"
        if self.ends_local is None:
            return f"from {self.starts_local:%Y-%m-%d %H:%M} {self.time_zone} until it is lifted"
        return f"{self.starts_local:%Y-%m-%d %H:%M} to {self.ends_local:%Y-%m-%d %H:%M} {self.time_zone}"

    def _intervals(self, zone: ZoneInfo, now: datetime) -> Iterator[tuple[datetime, datetime | None]]:
        if not self.weekdays:
            assert self.starts_local is not None
            end = None if self.ends_local is None else _latest(self.ends_local, zone)
            yield _earliest(self.starts_local, zone), end
            return
        assert self.starts_time is not None
        assert self.ends_time is not None
        overnight = timedelta(days=int(self.ends_time <= self.starts_time))
        today = now.astimezone(zone).date()
        # One that began two days ago has ended but for a clock that was put back: looked at all the same.
        for day in _days(today):
            if day.weekday() in self.weekdays:
                start, end = datetime.combine(day, self.starts_time), datetime.combine(day + overnight, self.ends_time)
                yield _earliest(start, zone), _latest(end, zone)


def zone_of(name: str) -> ZoneInfo:
    """Return a zone by its IANA name, or by that of an exchange.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    try:
        return ZoneInfo(EXCHANGES.get(name.upper(), name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"there is no time zone {name[:64]!r}; give an IANA name (UTC, America/New_York), or an exchange: "
            f"{', '.join(EXCHANGES)}"
        ) from error


def in_force(freezes: Sequence[Freeze], now: datetime, *, strategy_id: str | None) -> tuple[str, ...]:
    """Return the texts of the freezes that hold for a strategy at an instant; None: for all strategies."""
    return tuple(
        freeze.text() for freeze in freezes if freeze.strategy_id in {None, strategy_id} and freeze.covers(now)
    )


def weekdays_of(text: str) -> tuple[int, ...]:
    """Read weekdays: `mon,wed`, or a span such as `mon-fri`.

    Raises
    ------
    InputError
        If a day is none.
    """
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in WEEKDAYS or (last and last not in WEEKDAYS):
            raise InputError(f"{part.strip()!r} is no weekday; write them like mon,wed or mon-fri")
        start, stop = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        days.update(day % 7 for day in range(start, stop + 1 if stop >= start else stop + 8))
    return tuple(sorted(days))


def _days(today: date) -> Iterator[date]:
    for back in range(2, -2, -1):
        yield today - timedelta(days=back)


def _earliest(local: datetime, zone: ZoneInfo) -> datetime:
    return min(_meanings(local, zone))


def _latest(local: datetime, zone: ZoneInfo) -> datetime:
    return max(_meanings(local, zone))


def _meanings(local: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Return what a local time can mean: one instant, or two where clocks are put forward or back (PEP 495)."""
    for fold in _FOLDS:
        yield local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
