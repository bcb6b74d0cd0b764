"""Power users, the way from the first act to money, and needs: what a plain reading of the log counts, and what is not measured."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.core.figure import proportion
from noria.grow.log.lake import SCHEMA, connect
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_events, log_of_rows
from noria.grow.users.journey import journey
from noria.grow.users.needs import difference, needs
from noria.grow.users.power import _spread, power
from noria.lake.event import FACTS
from tests.grow.worlds import world_log

NOW = datetime(2030, 1, 1, tzinfo=UTC)
START = date(2024, 1, 1)
CONNECTION = connect(threads=1)


def log_of(acts: list[tuple[str, int, float | None]]) -> Log:
    table = pa.table(
        {
            "user": [user for user, _, _ in acts],
            "time": [START + timedelta(days=day) for _, day, _ in acts],
            "value": pa.array([value for _, _, value in acts], pa.float64()),
        }
    )
    return log_of_rows(table, source="made", unit="USD", now=NOW, connection=CONNECTION)


def log_of_facts(*facts: dict[str, object]) -> Log:
    """Return a log of events; what is not said is plain."""
    plain = {
        "tenant": "t",
        "app": "support",
        "model": "m",
        "version": "v",
        "units": 1,
        "unit": "items",
        "latency_ms": 1.0,
        "outcome": "ok",
        "segment": "",
        "consent": False,
        "subject": "",
        "value": None,
        "kind": "request",
        "user": "a",
    }
    rows = [
        {
            **plain,
            "id": f"{place:04d}",
            **fact,
            "time": datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=fact["day"]),
        }
        for place, fact in enumerate(facts)
    ]  # type: ignore[arg-type]
    table = pa.Table.from_pylist([{name: row[name] for name in FACTS} for row in rows], schema=SCHEMA)
    name = ibis.util.gen_name("facts")
    return log_of_events(CONNECTION.create_table(name, table, temp=True).mutate(time=ibis._.time.cast("timestamp(6)")))


def test_days_active_and_the_weight_of_the_heaviest() -> None:
    acts = (
        [("heavy", day, None) for day in range(28) for _ in range(5)]
        + [(f"u{n}", n % 28, None) for n in range(60)]
        + [("u0", 27, None)]
    )
    found = power(log_of(acts))
    assert found.histogram[0] == 59
    assert found.histogram[1] == 1
    assert found.histogram[27] == 1
    assert (found.users, found.often.n) == (61, 61)
    assert found.often.value == pytest.approx(1 / 61)
    one, ten = found.top
    assert one.value == pytest.approx(0.61 * 140 / 201)  # one in a hundred of 61 users is a part of the heaviest
    assert ten.value > one.value
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.value <= one.high
    assert power(log_of(acts)).top == found.top  # the seed decides


def test_only_the_last_days_count() -> None:
    found = power(log_of([("old", 0, None), ("a", 40, None), ("b", 30, None), ("b", 31, None)]), days=14)
    assert found.histogram[:2] == (1, 1)
    assert found.users == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_concentration_is_what_its_definition_says(acts: list[int]) -> None:
    numbers, users = np.unique(acts, return_counts=True)
    one, ten, gini = _spread(numbers.astype(float), users[None, :].astype(float))[0]
    each = np.array(acts, dtype=float)
    assert gini == pytest.approx(
        np.abs(each[:, None] - each[None, :]).sum() / (2 * each.size**2 * each.mean()), abs=1e-9
    )
    fine = np.sort(np.repeat(each, 100))[::-1]  # a hundredth of a user at a time
    assert ten == pytest.approx(fine[: fine.size // 10].sum() / fine.sum())
    assert one == pytest.approx(fine[: fine.size // 100].sum() / fine.sum())


def test_one_user_on_one_day_is_no_failure() -> None:
    log = log_of([("a", 0, None)])
    found = power(log)
    assert (found.days, found.histogram, found.gini.value) == (1, (1,), 0.0)
    way = journey(log, "week")
    assert way.figures() == []
    assert set(way.silence) == {"acquisition", "activation", "retention", "referral", "revenue"}
    assert needs(log)[0].change is None


def test_too_few_days_are_refused() -> None:
    with pytest.raises(SettingError, match="2 or more"):
        power(log_of([("a", 0, None)]), days=1)
    with pytest.raises(SettingError, match="activation takes two acts"):
        journey(log_of([("a", 0, None)]), acts=1)


def test_the_way_of_a_log_with_amounts() -> None:
    # 2024-01-01 is a Monday; the log covers four whole weeks
    acts = [
        ("a", 0, 10.0),
        ("a", 1, 10.0),
        ("a", 2, 5.0),
        ("b", 0, None),
        ("b", 9, None),
        ("c", 22, 2.0),
        ("d", 27, None),
    ]
    way = journey(log_of(acts), "week")
    assert way.acquisition is not None
    assert (way.acquisition.value, way.acquisition.n) == (2, 2)
    assert way.activation is not None
    assert (way.activation.value, way.activation.n) == (0.5, 2)  # c and d were not seen for seven days
    assert way.retention is not None
    assert (way.retention.value, way.retention.n) == (0.5, 2)
    assert way.paying is not None
    assert (way.paying.value, way.paying.n) == (0.5, 4)
    assert way.revenue is not None
    assert (way.revenue.value, way.revenue.unit, way.revenue.n) == (pytest.approx(27 / 4), "USD", 4)
    assert list(way.silence) == ["referral"]


def test_referral_and_revenue_of_a_lake_are_conversions() -> None:
    facts = [{"day": 30, "user": user} for user in "abcd"]
    facts += [{"day": 1, "user": "a", "kind": "conversion", "segment": "referral"}]  # longer ago than 28 days
    facts += [{"day": 29, "user": "b", "kind": "conversion", "segment": "referral"} for _ in range(3)]
    facts += [
        {"day": 29, "user": "c", "kind": "conversion", "value": 8.0},
        {"day": 29, "user": "", "kind": "conversion", "value": 99.0},
    ]
    way = journey(log_of_facts(*facts), "week")
    assert way.referral is not None
    assert (way.referral.value, way.referral.n) == (0.25, 4)
    assert way.viral is not None
    assert way.viral.value == 0.75
    assert way.viral.low is not None
    assert way.viral.low < 0.75
    assert way.paying is not None
    assert way.revenue is not None
    assert (way.paying.value, way.revenue.value) == (0.25, 2.0)
    quiet = journey(log_of_facts({"day": 0}, {"day": 9}), "week")
    assert quiet.silence["referral"] == "no conversion of segment referral in the last 28 days"
    assert quiet.viral is None


def test_needs_by_topic_and_how_often_they_were_not_met() -> None:
    facts: list[dict[str, object]] = [{"day": 0, "user": "z", "segment": "price"}]
    facts += [{"day": 40, "user": user, "segment": "退款"} for user in "abc"]
    facts += [
        {"day": 41, "user": "a", "segment": "退款", "outcome": "failed"},
        {"day": 59, "user": "d", "segment": "price"},
    ]
    facts += [
        {"day": 41, "kind": "handover", "subject": "0001"},
        {"day": 42, "kind": "feedback", "subject": "0002", "value": -1.0},
    ]
    facts += [
        {"day": 43, "kind": "feedback", "subject": "0002", "value": 1.0},
        {"day": 43, "kind": "feedback", "subject": "0003", "value": -1.0},
    ]
    found = {need.topic: need for need in needs(log_of_facts(*facts), days=28)}
    refund = found["退款"]
    assert (refund.requests, refund.asked.value, refund.asked.n) == (4, 0.75, 4)
    assert refund.unmet is not None
    assert (refund.unmet.value, refund.unmet.n) == (
        0.75,
        4,
    )  # handed over, wrong by the last word, failed; the second was right in the end
    assert found["price"].unmet is not None
    assert found["price"].unmet.value == 0
    assert refund.change is None  # no one asked in the 28 days before
    wider = {need.topic: need for need in needs(log_of_facts(*facts), days=30)}
    assert wider["退款"].change is not None
    assert wider["退款"].change.value == pytest.approx(0.75)


def test_the_interval_of_a_difference() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table II, row (a) 56/70 - 48/80, method 10: 0.0524 to 0.3339
    found = difference("d", proportion("", 56, 70), proportion("", 48, 80))
    assert (found.value, found.low, found.high) == (
        pytest.approx(0.2),
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )


def test_a_world_of_events_is_told_in_full() -> None:
    log = world_log(CONNECTION)
    way = journey(log, "week")
    assert len(way.figures()) == 7
    assert sum(need.requests for need in needs(log, 366)) == log.rows
