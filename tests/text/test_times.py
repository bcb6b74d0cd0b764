"""Times as people and programs write them: every form in both languages reads back, for whoever reads it, in any zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from noria.apps.monitor.sources.entry import moment_of
from noria.apps.support.actions.dates import day_in
from noria.core.errors import InputError
from noria.tasks.deeds import seconds_of
from noria.text.times import read_times, zone_of

ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati"]
)
WALLS = st.datetimes(datetime(1977, 1, 1), datetime(2068, 12, 31)).map(lambda at: at.replace(second=0, microsecond=0))
TODAY = date(2026, 9, 30)
Write = Callable[[datetime], str]


def ordinal(at: datetime) -> str:
    return f"{at.day}{'th' if 10 < at.day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(at.day % 10, 'th')}"


def as_written(form: str) -> Write:
    return lambda at: at.strftime(form)


def by_halves(at: datetime) -> str:
    return f"{at.year}年{at.month}月{at.day}日 {'上午' if at.hour < 12 else '下午'}{at.hour % 12 or 12}:{at.minute:02}"


DAYS: list[Write] = [
    *map(as_written, ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y 年 %m 月 %d 日", "%Y年%m月%d号")),
    *map(as_written, ("%d %B %Y", "%d %b %Y", "%b %d, %Y", "%B %d %Y", "%b. %d, %Y")),
    lambda at: f"{at.year}-{at.month}-{at.day}",
    lambda at: f"{ordinal(at)} {at:%B %Y}",
    lambda at: f"{ordinal(at)} of {at:%B %Y}",
    lambda at: f"{at:%B} {ordinal(at)}, {at.year}",
    lambda at: f"{at.year}年{at.month}月{at.day}日".translate({ord("0") + one: ord("０") + one for one in range(10)}),
]
CLOCKS: list[Write] = [
    *map(as_written, ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.000")),
    *map(
        as_written, ("%Y年%m月%d日 %H:%M", "%Y年%m月%d日%H时%M分", "%Y年%m月%d号 %H点%M分%S秒", "%Y年%m月%d日 %H時%M分")
    ),
    *map(as_written, ("%d %B %Y %H:%M:%S", "%b %d, %Y %I:%M %p", "%d-%b-%Y %H:%M", "%a %b %d %H:%M:%S %Y")),
    *map(as_written, ("%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%A, %B %d, %Y, %H:%M")),
    by_halves,
    lambda at: f"{ordinal(at)} of {at:%B %Y %I:%M%p}".lower(),
]
INSTANTS: list[Write] = [
    lambda at: at.isoformat(),
    lambda at: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda at: at.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
    as_written("%Y-%m-%d %H:%M:%S%z"),
    as_written("%a, %d %b %Y %H:%M:%S %z"),
    as_written("%Y年%m月%d日 %H:%M:%S %z"),
    lambda at: f"{at:%Y-%m-%d %H:%M} {at.tzinfo}",
    lambda at: str(int(at.timestamp())),
    lambda at: str(int(1000 * at.timestamp())),
]
"""Forms that say how far their clock is from UTC, or count from 1970."""


@given(WALLS, ZONES, st.sampled_from(CLOCKS))
def test_every_form_of_a_clock_reads_back_and_is_of_the_zone_it_is_read_in(
    wall: datetime, zone: str, write: Write
) -> None:
    text = write(wall)
    (stamp,) = read_times([text])
    assert stamp is not None
    assert (stamp.moment(), stamp.ahead, stamp.day, stamp.month) == (wall, None, False, False)
    assert moment_of(text, zone) == wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert seconds_of(text) == wall.replace(tzinfo=UTC).timestamp()


@given(WALLS, ZONES, ZONES, st.sampled_from(INSTANTS))
def test_every_form_of_an_instant_is_that_instant_wherever_it_is_read(
    wall: datetime, zone: str, elsewhere: str, write: Write
) -> None:
    at = wall.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    assume(not at.fold)  # the name of a zone does not tell the second of two hours
    text = write(at)
    (stamp,) = read_times([text])
    assert stamp is not None
    assert stamp.moment() == moment_of(text, elsewhere) == at
    assert seconds_of(text) == at.timestamp()


@given(WALLS.map(datetime.date), ZONES, st.sampled_from(DAYS))
def test_every_form_of_a_day_is_that_day_alone_and_within_a_sentence(day: date, zone: str, write: Write) -> None:
    midnight = datetime(day.year, day.month, day.day)
    text = write(midnight)
    (stamp,) = read_times([text])
    assert stamp is not None
    assert (stamp.moment(), stamp.day, stamp.month) == (midnight, True, False)
    assert moment_of(text, zone) == midnight.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert seconds_of(text) == midnight.replace(tzinfo=UTC).timestamp()
    for language in ("zh", "en"):
        assert day_in(f"好的 {text} ok", TODAY, language) == day


@given(WALLS)
def test_days_in_numbers_are_read_in_the_order_that_is_told_and_in_no_other(wall: datetime) -> None:
    day = wall.replace(hour=0, minute=0)
    for order, form in (("dmy", "%d/%m/%Y"), ("mdy", "%m/%d/%Y"), ("ymd", "%y/%m/%d")):
        text = day.strftime(form)
        (stamp,) = read_times([text], order)  # type: ignore[arg-type]
        assert stamp is not None
        assert stamp.moment() == day
        assert read_times([text]) == [None]
        assert moment_of(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "soon", "昨天", "2026-13-45", "2026年2月30日", "25:00", "2026-11-30 10:00 XYZ", "2026-11-30 10:00 No/Where"],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_times([text]) == [None]
    assert moment_of(text) is None


def test_a_month_is_no_moment() -> None:
    for text in ("2026年11月", "2026-11", "Nov 2026"):
        (stamp,) = read_times([text])
        assert stamp is not None
        assert stamp.month
        assert moment_of(text) is seconds_of(text) is None


def test_long_runs_of_anything_are_refused_at_once() -> None:
    for run in (" ", "\t", "1", "-", "a", "2026-11-30 "):
        assert read_times(["2026-11-30" + 50_000 * run + "x"]) == [None]


def test_a_column_of_several_forms_is_read_as_each_text_alone() -> None:
    wall = datetime(2026, 11, 3, 15, 5)
    texts = [write(wall) for write in (*CLOCKS, *DAYS, *CLOCKS[::-1])]
    assert read_times(texts) == [read_times([text])[0] for text in texts]


def test_a_zone_is_known_by_its_name_in_any_case_or_by_its_distance() -> None:
    for name, hours in (("asia/shanghai", 8), ("Asia/Shanghai", 8), ("+08:00", 8), ("UTC-3", -3), ("GMT", 0)):
        assert zone_of(name).utcoffset(datetime(2026, 1, 1)) == timedelta(hours=hours)
    with pytest.raises(InputError, match="Europe/Berlin"):
        zone_of("Europe/Berlni")


def test_a_name_of_a_month_is_part_of_no_other_word() -> None:
    for text in ("I sat on 2 marches", "decent 5, 2026", "1 augusta"):
        assert day_in(text, TODAY, "en") is None
