from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.apps.monitor.surge import (
    Alert,
    Mention,
    Watch,
    binomial_tail,
    dispersion,
    hypergeometric_tail,
    negative_binomial_tail,
    read_window,
    surge_p,
    window_dict,
)
from noria.apps.monitor.topics import read_topics
from noria.apps.settings import WatchSettings
from noria.core.errors import InputError

START = datetime(2030, 1, 1, tzinfo=UTC)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_binomial_tail_is_scipys(least: int, n: int, probability: float) -> None:
    from scipy.stats import binom

    assert binomial_tail(least, n, probability) == pytest.approx(binom.sf(least - 1, n, probability), abs=1e-9)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 40))
def test_hypergeometric_tail_is_scipys(least: int, drawn: int, marked: int, rest: int) -> None:
    from scipy.stats import hypergeom

    n = max(drawn, marked) + rest
    assert hypergeometric_tail(least, drawn, marked, n) == pytest.approx(
        hypergeom.sf(least - 1, n, marked, drawn), abs=1e-9
    )


def test_a_surge_needs_both_more_for_the_time_and_more_for_the_traffic() -> None:
    before = [5] * 12
    busy = surge_p(negative=30, total=60, before_negatives=before, before_total=120)
    assert busy > 0.3  # six times as many of everything: the share did not change
    quiet = surge_p(negative=3, total=3, before_negatives=before, before_total=120)
    assert quiet > 0.1  # all bad, but no more of them than in any hour
    assert surge_p(negative=25, total=30, before_negatives=before, before_total=120) < 1e-3


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
        for hour in range(24)
        for n in range(80 if hour == 20 else 8)
    ]
    assert run(Watch(WatchSettings(), ("hotel", "book")), mentions)[0] == []


def test_warm_up_and_few_negatives_raise_nothing() -> None:
    early = [mention(2 + n / 100, True) for n in range(30)]
    assert run(Watch(WatchSettings(), ("hotel",)), [*steady(range(2)), *early])[0] == []
    few = [mention(hour + 0.5, hour == 30, "book") for hour in range(31)]
    assert run(Watch(WatchSettings(false_alarms_a_week=100), ("hotel", "book")), few)[0] == []


def test_late_mentions_are_known_and_a_window_waits_for_them() -> None:
    watch = Watch(WatchSettings(grace_minutes=15), ("hotel",))
    for one in (mention(0.5, True), mention(1.2, True), mention(0.9, True)):
        assert not watch.is_late(one.time)
        list(watch.add(one, "r"))
    assert not watch.history  # the first window is over, and its grace is not
    list(watch.add(mention(1.25, True), "r"))
    assert [window.counts["hotel"].total for window in watch.history] == [2]
    assert watch.is_late(mention(0.99, True).time)
    assert not watch.is_late(mention(1.0, True).time)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), min_size=1, max_size=40), st.integers(1, 12))
def test_every_mention_is_counted_in_the_window_of_its_time_or_known_as_late(
    said: list[tuple[int, bool]], baseline: int
) -> None:
    """Times in any order, gaps of any length."""
    watch = Watch(WatchSettings(baseline_windows=max(2, baseline)), ("hotel",))
    counted: dict[datetime, int] = {}
    closed: dict[datetime, int] = {}
    for number, (quarter, negative) in enumerate(said):
        one = mention(quarter / 4, negative, id=str(number))
        if watch.is_late(one.time):
            continue
        start = one.time.replace(minute=0)
        counted[start] = counted.get(start, 0) + 1
        for window, _, _ in watch.add(one, "r"):
            closed[window.start] = window.texts
    for window, _, _ in watch.advance(START + timedelta(hours=600), "end"):
        closed[window.start] = window.texts
    assert {start: texts for start, texts in closed.items() if texts} == counted
    assert sorted(closed) == list(closed)  # each once, in order


def test_uneven_counts_need_more_for_a_surge() -> None:
    even, uneven = [10] * 24, [0, 30, 2, 8, 25, 1, 3, 20, 0, 9, 12, 10] * 2
    assert dispersion(even) == 1
    assert dispersion(uneven) > 5
    assert sum(even) == sum(uneven)
    arguments = {"negative": 30, "total": 40, "before_total": 960}
    assert surge_p(before_negatives=even, **arguments) < 1e-5
    assert surge_p(before_negatives=uneven, **arguments) > 1e-2


@settings(deadline=None)
@given(st.integers(0, 60), st.floats(0.1, 40), st.floats(1.01, 20))
def test_negative_binomial_tail_is_scipys(least: int, mean: float, spread: float) -> None:
    from scipy.stats import nbinom

    assert negative_binomial_tail(least, mean, spread) == pytest.approx(
        nbinom.sf(least - 1, mean / (spread - 1), 1 / spread), abs=1e-9
    )


def test_counts_of_a_hundred_thousand_take_a_moment() -> None:
    import time

    started = time.thread_time()  # what other processes do is not counted
    p = surge_p(negative=6_000, total=9_000, before_negatives=[4_000] * 24, before_total=200_000)
    assert time.thread_time() - started < 0.5  # summing term by term took 1.7 s
    assert p < 1e-12


def test_after_an_alert_what_follows_belongs_to_it() -> None:
    """Bursts two windows apart are one alert; one after the hold-off is another."""
    rules = WatchSettings(baseline_windows=24, hold_off_windows=4)
    bursts = [mention(hour + 0.9 + n / 1000, True, id=f"{hour}-{n}") for hour in (30, 32, 44) for n in range(20)]
    raised, longer = run(
        Watch(rules, ("hotel", "book")), sorted([*steady(range(48)), *bursts], key=lambda one: one.time)
    )
    assert [alert.start for alert in raised] == [START + timedelta(hours=hour) for hour in (30, 44)]
    assert [alert.end for alert in longer] == [START + timedelta(hours=33)]


def test_memory_is_bounded_and_a_long_gap_forgets() -> None:
    rules = WatchSettings(kept_texts=5, baseline_windows=4, warm_up_windows=1)
    watch = Watch(rules, ("hotel",))
    for n in range(50):
        list(watch.add(mention(n / 100, True), "r"))
    assert len(watch._open[START].mentions["hotel"]) == 5
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
    from noria.make.corpus.bundled import reviews

    every = [(document.text, document.meta["label"] == "negative") for document in reviews()]
    return random.Random(1).sample(every, 2_000)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("房间的隔音太差，早餐也一般", "hotel"),
        ("这本小说的作者文笔很好", "book"),
        ("屏幕不错，就是键盘手感差，vista系统太慢", "computer"),
        ("快递三天才送货，客服态度差", "delivery"),
        ("The room was small and the breakfast cold", "hotel"),
        ("Two books by the same author", "book"),
        ("还可以吧", "other"),
        ("expert orderly", "other"),  # xp and order are whole words only
    ],
)
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
