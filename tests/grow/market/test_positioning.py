"""Segments and targets: every user in one segment, rules that hold of their members, reasons that add up."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from noria.core.errors import InputError, SettingError
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.market.positioning import Customers, Segmentation, by_clusters, by_own, by_rules, customers
from noria.grow.market.targets import targets
from noria.grow.users.rhythm import rhythm


@pytest.fixture(scope="module")
def people(cdnow_tenth: Log) -> Customers:
    return customers(cdnow_tenth)


def rows_of(*rows: tuple[str, str, float | None, str]) -> Log:
    table = pa.table(
        {
            "user": [row[0] for row in rows],
            "time": [row[1] for row in rows],
            "value": [row[2] for row in rows],
            "segment": [row[3] for row in rows],
        }
    )
    return log_of_rows(table, source="made", now=datetime(2026, 12, 31, tzinfo=UTC))


def test_what_each_user_did(people: Customers, cdnow_tenth: Log) -> None:
    assert people.users.size == cdnow_tenth.users == 2357
    assert people.value.sum() == pytest.approx(float(cdnow_tenth.table.value.sum().to_pyarrow().as_py()))
    assert people.value_name == "USD"
    assert (people.recency <= people.age).all()
    assert (people.days >= 1).all()


@pytest.mark.parametrize("grouping", [by_rules, by_clusters, by_own])
def test_every_user_is_in_one_segment(grouping: object, people: Customers) -> None:
    found: Segmentation = grouping(people)  # type: ignore[operator]
    members = np.concatenate([segment.members for segment in found.segments])
    assert np.sort(members).tolist() == list(range(people.users.size))
    assert sum(segment.value.value for segment in found.segments) == pytest.approx(1)
    assert sum(segment.users.value for segment in found.segments) == pytest.approx(1)
    for segment in found.segments:
        assert all(told.both().keys() == {"en", "zh"} for told in (segment.name, segment.reason))
        assert segment.value.low is not None
        assert segment.value.high is not None
        assert segment.value.low <= segment.value.value <= segment.value.high


def test_rules_hold_of_their_members(people: Customers) -> None:
    found = {segment.name["en"]: segment for segment in by_rules(people).segments}
    best = found["champions"].members
    assert people.rhythm is not None
    assert people.recency[best].max() <= people.rhythm.near
    assert people.days[best].min() >= 2
    assert people.value[best].min() >= np.quantile(people.value, 0.8)
    assert people.recency[found["gone"].members].min() > people.rhythm.far
    between = people.recency[found["lapsing"].members]
    assert people.rhythm.near < between.min() <= between.max() <= people.rhythm.far
    assert found["champions"].value.value > 3 * found["champions"].users.value


@pytest.mark.parametrize(("every", "near"), [(1, (1, 2)), (7, (7, 9)), (365, (365, 380))])
def test_who_is_gone_is_told_by_how_often_people_come(every: int, near: tuple[int, int]) -> None:
    """A log of daily, weekly or yearly habits; the heaviest user does not outvote the others."""
    random = np.random.default_rng(0)
    begin, rows = datetime(2015, 1, 1, tzinfo=UTC).toordinal(), []
    for user in range(40):
        day = begin + int(random.integers(every))
        for _ in range(9):
            rows.append((f"u{user}", datetime.fromordinal(day).date().isoformat(), None, ""))
            day += (
                every
                + int(random.integers(-(every // 20), every // 20 + 2))
                + (2 * every if random.random() < 0.04 else 0)
            )
    rows += [("heavy", datetime.fromordinal(begin + day).date().isoformat(), None, "") for day in range(900)]
    found = rhythm(rows_of(*rows))
    assert found is not None
    assert found.users == 41
    assert near[0] <= found.near <= near[1]
    assert found.near <= found.far <= 3.5 * every
    rule = next(
        segment.reason for segment in by_rules(customers(rows_of(*rows))).segments if "within" in segment.reason["en"]
    )
    assert "3 of 4 returns come sooner" in rule["en"] or "first seen" in rule["en"]


def test_too_few_who_come_back_tell_no_rhythm() -> None:
    rows = [(f"u{user}", f"2026-03-{1 + user:02d}", None, "") for user in range(25)]
    log = rows_of(*rows, ("u1", "2026-03-30", None, ""))
    assert rhythm(log) is None
    found = {segment.name["en"]: segment.reason["en"] for segment in by_rules(customers(log)).segments}
    assert found["gone"] == (
        "not seen for over 23 days (the last fifth of all users; too few came back to tell a rhythm)"
    )


def test_clusters_find_what_is_there() -> None:
    random = np.random.default_rng(0)
    count = 60
    groups = np.repeat([0, 1, 2], count)
    days = np.array([1, 8, 40])[groups] + random.integers(0, 2, 3 * count)
    made = Customers(
        np.arange(3 * count).astype(str),
        np.array([300.0, 5.0, 60.0])[groups] + random.random(3 * count),
        np.full(3 * count, 400.0),
        days.astype(float),
        np.array([10.0, 1000.0, 100.0])[groups] * np.exp(random.normal(0, 0.1, 3 * count)),
        np.full(3 * count, ""),
        "CNY",
        400,
        "simulated",
        "CC0",
        datetime(2026, 1, 1, tzinfo=UTC).date(),
    )
    found = by_clusters(made)
    assert len(found.segments) == 3
    for segment in found.segments:
        assert len(np.unique(groups[segment.members])) == 1
        assert "beside" in segment.reason["en"]
    alike = Customers(
        made.users, np.ones(180), np.ones(180), np.ones(180), np.ones(180), made.own, "CNY", 9, "made", "", made.as_of
    )
    with pytest.raises(InputError, match="all users are alike"):
        by_clusters(alike)


def test_scores_are_what_their_reasons_say(people: Customers) -> None:
    found = targets(by_rules(people))
    for target in found:
        assert sum(target.contributions.values()) == pytest.approx(target.score)
        assert 0 <= target.score <= 1
    assert [target.score for target in found] == sorted((target.score for target in found), reverse=True)
    assert sum(target.first.value for target in found) == pytest.approx(1)
    assert found[0].segment.name["en"] == "champions"
    assert found[0].reason["en"].startswith("value +0.25")
    alone = targets(by_rules(people), {"users": 1.0})
    assert alone[0].contributions == {"users": pytest.approx(1.0)}
    assert alone[0].segment.members.size == max(target.segment.members.size for target in alone)


def test_weights_that_cannot_be(people: Customers) -> None:
    found = by_rules(people)
    with pytest.raises(SettingError, match=r"unknown measure of a target: found 'valu'.*did you mean value"):
        targets(found, {"valu": 1.0})
    with pytest.raises(InputError, match="not negative, and not all zero"):
        targets(found, {"value": 0.0})
    with pytest.raises(InputError, match="one segment has nothing"):
        targets(Segmentation(found.segments[:1], "rules", people))


def test_own_segments_and_units_where_there_is_no_value() -> None:
    log = rows_of(
        *(
            (f"u{number % 25}", f"2026-01-{1 + number % 28:02d}", None, "bank" if number % 25 < 10 else "shop")
            for number in range(200)
        )
    )
    people = customers(log)
    assert people.value_name == "units"
    assert people.value.sum() == 200
    assert {segment.name["en"]: segment.members.size for segment in by_own(people).segments} == {"bank": 10, "shop": 15}
    with pytest.raises(InputError, match="too few users to be segmented"):
        customers(rows_of(("a", "2026-01-01", 1.0, "")))
