"""Lift and coverage by week: those of a made-up shop whose truth is known, and none where too few came."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa

from noria.grow.log.lake import SCHEMA
from noria.grow.log.zones import UTC_DAYS
from noria.grow.promote.by_week import coverage, shown_by_week

LAST = date(2026, 3, 28)
CLICKED = {"taste": 0.4, "chance": 0.1}


def table(weeks: int, users: int) -> ibis.Table:
    random, rows = np.random.default_rng(0), []

    def add(kind: str, time: datetime, user: str, item: str, segment: str) -> None:
        given = {"id": f"{len(rows):08d}", "time": time, "kind": kind, "user": user, "tenant": "t", "app": "recommend"}
        rest = dict.fromkeys(("model", "version"), "") | {"outcome": "ok", "unit": "items", "units": 1}
        rows.append(
            given | rest | {"latency_ms": 1.0, "value": 1.0, "consent": False, "subject": item, "segment": segment}
        )

    for week in range(weeks):
        for user in range(users):
            time = datetime(2026, 3, 23, 12, tzinfo=UTC) - timedelta(days=7 * week)
            for number in range(12):
                why, item = ("taste", "chance")[number % 4 == 3], f"i{int(random.integers(10 * (weeks - week)))}"
                time += timedelta(minutes=1)
                add("impression", time, f"u{user}", item, why)
                if random.random() < CLICKED[why]:
                    add("click", time + timedelta(seconds=5), f"u{user}", item, "")
    connection = ibis.duckdb.connect()
    connection.con.execute("SET TimeZone = 'UTC'")
    columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
    connection.con.register("events", pa.table(columns, schema=SCHEMA))
    return connection.sql("SELECT * REPLACE (make_timestamp(epoch_us(time)) AS time) FROM events", dialect="duckdb")


def test_lift_is_that_of_the_shop_and_coverage_is_counted() -> None:
    weeks = shown_by_week(table(3, 60), UTC_DAYS, LAST)
    assert [week.begins for week in weeks] == [date(2026, 3, 8), date(2026, 3, 15), date(2026, 3, 22)]
    assert [week.items for week in weeks] == [10, 20, 30]
    assert list(coverage(weeks, 40).values()) == [0.25, 0.5, 0.75]
    for week in weeks:
        assert week.shown == 720
        assert week.users == 60
        assert week.lift is not None
        assert week.lift.low is not None
        assert week.lift.high is not None
        assert 0 < week.lift.low < 0.3 < week.lift.high
        assert week.lift.level > 0.98


def test_of_too_few_users_no_lift_is_told() -> None:
    (week,) = shown_by_week(table(1, 19), UTC_DAYS, LAST)
    assert week.lift is None
    assert shown_by_week(table(1, 2), UTC_DAYS, LAST - timedelta(days=90)) == []
