"""The benchmark of local days: pandas counts as Noria does on days of 23, 24 and 25 hours, and a wrong zone is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from benchmarks.localdays import CALENDARS, ZONES, by_pandas, counted
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.settings import LogSettings

UNITS = ("day", "week", "month", "quarter", "year")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Acts every 17 hours over two years, of users who come and go."""
    moments = [datetime(2023, 1, 3, tzinfo=UTC) + timedelta(hours=17 * number) for number in range(1000)]
    users = [f"u{(number * number) % 13 + number // 150}" for number in range(1000)]
    return pa.table({"user": users, "time": pa.array(moments, pa.timestamp("us", "UTC"))})


def opened(rows: pa.Table, zone: str, calendar: str) -> Log:
    settings = LogSettings.make(day_zone=zone, **CALENDARS[calendar])
    texts = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in rows["time"].to_pylist()]
    return log_of_rows(pa.table({"user": rows["user"], "time": texts}), source="s", calendar=settings.calendar())


@pytest.mark.parametrize(("zone", "calendar"), list(zip(ZONES * 2, CALENDARS, strict=True)))
def test_all_cells_are_equal(rows: pa.Table, zone: str, calendar: str) -> None:
    log = opened(rows, zone, calendar)
    for unit in UNITS:
        found = counted(log, unit)
        assert len(found) > 5
        assert found == by_pandas(rows, zone, unit, CALENDARS[calendar])


def test_a_wrong_zone_is_seen(rows: pa.Table) -> None:
    log = opened(rows, "UTC", "monday")
    assert counted(log, "day") != by_pandas(rows, "Asia/Shanghai", "day", CALENDARS["monday"])
