"""Growth accounting adds up for any log whatever, and counts what a plain reading of the log counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.users.activity import PERIODS, GrowthRow, Period, check_period, first_day, growth, number_of, stickiness
from tests.grow.worlds import world_log

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CONNECTION = connect(threads=1)

acts = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.datetimes(datetime(2023, 12, 25), datetime(2024, 4, 10)),
        st.sampled_from(["", "pro", "客服"]),
    ),
    min_size=1,
    max_size=60,
)


def log_of(rows: list[tuple[int, datetime, str]]) -> Log:
    table = pa.table(
        {
            "user": [f"u{user}" for user, _, _ in rows],
            "time": pa.array([moment.replace(tzinfo=UTC) for _, moment, _ in rows], pa.timestamp("us", "UTC")),
            "segment": [segment for _, _, segment in rows],
        }
    )
    return log_of_rows(table, source="made", now=NOW, connection=CONNECTION)


def plainly(rows: list[tuple[int, datetime, str]], unit: Period) -> dict[str, tuple[int, int, int, int]]:
    """Return period -> active, new, resurrected, churned, by sets."""
    active: dict[int, set[int]] = {}
    for user, moment, _ in rows:
        active.setdefault(number_of(moment.date(), unit), set()).add(user)
    found, seen, before = {}, set[int](), set[int]()
    for number in range(min(active), max(active) + 1):
        now = active.get(number, set())
        found[first_day(number, unit).isoformat()] = (
            len(now),
            len(now - seen),
            len((now & seen) - before),
            len(before - now),
        )
        seen, before = seen | now, now
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts, st.sampled_from(PERIODS))
def test_growth_adds_up_for_any_log(rows: list[tuple[int, datetime, str]], unit: Period) -> None:
    account = growth(log_of(rows), unit, by="segment")
    assert account.defects() == []
    whole = {row.period: (row.active, row.new, row.resurrected, row.churned) for row in account.segment()}
    assert whole == plainly(rows, unit)
    users = {user for user, _, _ in rows}
    assert sum(row.new for row in account.segment()) == len(users)  # everyone is new exactly once
    for segment in {segment for _, _, segment in rows}:
        mine = account.segment(segment or "(none)")
        assert sum(row.new for row in mine) == len({user for user, _, name in rows if name == segment})


def test_a_rollup_accounts_at_every_depth() -> None:
    log = world_log(CONNECTION)
    account = growth(log, "month", by=("app", "tenant"))
    assert account.defects() == []
    assert {row.depth for row in account.rows} == {0, 1, 2}
    tenants = [name for name in account.segments() if name.startswith("support · ")]
    assert len(tenants) == 3
    whole = account.segment("support")
    # Each user has one tenant here, so that within an application the tenants do add up.
    for place, row in enumerate(whole):
        assert row.active == sum(account.segment(name)[place].active for name in tenants)
        assert row.new == sum(account.segment(name)[place].new for name in tenants)
    with pytest.raises(SettingError, match=r"unknown column to split by: found 'topics'.*did you mean topic"):
        growth(log, by="topics")


def test_a_defect_would_be_told() -> None:
    account = growth(log_of([(1, datetime(2024, 1, 1), ""), (2, datetime(2024, 1, 2), "")]), "day")
    first, second = account.rows
    wrong = GrowthRow(
        second.period, "", second.before, second.active + 1, second.new, second.resurrected, second.churned
    )
    assert len(type(account)("day", (first, wrong), "made").defects()) == 1


def test_history_that_arrives_late_makes_no_one_new_again() -> None:
    recent = [(user, datetime(2024, 3, 1 + user), "") for user in range(5)]
    older = [(user, datetime(2024, 1, 10), "") for user in range(4)]
    before = growth(log_of(recent), "month").rows
    after = growth(log_of(recent + older), "month").rows
    assert [row.new for row in before] == [5]
    assert [(row.new, row.resurrected, row.active) for row in after] == [(4, 0, 4), (0, 0, 0), (1, 4, 5)]
    window = growth(log_of(recent + older), "month", since=date(2024, 3, 1))
    assert window.defects() == []
    assert window.rows == after[2:]


def test_one_user_on_one_day() -> None:
    (row,) = growth(log_of([(1, datetime(2024, 2, 29, 23, 59), "")]), "week").rows
    assert (row.period, row.before, row.active, row.new, row.churned, row.complete) == ("2024-02-26", 0, 1, 1, 0, False)
    assert row.quick_ratio is None


def test_periods_with_no_one_and_periods_cut_short() -> None:
    account = growth(log_of([(1, datetime(2024, 1, 1), ""), (1, datetime(2024, 1, 23), "")]), "week")
    assert [(row.active, row.resurrected, row.churned) for row in account.rows] == [
        (1, 0, 0),
        (0, 0, 1),
        (0, 0, 0),
        (1, 1, 0),
    ]
    assert [row.complete for row in account.rows] == [True, True, True, False]


@given(st.dates(date(1970, 1, 1), date(2199, 12, 31)), st.sampled_from(PERIODS))
def test_periods_tile_the_calendar(day: date, unit: Period) -> None:
    number = number_of(day, unit)
    assert first_day(number, unit) <= day < first_day(number + 1, unit)
    assert number_of(first_day(number, unit), unit) == number
    assert unit != "week" or first_day(number, unit).weekday() == 0


def test_stickiness_is_daily_over_monthly() -> None:
    start = datetime(2024, 1, 1)
    every_day = [(1, start + timedelta(days=day), "") for day in range(31)]
    once = [(2, start, ""), (3, datetime(2024, 2, 15), "")]
    (january,) = stickiness(log_of(every_day + once))
    assert january.value == pytest.approx((31 + 1) / 2 / 31)
    assert january.n == 2


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(SettingError, match="allowed day, week, month"):
        check_period("fortnight")


def test_cdnow_adds_up(cdnow_log: Log) -> None:
    for unit in PERIODS:
        account = growth(cdnow_log, unit)
        assert account.defects() == []
        assert sum(row.new for row in account.rows) == 23_570
    months = growth(cdnow_log, "month").rows
    assert len(months) == 18
    assert [row.active for row in months[:3]] == [7846, 9633, 9524]  # Q1 1997, counted from the file's lines by awk
    assert [row.new for row in months[:4]] == [7846, 8476, 7248, 0]
