from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.ship.apps.surge import (
    Alert,
    Mention,
    Watch,
    WatchSettings,
    binomial_tail,
    hypergeometric_tail,
    read_window,
    surge_p,
    window_dict,
)
from noria.ship.apps.topics import read_topics

START = datetime(2030, 1, 1, tzinfo=UTC)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_binomial_tail_is_scipys(least: int, n: int, chance: float) -> None:
    from scipy.stats import binom

    assert binomial_tail(least, n, chance) == pytest.approx(binom.sf(least - 1, n, chance), abs=1e-9)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 40))
def test_hypergeometric_tail_is_scipys(least: int, drawn: int, marked: int, rest: int) -> None:
    from scipy.stats import hypergeom

    n = max(drawn, marked) + rest
    assert hypergeometric_tail(least, drawn, marked, n) == pytest.approx(
        hypergeom.sf(least - 1, n, marked, drawn), abs=1e-9
    )


def test_a_surge_needs_both_more_for_the_time_and_more_for_the_traffic() -> None:
    busy = surge_p(negative=30, total=60, before_negative=60, before_total=120, windows=12)
    assert busy > 0.3  # six times as many of everything: the share did not change
    quiet = surge_p(negative=3, total=3, before_negative=60, before_total=120, windows=12)
    assert quiet > 0.1  # all bad, but no more of them than in any hour
    assert surge_p(negative=25, total=30, before_negative=60, before_total=120, windows=12) < 1e-3


def mention(hour: float, negative: bool, topic: str = "hotel", id: str = "") -> Mention:
    return Mention(
        id or f"{hour}", START + timedelta(hours=hour), topic, negative, 0.9, "房间很脏" if negative else "很好"
    )


def run(watch: Watch, mentions: list[Mention]) -> tuple[list[Alert], list[Alert]]:
    raised: list[Alert] = []
    longer: list[Alert] = []
    for number, one in enumerate(mentions):
        for _, new, old in watch.add(one, f"r{number}"):
            raised += new
            longer += old
    for _, new, old in watch.advance(mentions[-1].time + watch.length, "end"):
        raised += new
        longer += old
    return raised, longer


def steady(hours: range, each: int = 8) -> list[Mention]:
    return [mention(hour + n / (each + 1), n % 2 == 0) for hour in hours for n in range(each)]


def test_a_surge_raises_one_alert_with_its_texts() -> None:
    watch = Watch(WatchSettings(), ("hotel", "book"))
    burst = [mention(20 + 0.9 + n / 1000, True, id=f"bad-{n}") for n in range(15)]
    mentions = sorted([*steady(range(24)), *burst], key=lambda one: one.time)
    raised, longer = run(watch, mentions)
    assert len(raised) == 1
    assert not longer
    alert = raised[0]
    assert (alert.topic, alert.start, alert.negative, alert.total) == ("hotel", START + timedelta(hours=20), 19, 23)
    assert {f"bad-{n}" for n in range(15)} <= {one.id for one in alert.mentions}
    assert all(one.negative for one in alert.mentions)
    assert alert.p <= alert.threshold == watch.threshold


def test_a_surge_that_lasts_stays_one_alert_and_then_becomes_the_level() -> None:
    rules = WatchSettings(baseline_windows=12, warm_up_windows=6)
    watch = Watch(rules, ("hotel",))
    lasting = [mention(hour + n / 40, True, id=f"{hour}-{n}") for hour in range(12, 60) for n in range(20)]
    raised, longer = run(watch, [*steady(range(12)), *lasting])
    assert len(raised) == 1
    assert 6 <= len(longer) <= 30  # the new level is learnt, so the alert ends
    assert not watch._lasting
    assert len(raised[0].mentions) <= rules.kept_texts


def test_complaints_that_multiply_on_a_topic_always_complained_of_are_found() -> None:
    """Seven of ten texts on hotels are negative, before and in the surge: what rises is their part of the traffic."""
    rest = [mention(hour + n / 9, n % 2 == 0, "book") for hour in range(24) for n in range(6)]
    hotels = [mention(hour + n / 11, (hour + n) % 10 < 7) for hour in range(24) for n in range(3)]
    burst = [mention(20.5 + n / 1000, n % 10 < 7, id=f"burst-{n}") for n in range(40)]
    watch = Watch(WatchSettings(), ("hotel", "book"))
    raised, _ = run(watch, sorted([*rest, *hotels, *burst], key=lambda one: one.time))
    assert [(alert.topic, alert.start) for alert in raised] == [("hotel", START + timedelta(hours=20))]


