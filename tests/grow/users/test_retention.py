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
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
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


def test_rolling_counts_who_came_then_or_later() -> None:
    triangle = retention(log_of([("a", 0), ("a", 2), ("b", 0), ("c", 1), ("c", 3)]), "day", "rolling")
    assert list(triangle.counts.values()) == [[2, 1, 1, 0], [1, 1, 1], [0, 0], [0]]
    assert [point.name for point in triangle.curve()] == ["day 0+", "day 1+", "day 2+", "day 3+"]


def test_brackets_count_a_user_once_and_only_where_seen_whole() -> None:
    log = log_of([("a", 0), ("a", 2), ("a", 3), ("b", 0), ("b", 1), ("c", 2), ("c", 3), ("d", 6)])
    triangle = retention(log, "day", "bracketed", brackets=((1, 1), (2, 3), (4, 6)))
    assert list(triangle.counts.values())[:4] == [[2, 1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert [len(row) for row in triangle.counts.values()] == [4, 3, 3, 3, 2, 2, 1]
    assert [point.name for point in triangle.curve()] == ["day 0", "day 1", "day 2-3", "day 4-6"]
    cell = triangle.cell("2024-01-01", 2)
    assert (cell.value, cell.n) == (0.5, 2)
    with pytest.raises(SettingError, match="no such cell"):
        triangle.cell("2024-01-05", 3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), min_size=1, max_size=40))
def test_the_kinds_agree_where_they_must(days: list[tuple[str, int]]) -> None:
    log = log_of(days)
    first, rolling = retention(log, "day").counts, retention(log, "day", "rolling").counts
    brackets = retention(log, "day", "bracketed", brackets=((1, 2), (3, 9))).counts
    recurring = retention(log, "day", "recurring").counts
    for name, row in first.items():
        assert rolling[name][0] == brackets[name][0] == row[0]
        assert all(later >= just for later, just in zip(rolling[name], row, strict=True))
        assert rolling[name] == sorted(rolling[name], reverse=True)
        if len(brackets[name]) > 1:
            assert max(row[1:3]) <= brackets[name][1] <= sum(row[1:3])
        assert all(anyone >= new for anyone, new in zip(recurring[name], row, strict=True))


@pytest.mark.parametrize("brackets", [((0, 1),), ((3, 2),), ((4, 6), (1, 2)), ((1, 3), (3, 5))])
def test_what_are_no_brackets_is_refused(brackets: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(SettingError, match="no brackets of ages"):
        retention(log_of([("a", 0)]), "day", "bracketed", brackets=brackets)


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
