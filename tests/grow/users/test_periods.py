"""Weeks, months, quarters and years of other calendars: as retailers and companies publish them, and the same in SQL as in Python."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest

from noria.core.errors import SettingError
from noria.grow.log.read import log_of_rows
from noria.grow.log.zones import LocalCalendar, local_calendar
from noria.grow.settings import LogSettings
from noria.grow.users.activity import growth, stickiness
from noria.grow.users.periods import (
    PERIODS,
    first_day,
    has_names,
    name_of_period,
    number_of,
    period_of,
    series_time,
)
from noria.grow.users.retention import retention

RETAIL = local_calendar(week_starts="sunday", fiscal="4-5-4", year_starts=2)
"""The calendar of the National Retail Federation."""
APPLE = local_calendar(week_starts="sunday", fiscal="4-4-5", year_starts=10, year_week="holding")
"""Years that end on the last Saturday of September, as Apple's annual reports have it."""
CALENDARS = [
    local_calendar(),
    local_calendar(week_starts="saturday", year_starts=4),
    local_calendar(fiscal="iso"),
    local_calendar(fiscal="4-4-5"),
    local_calendar(week_starts="saturday", fiscal="5-4-4", year_starts=7),
    RETAIL,
    APPLE,
]
DAYS = [date(2009, 12, 1) + timedelta(days=number) for number in range(8 * 366)]


@pytest.mark.parametrize(
    ("calendar", "begins"),
    [
        (RETAIL, ["2012-01-29", "2013-02-03", "2017-01-29", "2018-02-04", "2022-01-30", "2023-01-29", "2024-02-04"]),
        (RETAIL, ["2025-02-02", "2026-02-01"]),
        (APPLE, ["2017-10-01", "2018-09-30", "2019-09-29", "2020-09-27", "2021-09-26", "2022-09-25", "2023-10-01"]),
    ],
)
def test_years_begin_when_they_are_published_to(calendar: LocalCalendar, begins: list[str]) -> None:
    for text in begins:
        day = date.fromisoformat(text)
        number = number_of(day, "year", calendar)
        assert first_day(number, "year", calendar) == day
        assert number_of(day - timedelta(days=1), "year", calendar) == number - 1


def test_months_of_a_year_of_53_weeks_are_those_of_the_federation() -> None:
    """2023: February to April of 4, 5 and 4 weeks, and a fifth one for January."""
    year = number_of(date(2023, 1, 29), "month", RETAIL)
    begins = [first_day(year + month, "month", RETAIL).isoformat() for month in (0, 1, 2, 3, 11, 12)]
    assert begins == ["2023-01-29", "2023-02-26", "2023-04-02", "2023-04-30", "2023-12-31", "2024-02-04"]
    assert [series_time(year + month, "month", RETAIL) for month in (0, 11)] == ["2023-02", "2024-01"]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_periods_tile_the_days(calendar: LocalCalendar) -> None:
    """In Python and in SQL: each day is in one period, that begins on its first day, and the next follows it."""
    near = LocalCalendar(
        calendar.zone,
        calendar.week_starts,
        calendar.steps,
        calendar.years,
        (number_of(DAYS[0], "day"), number_of(DAYS[-1], "day")),
    )
    numbers = [(day - date(1970, 1, 1)).days for day in DAYS]
    table = ibis.duckdb.connect().create_table("days", pa.table({"day": pa.array(numbers, pa.int32())}))
    told = table.select("day", **{unit: period_of(table.day, unit, near) for unit in PERIODS[1:]}).order_by("day")
    in_sql: dict[str, list[int]] = told.to_pyarrow().to_pydict()
    for unit in PERIODS[1:]:
        found = [number_of(day, unit, calendar) for day in DAYS]
        assert in_sql[unit] == found
        assert set(found) == set(range(found[0], found[-1] + 1))
        firsts = [day for day, number, before in zip(DAYS[1:], found[1:], found, strict=False) if number != before]
        assert [first_day(number_of(day, unit, calendar), unit, calendar) for day in firsts] == firsts
        if calendar.years.fiscal and unit in ("month", "quarter"):
            assert {
                (first_day(number + 1, unit, calendar) - first_day(number, unit, calendar)).days % 7
                for number in set(found)
            } == {0}


