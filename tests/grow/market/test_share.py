"""Shares and concentration: sums, an explicit rest, and flags for what a reader must know."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.grow.market.share import OTHER, Shares, concentration, shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Point, Provenance, Series

PROVENANCE = Provenance("made", "CC0", date(2026, 1, 1))


def series_of(table: dict[str, list[float | None]], unit: str = "percent", **marks: object) -> Series:
    length = len(next(iter(table.values())))
    times = ["2025-01", *following(["2025-01"], length - 1)]
    points = [
        Point(times[row], entity, "", "share of users", value, unit)
        for entity, values in table.items()
        for row, value in enumerate(values)
    ]
    return Series(tuple(sorted(points, key=lambda point: point.time)), PROVENANCE)


def codes(market: Shares) -> list[tuple[str, str]]:
    return [(flag.code, flag.time) for flag in market.flags]


@given(
    st.lists(
        st.lists(st.floats(0, 1e9), min_size=3, max_size=3).filter(lambda row: sum(row) > 1e-3), min_size=1, max_size=8
    )
)
def test_shares_of_amounts_sum_to_one(rows: list[list[float]]) -> None:
    market = shares(series_of({name: [row[place] for row in rows] for place, name in enumerate("abc")}, unit="CNY"))
    assert market.values.sum(1) == pytest.approx(np.ones(len(rows)))
    assert (market.values >= 0).all()
    assert market.whole.all()
    for item in concentration(market):
        assert item.hhi is not None
        assert item.cr4 is not None
        assert item.entropy is not None
        assert 10_000 / 3 - 1e-6 <= item.hhi <= 10_000 + 1e-6
        assert item.cr4 == pytest.approx(1)
        assert -1e-9 <= item.entropy <= np.log(3) + 1e-9


def test_the_rest_is_explicit_and_last() -> None:
    market = shares(series_of({"a": [50.0, 40.0], "b": [20.0, 60.0]}))
    assert market.entities == ("b", "a", OTHER)
    assert market.values.tolist() == [pytest.approx([0.2, 0.5, 0.3]), pytest.approx([0.6, 0.4, 0.0])]
    assert codes(market) == [("rest", "2025-01")]
    first = concentration(market)[0]
    assert (first.hhi, first.hhi_high) == (pytest.approx(2900), pytest.approx(3800))
    assert (first.leader, first.leader_share) == ("a", pytest.approx(0.5))


def test_a_rest_that_the_source_names_stays_last() -> None:
    market = shares(series_of({"其他": [70.0], "a": [30.0]}))
    assert market.entities == ("a", OTHER)
    assert market.values.tolist() == [pytest.approx([0.3, 0.7])]


def test_overlap_is_flagged_and_not_hidden() -> None:
    market = shares(series_of({"a": [80.0, 50.0], "b": [40.0, 50.0]}))
    assert codes(market) == [("overlap", "2025-01")]
    assert market.values[0].sum() == pytest.approx(1.2)
    assert concentration(market)[0].hhi is None
    assert market.whole.tolist() == [0.0, 1.0]


def test_missing_is_not_zero() -> None:
    market = shares(series_of({"a": [60.0, 60.0, None], "b": [40.0, None, None]}))
    assert np.isnan(market.values[1]).any()
    assert codes(market) == [("missing", "2025-02"), ("missing", "2025-03"), ("advice", "")]
    assert "b" in market.flags[0].what["zh"]
    assert [item.hhi is None for item in concentration(market)] == [False, True, True]
    assert market.latest()[0].name.endswith("2025-01")
    assert shares(series_of({"a": [6.0, None], "b": [4.0, 1.0]}, unit="USD")).whole.tolist() == [1.0, 0.0]


def test_rounding_is_scaled_away_and_said() -> None:
    market = shares(series_of({"a": [33.3], "b": [33.3], "c": [33.3]}))
    assert codes(market) == [("rounded", "2025-01")]
    assert market.values.sum() == pytest.approx(1)
    figure = market.latest()[0]
    assert (figure.low, figure.high) == (pytest.approx(1 / 3 - 0.0005), pytest.approx(1 / 3 + 0.0005))


def test_entry_and_exit_are_told() -> None:
    market = shares(series_of({"a": [100.0, 60.0, 100.0], "b": [0.0, 40.0, 0.0]}))
    assert codes(market) == [("entry", "2025-02"), ("exit", "2025-03")]


def test_a_share_over_one_hundred_percent_is_refused() -> None:
    with pytest.raises(InputError, match=r"a share of a in 2025-01 is over 100 %: found '?120"):
        shares(series_of({"a": [120.0], "b": [1.0]}))
    with pytest.raises(InputError, match="unit 'percent' or 'share'"):
        shares(series_of({"a": [60.0], "b": [40.0]}, unit="fraction"))


def test_one_that_is_missing_hides_no_other_and_nothing_known_is_told() -> None:
    market = shares(series_of({"a": [None], "b": [5.0]}))
    assert [(figure.name, figure.value, figure.n) for figure in market.latest()] == [("b 2025-01", 0.05, 1)]
    with pytest.raises(InputError, match="at no time is any share known"):
        shares(series_of({"a": [None], "b": [5.0]}, unit="USD")).latest()


def test_the_chatbot_market(chatbots: Shares) -> None:
    assert chatbots.entities[0] == "ChatGPT"
    assert chatbots.values.sum(1) == pytest.approx(np.ones(12))
    last = concentration(chatbots)[-1]
    assert last.hhi == pytest.approx(sum(x * x for x in (78.16, 8.65, 7.07, 3.19, 2.91, 0.02)), rel=1e-9)
    assert last.cr4 == pytest.approx(0.9707)
    assert ("break", "2025-05") in codes(chatbots)
