"""Decomposition: it adds up on any market whatever, and on cases worked by hand."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from noria.core.errors import InputError, SettingError
from noria.grow.bundled import chatbot_shares
from noria.grow.market.bases import bases, by_segment
from noria.grow.market.decompose import concentration_change, decompose
from noria.grow.market.share import Shares, whole_market
from noria.grow.series.series import Floats, Point, Provenance, Series, read_series
from tests.grow.market.test_share import series_of

PROVENANCE = Provenance("made", "CC0", date(2026, 1, 1))
amount = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))


def market_of(cube: Floats, unit: str = "USD") -> Series:
    """Return the series of amounts (times, segments, entities)."""
    points = [
        Point(f"2025-{time + 1:02d}", f"e{entity}", f"s{part}", "revenue", float(cube[time, part, entity]), unit)
        for time in range(cube.shape[0])
        for part in range(cube.shape[1])
        for entity in range(cube.shape[2])
    ]
    return Series(tuple(points), PROVENANCE)


@settings(deadline=None)
@given(
    arrays(np.float64, st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 4)), elements=amount).filter(
        lambda cube: bool((cube.sum((1, 2)) > 0).all())
    )
)
def test_it_adds_up_in_every_market(cube: Floats) -> None:
    found = decompose(market_of(cube), "revenue")
    assert found.defects() == []
    for item in found.changes:
        assert item.within + item.mix + item.entry + item.exit == pytest.approx(item.change, abs=1e-12)
        assert sum(item.segments.values()) == pytest.approx(item.change, abs=1e-12)
    assert sum(item.change for item in found.changes) == pytest.approx(0, abs=1e-12)
    for link in found.links:
        assert link.own == pytest.approx(link.market + link.share, abs=1e-9)
        column = int(link.entity[1:])
        moved = cube[1, :, column].sum() - cube[0, :, column].sum()
        assert link.from_market + link.from_share == pytest.approx(moved, rel=1e-9, abs=1e-6)


@settings(deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.just(2), st.integers(1, 3), st.integers(1, 4)),
        elements=st.sampled_from([0.0, 0.001, 1.0, 2.0, 3.0, 100.0, 500.5, 1e6]),
    ).filter(lambda cube: bool((cube.sum((1, 2)) > 0).all()))
)
def test_nobody_is_left_out_for_being_alike(cube: Floats) -> None:
    """Values that meet by chance in two periods make no total, in none of the segments."""
    assert len(decompose(market_of(cube), "revenue").changes) == cube.shape[2]


def test_a_market_by_hand() -> None:
    # e0 holds half of both segments and keeps it; the second segment, where e1 is alone with it, triples: no mix for e0.
    cube = np.array([[[50.0, 50.0, 0.0], [10.0, 10.0, 0.0]], [[50.0, 50.0, 0.0], [30.0, 0.0, 30.0]]])
    found = {item.entity: item for item in decompose(market_of(cube), "revenue").changes}
    assert (found["e0"].within, found["e0"].mix) == (pytest.approx(0), pytest.approx(0))
    assert found["e1"].exit == pytest.approx(-10 / 120)
    assert found["e1"].mix == pytest.approx(0.5 * (100 / 160 - 100 / 120))
    assert found["e2"].entry == pytest.approx(30 / 160)
    assert found["e2"].segments == {"s0": 0.0, "s1": pytest.approx(30 / 160)}


def test_missing_is_not_zero_here_either() -> None:
    points = [
        Point("2025-01", "a", "", "m", 1.0, "USD"),
        Point("2025-02", "a", "", "m", 1.0, "USD"),
        Point("2025-02", "b", "", "m", 3.0, "USD"),
    ]
    series = Series(tuple(points), PROVENANCE)
    with pytest.raises(InputError, match=r"two times at which everything is known.*--unlisted outside"):
        decompose(series, "m")
    with pytest.raises(InputError, match="values are missing in 2025-01"):
        decompose(series, "m", first="2025-01")
    found = decompose(series, "m", unlisted="outside")
    assert {item.entity: item.entry for item in found.changes} == {"a": 0.0, "b": pytest.approx(0.75)}
    with pytest.raises(SettingError, match="no such time"):
        decompose(series, "m", first="2024-01")


def test_shares_without_sizes_are_not_summed() -> None:
    cube = np.full((2, 2, 2), 50.0)
    with pytest.raises(InputError, match="without the segments' sizes"):
        decompose(market_of(cube, "percent"), "revenue")
    with pytest.raises(InputError, match="they overlap"):
        decompose(series_of({"a": [80.0, 50.0], "b": [40.0, 50.0]}))


def test_the_chatbots_begin_after_their_break(chatbots: Shares) -> None:
    found = decompose(read_series(chatbot_shares()))
    assert (found.before, found.after) == ("2025-05", "2026-03")
    assert found.links == ()
    assert "not identified" in found.silence["en"]
    rows = {item.entity: item for item in found.changes}
    assert rows["Google Gemini"].change == pytest.approx(0.0865 - 0.0195, abs=2e-4)
    across = decompose(read_series(chatbot_shares()), first="2025-04")
    assert "change of counting" in across.notes[0]["en"]
    parts = concentration_change(chatbots.values[1, :-1], chatbots.values[-1, :-1])
    assert parts.sum() == pytest.approx(
        10_000 * ((chatbots.values[-1, :-1] ** 2).sum() - (chatbots.values[1, :-1] ** 2).sum())
    )


def test_segments_and_bases_stay_apart() -> None:
    cube = np.array([[[60.0, 40.0], [5.0, 45.0]], [[70.0, 30.0], [5.0, 45.0]]])
    series = market_of(cube)
    inside = by_segment(series)
    assert inside["s0"].values[1, :2].tolist() == [pytest.approx(0.7), pytest.approx(0.3)]
    whole = whole_market(series, "revenue")
    assert whole.values[1, whole.entities.index("e0")] == pytest.approx(0.5)
    users = [
        Point(point.time, point.entity, "", "users", 50.0, "users") for point in series.points if point.segment == "s0"
    ]
    sides = bases(Series((*series.points, *users), PROVENANCE))
    assert set(sides.markets) == {"revenue", "users"}


def test_a_sum_over_segments_with_a_missing_part_is_missing() -> None:
    series = Series(
        (
            Point("2025", "a", "x", "m", 1.0, "USD"),
            Point("2025", "a", "y", "m", None, "USD"),
            Point("2025", "b", "x", "m", 1.0, "USD"),
        ),
        PROVENANCE,
    )
    market = whole_market(series, "m")
    assert np.isnan(market.values).all()
    assert market.cells.high[0, :2].tolist() == [1.0, 1.0]
    assert not market.cells.known[0].any()