def test_a_busy_hour_raises_nothing() -> None:
    mentions = [
        mention(hour + n / 200, n % 2 == 0, ("hotel", "book")[n // 2 % 2])
        for hour in range(24) for n in range(80 if hour == 20 else 8)
    ]  # fmt: skip
    assert run(Watch(WatchSettings(), ("hotel", "book")), mentions)[0] == []


def test_warm_up_and_few_negatives_raise_nothing() -> None:
    early = [mention(2 + n / 100, True) for n in range(30)]
    assert run(Watch(WatchSettings(), ("hotel",)), [*steady(range(2)), *early])[0] == []
    few = [mention(hour + 0.5, hour == 30, "book") for hour in range(31)]
    assert run(Watch(WatchSettings(false_alarms_a_week=100), ("hotel", "book")), few)[0] == []


def test_late_mentions_are_told_and_not_counted() -> None:
    watch = Watch(WatchSettings(), ("hotel",))
    for one in (mention(0.5, True), mention(3.5, True), mention(1.0, True)):
        list(watch.add(one, "r"))
    assert watch.late == 1
    assert sum(window.counts["hotel"].total for window in watch.history) == 1


def test_memory_is_bounded_and_a_long_gap_forgets() -> None:
    rules = WatchSettings(kept_texts=5, baseline_windows=4, warm_up_windows=1)
    watch = Watch(rules, ("hotel",))
    for n in range(50):
        list(watch.add(mention(n / 100, True), "r"))
    assert len(watch._mentions["hotel"]) == 5
    closed = list(watch.advance(START + timedelta(days=4000), "r"))
    assert len(closed) == 1  # not one for each hour of eleven years
    assert len(watch.history) == 0


def test_windows_go_through_json() -> None:
    watch = Watch(WatchSettings(), ("hotel",))
    list(watch.add(mention(0.5, True), "r"))
    window = next(watch.advance(START + timedelta(hours=1), "r"))[0]
    assert read_window(window_dict(window)) == window


def test_false_alarms_stay_within_their_budget(review_labels: list[tuple[str, bool]]) -> None:
    """Real reviews in random order have no surges: 60 weeks of them raise no more alarms than promised."""
    topics = read_topics()
    reviews = [(topics.of(text), negative) for text, negative in review_labels]
    order = random.Random(0)
    rules = WatchSettings(false_alarms_a_week=1.0)
    alarms = weeks = 0
    for _ in range(20):
        watch = Watch(rules, topics.names)
        for hour in range(3 * 168):
            for n in range(order.randint(3, 15)):
                topic, negative = order.choice(reviews)
                alarms += sum(len(new) for _, new, _ in watch.add(mention(hour + n / 20, negative, topic), "r"))
        weeks += 3
    assert alarms <= weeks  # the tests are conservative: far fewer in truth
    assert alarms < 0.5 * weeks


@pytest.fixture(scope="module")
def review_labels() -> list[tuple[str, bool]]:
    from noria.build.corpus.bundled import reviews

    every = [(document.text, document.meta["label"] == "negative") for document in reviews()]
    return random.Random(1).sample(every, 2_000)


@pytest.mark.parametrize(("text", "topic"), [
    ("房间的隔音太差，早餐也一般", "hotel"),
    ("这本小说的作者文笔很好", "book"),
    ("屏幕不错，就是键盘手感差，vista系统太慢", "computer"),
    ("快递三天才送货，客服态度差", "delivery"),
    ("The room was small and the breakfast cold", "hotel"),
    ("Two books by the same author", "book"),
    ("还可以吧", "other"),
    ("expert orderly", "other"),  # xp and order are whole words only
])  # fmt: skip
def test_topics_by_words(text: str, topic: str) -> None:
    assert read_topics().of(text) == topic


def test_a_bad_file_of_topics_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "topics.json"
    file.write_text('{"hotel": {"title": {}, "words": []}}', encoding="utf-8")
    with pytest.raises(InputError, match="needs words"):
        read_topics(file)
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="holds no topics"):
        read_topics(file)
