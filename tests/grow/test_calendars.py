"""The step of a series from its times: every step, anchor and gap; what follows goes by the calendar."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.grow.series.calendars import END, between, calendar_of, following, is_time, place_of, regular, time_at


def months(start: int, count: int, step: int, anchor: int) -> list[str]:
    """Return times by the rule that the calendar is to find, written apart from it."""
    times = []
    for number in range(start, start + count * step, step):
        year, month = number // 12, number % 12 + 1
        last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(1)).day
        times.append(f"{year}-{month:02d}" + (f"-{min(anchor, last):02d}" if anchor else ""))
    return times


def days(start: int, count: int, step: int) -> list[str]:
    return [(date(2020, 1, 1) + timedelta(start + place * step)).isoformat() for place in range(count)]


def business(start: int, count: int) -> list[str]:
    all_days = (date(2020, 1, 1) + timedelta(start + place) for place in range(2 * count + 20))
    return [day.isoformat() for day in all_days if day.weekday() < 5][:count]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Return a whole run of times in one step, and the same with gaps; first and last stay, and what tells the step."""
    count = draw(st.integers(26, 40))
    kind = draw(st.sampled_from(["months", "days", "business", "years"]))
    start = draw(st.integers(0, 400))
    if kind == "months":
        run = months(
            2015 * 12 + start,
            count,
            draw(st.sampled_from([1, 2, 3, 6, 12])),
            draw(st.sampled_from([0, 1, 15, 28, 29, 30, END])),
        )
    elif kind == "days":
        run = days(start, count, draw(st.sampled_from([1, 7, 14, 28])))
    elif kind == "business":
        run = business(start, count)
    else:
        run = [str(1900 + start // 2 + place) for place in range(count)]
    # Two neighbours stay, so that the step is in the data; so do the weekdays of a working week.
    stay = set(range(8)) | {count - 1}
    gone = draw(st.sets(st.integers(8, count - 2), max_size=count // 2)) - stay
    return run, [time for place, time in enumerate(run) if place not in gone]


@given(runs())
def test_any_step_is_found_through_its_gaps(run: tuple[list[str], list[str]]) -> None:
    whole, known = run
    assert between(known) == whole
    assert following(known, 3) == following(whole, 3)
    assert following(whole[:-3], 3) == whole[-3:]
    assert place_of(whole[5], known) == 5
    assert [time_at(place, known) for place in range(len(whole))] == whole
    assert not regular(known)


@pytest.mark.parametrize("anchor", [1, 15, 28, 29, 30, END])
@pytest.mark.parametrize("step", [1, 3, 12])
def test_dated_months_are_months_from_any_month_on(step: int, anchor: int) -> None:
    for start in range(2023 * 12, 2025 * 12):
        run = months(start, 9, step, anchor)
        assert between(run) == run
        calendar = calendar_of(run)
        assert (calendar.unit, calendar.size) == ("month", step)
        assert following(run[:6], 3) == run[6:]


def test_what_follows_month_ends_and_what_people_read() -> None:
    ends = ["2023-11-30", "2023-12-31", "2024-01-31"]
    assert following(ends, 3) == ["2024-02-29", "2024-03-31", "2024-04-30"]
    assert calendar_of(ends).text().both() == {"en": "monthly, dated at month ends", "zh": "按月（以月末标示）"}
    assert calendar_of(["2024-01-05", "2024-01-12"]).text().both() == {"en": "weekly", "zh": "按周"}
    assert calendar_of(["2024-03-31", "2024-06-30"]).text() == "quarterly, dated at month ends"
    assert calendar_of(["2024", "2025"]).text()["zh"] == "按年"
    assert calendar_of(business(0, 15)).text() == "on business days"
    assert calendar_of(["2024-02-28"]).lone
    assert following(["2024-02-28"], 2) == ["2024-02-29", "2024-03-01"]


def test_a_day_that_wanders_within_its_month_or_week_is_named_by_it() -> None:
    trading = [
        np.busday_offset(f"{time}-01", -1, roll="forward").astype(str) for time in months(2024 * 12 + 1, 12, 1, 0)
    ]
    named = regular(trading)
    assert list(named.values()) == months(2024 * 12, 12, 1, 0)
    fridays = days(2, 12, 7)
    moved = [*fridays[:5], (date.fromisoformat(fridays[5]) - timedelta(1)).isoformat(), *fridays[6:]]
    assert list(regular(moved).values()) == fridays
    assert not regular(fridays)
    assert not regular(["2024-01-01", "2024-01-02", "2024-03-07", "2024-03-09", "2025-01-01"])


def test_what_is_no_time() -> None:
    assert [is_time(text) for text in ("2024", "2024-02", "2024-02-29")] == [True] * 3
    assert not any(
        is_time(text)
        for text in ("2023-02-29", "24-01", "1899", "2201-01-01", "2024-W05", "2024-W05-1", "２０２４", "")
    )
