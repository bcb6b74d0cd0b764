"""Periods as bits: the same cells as a plain count of each user's periods, in one word, in several, and where there are too many."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from noria.grow.log.acts import log_of_table
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.user_days import keyed, tally, user_days
from noria.grow.settings import LogSettings
from noria.grow.users.activity import growth
from noria.grow.users.bits import BITS, WORDS, cells, user_bits
from noria.grow.users.funnel import ORDERS, funnel, parse_steps
from noria.grow.users.periods import Period, number_of

START = datetime(2023, 5, 1, tzinfo=UTC)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def rows_of(days: int) -> list[tuple[str, datetime, str]]:
    """Return acts of users whose names are awkward, on chance days; the ends of the log are there, and those of every word."""
    random = np.random.default_rng(days)
    names = ["李雷", "o'hara", " a", "A", "a", *(f"user {number}" for number in range(12))]
    told = [
        (names[int(who)], int(day))
        for who, day in zip(random.integers(0, 17, 150), random.integers(0, days, 150), strict=True)
    ]
    told += [
        ("edge", day) for word in range(days // BITS + 1) for day in (word * BITS - 1, word * BITS) if 0 <= day < days
    ]
    told += [("last", days - 1), ("李雷", 0)]
    return [
        (name, START + timedelta(days=day, hours=3 * (at % 8)), "abc"[at % 3]) for at, (name, day) in enumerate(told)
    ]


def log_of(rows: list[tuple[str, datetime, str]], period: Period = "week") -> Log:
    users, times, segments = zip(*rows, strict=True)
    table = pa.table({"user": users, "time": pa.array(times, pa.timestamp("us", "UTC")), "segment": segments})
    made = connect(threads=1).create_table("acts", table)
    return log_of_table(made, LogSettings(period=period), source="made", now=NOW)


def counted(rows: list[tuple[str, datetime, str]], unit: Period) -> Counter[tuple[int, int, bool]]:
    periods: dict[str, set[int]] = {}
    for name, time, _ in rows:
        periods.setdefault(name, set()).add(number_of(time.date(), unit))
    return Counter((min(own), one, one - 1 in own) for own in periods.values() for one in own)


@pytest.mark.parametrize("days", [1, BITS, BITS + 1, 150, WORDS * BITS, WORDS * BITS + 1])
@pytest.mark.parametrize("folded", [False, True])
def test_cells_are_a_plain_count(days: int, folded: bool) -> None:
    rows = rows_of(days)
    log = log_of(rows)
    assert (log.users, log.rows) == (len({name for name, _, _ in rows}), len(rows))
    if folded:
        user_days(log)
    assert (user_bits(log, "day") is None) is (days > WORDS * BITS)
    units: tuple[Period, ...] = ("day", "week", "month")
    for unit in units:
        expected = counted(rows, unit)
        found = cells(log, unit)
        assert {(cell.first, cell.period): (cell.active, cell.stayed) for cell in found} == {
            (first, period): (
                expected[first, period, True] + expected[first, period, False],
                expected[first, period, True],
            )
            for first, period, _ in expected
        }
        assert len(found) == len({(cell.first, cell.period) for cell in found})


def test_segments_have_cells_of_their_own() -> None:
    rows = rows_of(150)
    account = growth(log_of(rows), "day", by="segment")
    for name in "abc":
        own = counted([row for row in rows if row[2] == name], "day")
        assert sum(row.active for row in account.segment(name)) == sum(own.values())
        assert sum(row.retained for row in account.segment(name)) == sum(
            n for (_, _, stayed), n in own.items() if stayed
        )


def test_names_that_share_a_hash_are_told_by_their_rank() -> None:
    rows = rows_of(40)
    log, other = log_of(rows), log_of(rows)
    assert tally(log).unlike
    other.kept["tally of people"] = replace(tally(other), unlike=False)
    steps = parse_steps("a > b > c", log)
    assert funnel(log, steps).users[1] > 0
    for order in ORDERS:
        assert funnel(other, steps, order=order) == funnel(log, steps, order=order)


def test_acts_of_no_one_are_left_out() -> None:
    table = connect(threads=1).create_table("acts", pa.table({"user": ["a", " ", "", None, "b", "a"]}))
    log = Log(table, "made")
    assert (tally(log).named, tally(log).blank) == (2, 3)
    keys = keyed(log, table).to_pyarrow()["user"].to_pylist()
    assert (len(keys), len(set(keys))) == (3, 2)