@pytest.mark.parametrize(
    ("calendar", "day", "names"),
    [
        (CALENDARS[0], "2024-12-30", ("2024-12-30", "2025-W01", "2024-12", "2024-Q4", "2024")),
        (CALENDARS[1], "2024-12-30", ("2024-12-30", "2024-12-28", "2024-12", "FY2024/25 Q3", "FY2024/25")),
        (CALENDARS[2], "2024-12-30", ("2024-12-30", "2025-W01", "2025-M01", "2025-Q1", "2025")),
        (CALENDARS[3], "2024-12-30", ("2024-12-30", "FY2025 W01", "FY2025 P01", "FY2025 Q1", "FY2025")),
        (RETAIL, "2024-02-03", ("2024-02-03", "FY2023/24 W53", "FY2023/24 P12", "FY2023/24 Q4", "FY2023/24")),
        (APPLE, "2023-10-01", ("2023-10-01", "FY2023/24 W01", "FY2023/24 P01", "FY2023/24 Q1", "FY2023/24")),
    ],
)
def test_periods_are_named_as_they_are_counted(calendar: LocalCalendar, day: str, names: tuple[str, ...]) -> None:
    at = date.fromisoformat(day)
    assert tuple(name_of_period(number_of(at, unit, calendar), unit, calendar) for unit in PERIODS) == names
    assert has_names("week", calendar) == ("W" in names[1])


def test_a_log_is_accounted_by_fiscal_months() -> None:
    days = [
        "2024-02-03",
        "2024-02-04",
        "2024-03-02",
        "2024-03-03",
        "2024-04-06",
        "2024-04-07",
        "2024-05-04",
        "2024-05-05",
    ]
    rows = pa.table({"user": ["a", "a", "b", "a", "c", "b", "a", "c"], "time": days})
    log = log_of_rows(rows, source="s", calendar=RETAIL)
    account = growth(log, "month")
    assert account.defects() == []
    assert [(row.period, row.name, row.active, row.new, row.complete) for row in account.rows] == [
        ("2023-12-31", "FY2023/24 P12", 1, 1, False),
        ("2024-02-04", "FY2024/25 P01", 2, 1, True),
        ("2024-03-03", "FY2024/25 P02", 2, 1, True),
        ("2024-04-07", "FY2024/25 P03", 2, 0, True),
        ("2024-05-05", "FY2024/25 P04", 1, 0, False),
    ]
    assert [row.active for row in growth(log, "quarter").rows] == [1, 3, 1]
    assert [(row.name, row.active) for row in growth(log, "year").rows] == [("FY2023/24", 1), ("FY2024/25", 3)]
    assert list(retention(log, "month").counts)[:2] == ["2023-12-31", "2024-02-04"]
    assert [figure.name for figure in stickiness(log)] == [f"DAU/MAU FY2024/25 P0{month}" for month in (1, 2, 3)]


@pytest.mark.parametrize("more", [{"week_starts": "sunday"}, {"year_starts": 4}, {"year_week": "holding"}])
def test_what_iso_does_not_know_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"ISO's months are of weeks that begin on Monday.*--fiscal 4-4-5"):
        LogSettings(fiscal="iso", **more).calendar()


def test_a_calendar_says_what_it_counts_by() -> None:
    assert RETAIL.text()["en"] == (
        "days of UTC, weeks from Sunday, months of 4-5-4 weeks, years from the week nearest to 1 February"
    )
    assert APPLE.text()["zh"] == "按 UTC 的日期，每周从周日开始，月按 4-4-5 周划分，财年自含 10 月 1 日的一周开始"
    assert local_calendar("Asia/Shanghai").text()["en"] == "days of Asia/Shanghai"
