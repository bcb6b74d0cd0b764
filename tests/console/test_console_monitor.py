"""The monitor's page without a browser: what a range comes to, points that rest on enough texts, and a map that holds every topic."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.monitor.discovered import Topic
from noria.console.pages.monitor_found import colour, text_item, title, topic_map
from noria.console.pages.monitor_time import ENOUGH, Slot, points, share_of, timeline, within
from noria.console.words import Words

SLOTS = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), min_size=1, max_size=60).map(
    lambda rows: [
        Slot(f"2026-11-{1 + at // 24:02d}T{at % 24:02d}:00:00+00:00", texts, round(texts * share))
        for at, (texts, share) in enumerate(rows)
    ]
)


@given(SLOTS)
def test_every_text_is_in_one_point_and_each_point_rests_on_enough(slots: list[Slot]) -> None:
    found = points(slots)
    texts = sum(slot.texts for slot in slots)
    assert sum(point.share.n for point in found) == texts
    assert all(point.share.n >= min(ENOUGH, texts) for point in found)
    starts = [slot.start for slot in slots]
    places = [starts.index(point.start) for point in found]
    assert places == sorted(set(places))


@given(SLOTS, st.floats(0, 100), st.floats(0, 100))
def test_a_range_is_a_part_of_all_windows(slots: list[Slot], one: float, other: float) -> None:
    start, end = sorted((one, other))
    part = within(slots, start, end)
    assert part
    at = slots.index(part[0])
    assert slots[at : at + len(part)] == part
    assert within(slots, 0, 100) == slots
    assert share_of(part).n <= share_of(slots).n


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bars_and_line_share_one_range_of_time(language: str) -> None:
    slots = [Slot(f"2026-11-01T{hour:02d}:00:00+00:00", 10, hour % 3, hour == 5) for hour in range(24)]
    options = timeline(slots, Words(language))
    negatives, others, line, *_ = options["series"]
    assert [a + b for a, b in zip(negatives["data"], others["data"], strict=True)] == [10] * 24
    assert others["markPoint"]["data"] == [{"coord": ["11-01 05:00", 10]}]
    labels = options["xAxis"][0]["data"]
    assert {label for label, _ in line["data"]} <= set(labels)
    assert all(zoom["xAxisIndex"] == [0, 1] for zoom in options["dataZoom"])
    assert len(set(options["legend"]["data"])) == 3


def topic(number: int, texts: int, negatives: int) -> Topic:
    words = (f"word{number}", "<b>充电</b>")
    return Topic(f"d{number}", words, datetime(2026, 11, 1, tzinfo=UTC), texts, negatives, {}, 0.1 * number, -0.2, [])


def test_a_map_holds_every_topic_larger_and_redder_ones_so() -> None:
    some = [topic(0, 90, 0), topic(1, 30, 30), topic(2, 5, 1)]
    data = topic_map(some, Words("zh"))["series"][0]["data"]
    assert [one["name"] for one in data] == [title(one) for one in some]
    sizes = [one["symbolSize"] for one in data]
    assert sizes == sorted(sizes, reverse=True)
    assert data[0]["itemStyle"]["color"] == colour(0.0) != colour(1.0) == data[1]["itemStyle"]["color"]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://a.example/?<b>", ""])
def test_a_text_is_escaped_and_only_a_web_address_is_a_link(link: str) -> None:
    shown = text_item({"text": "<script>", "time": "2026-11-01T08:00:00+00:00", "source": "<i>", "link": link})
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert ("<a " in shown) == link.startswith("https://")
    assert "javascript" not in shown
