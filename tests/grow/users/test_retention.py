"""Retention triangles: the published case, and what a plain reading counts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.grow.lake import connect
from noria.grow.log import Log, log_of_rows
from noria.grow.users.retention import retention

NOW = datetime(2030, 1, 1, tzinfo=UTC)
START = date(2024, 1, 1)
CONNECTION = connect(threads=1)


def log_of(days: list[tuple[str, int]]) -> Log:
    table = pa.table({"user": [user for user, _ in days], "time": [START + timedelta(days=day) for _, day in days]})
    return log_of_rows(table, source="made", now=NOW, connection=CONNECTION)


def test_the_published_case(shared_data: Path) -> None:
    golden = json.loads((shared_data / "growth" / "posthog-retention-golden.json").read_text(encoding="utf-8"))
    triangle = retention(log_of([(event["user"], event["day"]) for event in golden["events"]]), "day", "recurring")
    assert list(triangle.counts.values()) == list(golden["expected"].values())


def test_first_time_cohorts() -> None:
    triangle = retention(log_of([("a", 0), ("a", 2), ("b", 0), ("c", 1), ("c", 3)]), "day")
    assert list(triangle.counts.values()) == [[2, 0, 1, 0], [1, 0, 1], [0, 0], [0]]
    curve = triangle.curve()
    assert [(point.value, point.n) for point in curve] == [(1.0, 3), (0.0, 3), (pytest.approx(2 / 3), 3), (0.0, 2)]
    assert all(
        point.low is not None and point.high is not None and point.low <= point.value <= point.high for point in curve
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), min_size=1, max_size=40))
def test_first_time_cohorts_hold_everyone_once(days: list[tuple[str, int]]) -> None:
    triangle = retention(log_of(days), "day")
    assert sum(row[0] for row in triangle.counts.values()) == len({user for user, _ in days})
    assert sum(sum(row) for row in triangle.counts.values()) == len(set(days))  # every user-day in exactly one cell
    assert all(count <= row[0] for row in triangle.counts.values() for count in row)


def test_a_period_cut_short_is_no_age() -> None:
    log = log_of([("a", 0), ("a", 8), ("a", 15)])  # 2024-01-01 is a Monday; the third week has two days
    assert list(retention(log, "week").counts.values()) == [[1, 1], [0]]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SettingError, match="allowed first, recurring, bracketed, rolling"):
        retention(log_of([("a", 0)]), "day", "weekly")  # type: ignore[arg-type]


def test_cdnow_cohorts(cdnow_log: Log) -> None:
    counts = list(retention(cdnow_log, "month").counts.values())
    assert [row[0] for row in counts[:4]] == [7846, 8476, 7248, 0]
    assert [len(row) for row in counts[:3]] == [18, 17, 16]
