"""Freeze windows: local times of a zone, and towards frozen wherever a local time is not one instant."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.freezes import Freeze, in_force, weekdays_of, zone_of

NEW_YORK = "America/New_York"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 -- local times of the zone beside them


def weekly(days: str, start: str, end: str, zone: str = NEW_YORK, **more: Any) -> Freeze:
    return Freeze(
        time_zone=zone,
        reason="r",
        weekdays=weekdays_of(days),
        starts_time=time.fromisoformat(start),
        ends_time=time.fromisoformat(end),
        **more,
    )


def dated(start: datetime, end: datetime | None, zone: str = NEW_YORK) -> Freeze:
    return Freeze(time_zone=zone, reason="r", starts_local=start, ends_local=end)


def test_a_window_of_an_exchange_moves_with_its_daylight_saving() -> None:
    hours = weekly("mon-fri", "09:30", "16:00")
    # Thursday 5 March: UTC-5. Thursday 12 March: UTC-4.
    assert hours.covers(utc(2026, 3, 5, 14, 30))
    assert not hours.covers(utc(2026, 3, 5, 14, 29, 59))
    assert hours.covers(utc(2026, 3, 12, 13, 30))
    assert not hours.covers(utc(2026, 3, 12, 20, 0))
    assert not hours.covers(utc(2026, 3, 7, 15, 0))  # a Saturday


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        # 02:30 does not exist on 8 March 2026: it means 06:30 or 07:30 UTC; the window begins at the earlier.
        ("02:30", "05:00", utc(2026, 3, 8, 6, 30), utc(2026, 3, 8, 9, 0)),
        # An end that does not exist: at the later.
        ("01:00", "02:30", utc(2026, 3, 8, 6, 0), utc(2026, 3, 8, 7, 30)),
        # 01:30 occurs twice on 1 November: from the first, to the second.
        ("01:30", "03:00", utc(2026, 11, 1, 5, 30), utc(2026, 11, 1, 8, 0)),
        ("00:30", "01:30", utc(2026, 11, 1, 4, 30), utc(2026, 11, 1, 6, 30)),
    ],
)
def test_where_a_local_time_is_not_one_instant_the_window_is_the_widest_it_can_mean(
    start: str, end: str, first: datetime, last: datetime
) -> None:
    day = first.astimezone(ZoneInfo(NEW_YORK)).date()
    for window in (
        weekly("sun", start, end),
        dated(datetime.combine(day, time.fromisoformat(start)), datetime.combine(day, time.fromisoformat(end))),
    ):
        inside = [first, first + timedelta(minutes=20), last - timedelta(microseconds=1)]
        assert all(window.covers(moment) for moment in inside)
        assert not window.covers(first - timedelta(microseconds=1))
        assert not window.covers(last)


def test_a_window_past_midnight_belongs_to_the_day_it_begins_on() -> None:
    night = weekly("fri", "22:00", "02:00", "UTC")
    assert night.covers(utc(2026, 11, 20, 23))
    assert night.covers(utc(2026, 11, 21, 1, 59))
    assert not night.covers(utc(2026, 11, 21, 2))
    assert not night.covers(utc(2026, 11, 20, 1))
    assert weekly("fri", "00:00", "00:00", "UTC").covers(utc(2026, 11, 20, 23, 59))  # the whole day


@given(
    moment=st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001
    zone=st.sampled_from(
        [NEW_YORK, "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC", "America/Sao_Paulo"]
    ),
    start=st.times(),
    end=st.times(),
)
def test_every_instant_whose_local_time_lies_in_the_window_is_frozen(
    moment: datetime, zone: str, start: time, end: time
) -> None:
    now = moment.replace(tzinfo=UTC)
    here = now.astimezone(ZoneInfo(zone)).time()
    inside = start <= here < end if start < end else here >= start or here < end
    if inside:
        assert weekly("mon-sun", start.isoformat(), end.isoformat(), zone).covers(now)


def test_a_freeze_without_an_end_holds_until_it_is_lifted_and_not_before_it_begins() -> None:
    stop = dated(local(2026, 12, 24, 18), None, "NYSE")
    assert not stop.covers(utc(2026, 12, 24, 22, 59))
    assert stop.covers(utc(2026, 12, 24, 23))
    assert stop.covers(utc(9999, 12, 31))


def test_what_cannot_be_told_is_frozen() -> None:
    assert weekly("mon", "09:00", "10:00", "Mars/Olympus").covers(utc(2026, 11, 20))
    assert dated(local(1, 1, 1), None, "Asia/Tokyo").covers(utc(2026, 1, 1))  # before the first instant there is


def test_a_freeze_of_one_strategy_leaves_the_others_alone() -> None:
    freezes = [weekly("mon-sun", "00:00", "00:00", "UTC", strategy_id="A", freeze_id=7)]
    (told,) = in_force(freezes, utc(2026, 11, 20), strategy_id="A")
    assert told.startswith("freeze 7 of A, every mon, tue")
    assert in_force(freezes, utc(2026, 11, 20), strategy_id="B") == ()


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (dated(local(2026, 1, 2), local(2026, 1, 1)), "would end before it begins"),
        (dated(local(2026, 1, 1), None, "../etc/passwd"), "there is no time zone"),
        (dated(local(2026, 1, 1), None, ""), "there is no time zone"),
        (Freeze(time_zone="UTC", reason="r"), "takes a date and time to begin with"),
        (Freeze(time_zone="UTC", reason="r", weekdays=(0,)), "takes weekdays and two times"),
        (weekly("mon", "09:00", "10:00", starts_local=local(2026, 1, 1)), "and no dates"),
    ],
)
def test_a_freeze_that_contradicts_itself_is_refused(freeze: Freeze, said: str) -> None:
    with pytest.raises(InputError, match=said):
        freeze.check()


def test_weekdays_are_read_as_people_write_them() -> None:
    assert weekdays_of("mon-fri") == (0, 1, 2, 3, 4)
    assert weekdays_of("Sat, mon") == (0, 5)
    assert weekdays_of("fri-mon") == (0, 4, 5, 6)
    with pytest.raises(InputError, match="'someday' is no weekday"):
        weekdays_of("someday")
    assert zone_of("nyse").key == NEW_YORK
