"""Funnels: what a plain reading of each user's acts counts, in every order and window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.users.funnel import ORDERS, Order, funnel, parse_steps

NOW = datetime(2030, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
CONNECTION = connect(threads=1)
Act = tuple[str, float, str]
"""User, hours after the start, segment."""


def log_of(acts: list[Act]) -> Log:
    table = pa.table(
        {
            "user": [user for user, _, _ in acts],
            "time": pa.array([START + timedelta(hours=hours) for _, hours, _ in acts], pa.timestamp("us", "UTC")),
            "segment": [segment for _, _, segment in acts],
        }
    )
    return log_of_rows(table, source="made", now=NOW, connection=CONNECTION)


def came(acts: list[Act], steps: str, days: float, order: Order) -> int:
    """Return how far one user came, by trying every choice of acts."""
    mine = sorted((hours, segment) for _, hours, segment in acts)
    moments = sorted({hours for hours, _ in mine})
    best = 0
    for count in range(1, len(steps) + 1):
        for chosen in combinations(range(len(mine)), count):
            hours = [mine[at][0] for at in chosen]
            names = [mine[at][1] for at in chosen]
            if hours[-1] - hours[0] > 24 * days:
                continue
            if order == "any":
                good = len(set(names)) == count and set(names) <= set(steps)
            else:
                good = names == list(steps[:count]) and all(a < b for a, b in pairwise(hours))
                places = [moments.index(hour) for hour in hours]
                if order == "strict":
                    good = good and all(b == a + 1 for a, b in pairwise(places))
            if good:
                best = max(best, count)
    return best


acts = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(0, 9).map(lambda six: 6.0 * six), st.sampled_from("abcd")),
    min_size=1,
    max_size=18,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts, st.sampled_from(ORDERS), st.sampled_from([0.25, 0.5, 1.0, 2.5]))
def test_a_funnel_counts_what_trying_everything_counts(rows: list[Act], order: Order, days: float) -> None:
    log = log_of(rows)
    found = funnel(log, parse_steps("a > b > c", log), days=days, order=order)
    far = [came([row for row in rows if row[0] == user], "abc", days, order) for user in "xyz"]
    assert found.users == tuple(sum(one >= count for one in far) for count in (1, 2, 3))


def test_times_and_rates() -> None:
    log = log_of(
        [("x", 0, "a"), ("x", 5, "b"), ("x", 6, "a"), ("x", 7, "b"), ("y", 0, "a"), ("y", 3, "b"), ("z", 0, "a")]
    )
    found = funnel(log, parse_steps("a>b", log), days=1)
    assert found.users == (3, 2)
    assert (found.rate(1).value, found.rate(1).n) == (pytest.approx(2 / 3), 3)
    hours = found.hours(1)
    assert hours is not None
    assert (hours.value, hours.low, hours.high) == (
        3,
        1,
        3,
    )  # x's quickest is 6 -> 7; of two values the upper is the median
    assert found.hours(0) is None


def test_a_repeated_step_needs_a_second_act() -> None:
    log = log_of([("x", 0, "a"), ("y", 0, "a"), ("y", 1, "a")])
    assert funnel(log, parse_steps("a > a", log)).users == (2, 1)


def test_a_longer_window_never_loses_anyone() -> None:
    log = log_of([("x", 0, "a"), ("x", 30, "b"), ("y", 0, "a"), ("y", 200, "b")])
    steps = parse_steps("a > b", log)
    assert [funnel(log, steps, days=days).users[1] for days in (1, 2, None)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("steps", "arguments", "message"),
    [
        ("a", {}, "two steps or more"),
        ("colour=red > a", {}, "unknown column of a step"),
        ("a > b", {"order": "reverse"}, "allowed ordered, strict, any"),
        ("a > b", {"days": -1}, "out of range"),
    ],
)
def test_what_is_no_funnel_is_refused(steps: str, arguments: dict[str, object], message: str) -> None:
    log = log_of([("x", 0, "a")])
    with pytest.raises(SettingError, match=message):
        funnel(log, parse_steps(steps, log), **arguments)  # type: ignore[arg-type]


def test_a_step_nobody_took() -> None:
    log = log_of([("x", 0, "a")])
    found = funnel(log, parse_steps("q > b > c", log))
    assert found.users == (0, 0, 0)
    assert found.rate(1).n == 0
    assert found.rows()[2]["median_hours"] is None
