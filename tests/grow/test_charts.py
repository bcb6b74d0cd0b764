"""Charts as ECharts options: what a single period leaves to be drawn is drawn."""

from __future__ import annotations

from markets import PROVENANCE

from noria.console import charts
from noria.core.figure import proportion
from noria.core.messages import message
from noria.grow.market.share import shares
from noria.grow.report.charts.chart import PALETTE, band, dotted, line
from noria.grow.report.charts.market import concentration_chart, share_chart
from noria.grow.series.series import Point, Series

DOT = {"symbol": "circle", "symbolSize": 7}


def test_points_with_none_beside_them_are_dots() -> None:
    assert dotted([1.0, 2.0, None, 3.0, None, None, 4.0, 5.0]) == [
        1.0,
        2.0,
        None,
        {"value": 3.0, **DOT},
        None,
        None,
        4.0,
        5.0,
    ]
    assert line(message("users.forecast"), [7.0], PALETTE[0])["data"] == [{"value": 7.0, **DOT}]
    assert line(message("users.forecast"), [], PALETTE[0])["data"] == []


def test_a_band_of_one_period_is_a_bar_from_end_to_end() -> None:
    name = message("users.interval_95")
    assert len(band([1.0, 2.0, 2.0], [3.0, 4.0, 5.0], PALETTE[0], name)) == 2  # an area, and what lies below it
    (*_, bar) = band([None, 30.0, None, 40.0, 42.0], [None, 50.0, None, 60.0, 66.0], PALETTE[0], name)
    assert (bar["type"], bar["name"]) == ("boxplot", name)
    assert bar["data"] == [["-"] * 5, [30.0, 30.0, 40.0, 50.0, 50.0], *[["-"] * 5] * 3]
    (only,) = charts.band("HHI", [["2026", 3500.0, 4800.0]])
    assert only["data"] == [["2026", 3500.0], ["2026", 4800.0]]
    assert only["lineStyle"]["width"] > 10


def test_two_periods_are_no_course() -> None:
    name = message("users.interval_95")
    _lower, area, bars = band([1.0, 2.0], [3.0, 4.0], PALETTE[0], name)
    assert area["areaStyle"]["opacity"] == 0
    assert [bar[0] for bar in bars["data"]] == [1.0, 2.0]
    drawn = line(name, [1.0, None, 2.0], PALETTE[0])
    assert drawn["lineStyle"]["opacity"] == 0
    assert [value and value["value"] for value in drawn["data"]] == [1.0, None, 2.0]
    assert "opacity" not in line(name, [1.0, 2.0, 3.0], PALETTE[0])["lineStyle"]


def test_a_course_is_drawn_where_each_point_rests_on_enough() -> None:
    enough = [(f"2026-0{month}", proportion("x", 10, 40)) for month in range(1, 7)]
    assert charts.course("x", enough)[0]["lineStyle"].get("opacity") != 0
    for some in (enough[:3], [*enough, ("2026-07", proportion("x", 1, 3))]):
        dots, *bars = charts.course("x", some)
        assert dots["lineStyle"]["opacity"] == 0
        assert dots["showSymbol"]
        assert len(bars) == len(some)
        assert [bar["data"][0][1] for bar in bars] == [
            round(100 * one.low, 1) for _, one in some if one.low is not None
        ]


def test_a_market_of_one_period_is_not_drawn_empty() -> None:
    points = tuple(
        Point("2026", name, "", "share of users", value, "percent") for name, value in (("甲", 60.0), ("乙", 40.0))
    )
    market = shares(Series(points, PROVENANCE))
    for chart in (share_chart(market), concentration_chart(market)):
        assert all(item["symbol"] == "circle" for series in chart.options["series"] for item in series["data"])
    assert [series["data"][0]["value"] for series in share_chart(market).options["series"]] == [60.0, 40.0]
