"""A lake's events as a market: every base counted on its own, and reconciled with the events."""

from __future__ import annotations

import ibis
import pytest
from markets import table_of

from noria.core.errors import InputError, SettingError
from noria.grow.market.bases import bases
from noria.grow.market.decompose import decompose
from noria.grow.market.served import NOBODY, served_series
from noria.grow.market.share import shares


@pytest.fixture(scope="module")
def table() -> ibis.Table:
    return table_of(
        {"time": "2026-05-04T10:00", "user": "u1"},
        {"time": "2026-05-04T11:00", "user": "u1"},
        {"time": "2026-05-05T11:00", "user": "u1", "app": "monitor", "units": 100},
        {"time": "2026-05-06T11:00", "user": "u2"},
        {"time": "2026-05-12T10:00", "user": "u2", "app": "monitor", "segment": "en"},
        {"time": "2026-05-13T10:00", "user": "", "app": "monitor"},
        {"time": "2026-05-13T10:00", "user": "u3", "app": ""},
        {"time": "2026-05-13T12:00", "kind": "conversion", "app": "recommend", "value": 7.5},
        {"time": "2026-05-13T12:00", "kind": "feedback", "value": -1.0},
    )


def test_every_base_is_counted_on_its_own(table: ibis.Table) -> None:
    series = served_series(table)
    assert series.measures == ("requests", "tokens", "users", "reach", "revenue")
    assert series.provisional_times == ("2026-05-11",)
    market = shares(series, "requests")
    first = dict(zip(market.entities, market.values[0].tolist(), strict=True))
    assert (first["support"], first["monitor"]) == (pytest.approx(0.75), pytest.approx(0.25))
    tokens = shares(series, "tokens")
    assert tokens.values[0, tokens.entities.index("monitor")] == pytest.approx(100 / 130)
    # Each user once, where they sent most; requests without a user have no part in it.
    users = {(point.time, point.entity): point.value for point in series.points if point.measure == "users"}
    assert users["2026-05-04", "support"] == 2
    assert users["2026-05-11", "monitor"] == 1
    assert users["2026-05-11", NOBODY] == 1
    reach = shares(series, "reach")
    assert "overlap" in {flag.code for flag in reach.flags}
    assert shares(series, "revenue").values[1].tolist()[:1] == [1.0]
    total = sum(point.value or 0 for point in series.points if point.measure == "requests")
    assert total == 7


def test_entry_and_exit_are_told_of_own_use(table: ibis.Table) -> None:
    market = shares(served_series(table), "requests")
    told = {(flag.code, flag.time) for flag in market.flags}
    assert ("exit", "2026-05-11") in told
    assert ("entry", "2026-05-11") in told
    sides = bases(served_series(table))
    assert set(sides.markets) == {"requests", "tokens", "users", "reach", "revenue"}


def test_segments_of_own_use_can_be_decomposed(table: ibis.Table) -> None:
    series = served_series(table, "app", split="segment")
    assert set(series.segments) == {"zh", "en"}
    found = decompose(series, "requests")
    assert found.defects() == []
    assert {item.entity: round(item.entry, 3) for item in found.changes}["monitor"] == pytest.approx(1 / 3, abs=1e-3)


def test_what_cannot_be_shared_is_said(table: ibis.Table) -> None:
    with pytest.raises(SettingError, match="unknown column to share by: found 'user'"):
        served_series(table, "user")
    with pytest.raises(InputError, match="holds no request yet"):
        served_series(table.filter(table.kind == "feedback"))


def test_a_single_day_and_a_single_user(table: ibis.Table) -> None:
    series = served_series(table_of({"time": "2026-05-04T10:00"}), period="day")
    assert shares(series, "users").values.tolist() == [[1.0, 0.0]]
    assert shares(series, "requests").times == ("2026-05-04",)
