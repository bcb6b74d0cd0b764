from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.apps.monitor.stream import Stream, strictness
from noria.apps.monitor.surge import Alert, Mention, alert_dict, read_alert, read_window, window_dict
from noria.apps.monitor.topics import read_topics
from noria.apps.monitor.watch import Watch
from noria.apps.settings import WatchSettings
from noria.core.errors import InputError

START = datetime(2030, 1, 1, tzinfo=UTC)
TOPICS = ("phone", "hotel", "book", "computer", "delivery", "other")


def mention(hour: float, negative: bool, topic: str = "hotel", id: str = "", **more: str) -> Mention:
    text = "房间很脏" if negative else "很好"
    return Mention(id or f"{topic}{hour}", START + timedelta(hours=hour), topic, negative, 0.9, text, **more)


def run(watch: Watch, mentions: list[Mention]) -> tuple[list[Alert], list[Alert]]:
    raised: list[Alert] = []
    longer: list[Alert] = []
    for number, one in enumerate(sorted(mentions, key=lambda one: one.time)):
        for _, new, old in watch.add(one, f"r{number}"):
            raised += new
            longer += old
    for _, new, old in watch.advance(max(one.time for one in mentions) + watch.step, "end"):
        raised += new
        longer += old
    return raised, longer


def steady(hours: range, each: int = 8, topic: str = "hotel") -> list[Mention]:
    return [mention(hour + n / (each + 1), n % 2 == 0, topic) for hour in hours for n in range(each)]


@pytest.mark.parametrize("hours_before", [0.0, 0.7, 2.0, 24.0], ids=lambda hours: f"{hours} h before")
def test_22_complaints_about_one_phone_in_20_minutes_are_told(hours_before: float) -> None:
    """60 texts, from a history that is empty or next to it, with the settings that everybody has."""
    begin = max(hours_before, 0.0)
    rest = [mention((begin or 1 / 3) * n / 38, n % 4 == 0, TOPICS[1:][n % 5], id=f"rest-{n}") for n in range(38)]
    complaints = [mention(begin + n / 66, True, "phone", id=f"bad-{n}") for n in range(22)]
    raised, _ = run(Watch(WatchSettings(), TOPICS), [*rest, *complaints])
    assert [(alert.kind, alert.of, alert.topic) for alert in raised] == [("negatives", "topic", "phone")]
    alert = raised[0]
    assert alert.start >= START + timedelta(hours=begin) - timedelta(minutes=5)
    assert alert.expected is not None
    assert alert.high is not None
    assert alert.found > alert.high
    assert alert.found > alert.expected
    assert {one.topic for one in alert.mentions} == {"phone"}
    assert alert.p <= alert.threshold


def test_a_surge_raises_one_alert_that_proves_itself() -> None:
    burst = [mention(20 + 0.5 + n / 100, True, id=f"bad-{n}") for n in range(25)]
    others = [mention(20.6, False, id="fine")]
    raised, _ = run(Watch(WatchSettings(), ("hotel", "book")), [*steady(range(24)), *burst, *others])
    assert [(alert.kind, alert.topic) for alert in raised] == [("negatives", "hotel")]
    alert = raised[0]
    assert (
        START + timedelta(hours=20) <= alert.start <= START + timedelta(hours=20.5)
    )  # since when, not when it was seen
    assert {f"bad-{n}" for n in range(25)} <= {one.id for one in alert.mentions}
    assert all(one.negative for one in alert.mentions)
    assert "fine" in [one.id for one in alert.voices]
    assert set(alert.telling) <= {one.id for one in alert.mentions}
    assert (alert.low, alert.high) != (None, None)
    assert alert.a_week is not None
    assert alert.a_week < 1.0
    assert read_alert(alert_dict(alert)) == alert


def test_a_surge_that_lasts_stays_one_alert_and_then_becomes_the_level() -> None:
    lasting = [mention(hour + n / 40, True, id=f"{hour}-{n}") for hour in range(48, 168) for n in range(20)]
    watch = Watch(WatchSettings(), ("hotel",))
    raised, longer = run(watch, [*steady(range(48)), *lasting])
    negatives = [alert for alert in raised if alert.kind == "negatives"]
    assert len(negatives) <= 3
    assert longer[-1].end < START + timedelta(hours=140)  # the new level is learnt, so the alert ends
    assert all(len(alert.mentions) <= watch.settings.kept_texts for alert in raised)


def test_a_busy_hour_is_no_surge_of_negatives() -> None:
    mentions = [
        mention(hour + n / 200, n % 2 == 0, ("hotel", "book")[n // 2 % 2])
        for hour in range(48)
        for n in range(80 if hour == 40 else 8)
    ]
    raised, _ = run(Watch(WatchSettings(), ("hotel", "book")), mentions)
    assert {alert.kind for alert in raised} <= {"volume"}


def test_complaints_that_multiply_on_a_topic_always_complained_of_are_found() -> None:
    """Seven of ten texts on hotels are negative, before and in the surge: what rises is their number while all else stays."""
    rest = [mention(hour + n / 9, n % 2 == 0, "book") for hour in range(24) for n in range(6)]
    hotels = [mention(hour + n / 11, (hour + n) % 10 < 7) for hour in range(24) for n in range(3)]
    burst = [mention(20.5 + n / 100, n % 10 < 7, id=f"burst-{n}") for n in range(40)]
    raised, _ = run(Watch(WatchSettings(), ("hotel", "book")), [*rest, *hotels, *burst])
    assert ("negatives", "hotel") in [(alert.kind, alert.topic) for alert in raised]


def test_few_negatives_raise_nothing() -> None:
    few = [mention(hour + 0.5, hour == 30, "book") for hour in range(31)]
    few += [mention(30.5 + n / 100, True, "book", id=f"{n}") for n in range(3)]
    assert run(Watch(WatchSettings(false_alarms_a_week=100), ("hotel", "book")), few)[0] == []


def test_after_an_alert_what_follows_belongs_to_it() -> None:
    """Bursts two hours apart are one alert; one after the hold-off is another."""
    bursts = [mention(hour + 0.5 + n / 100, True, id=f"{hour}-{n}") for hour in (60, 62, 80) for n in range(hour // 2)]
    raised, longer = run(Watch(WatchSettings(hold_off_hours=4), ("hotel", "book")), [*steady(range(90)), *bursts])
    raised = [alert for alert in raised if alert.kind == "negatives"]
    assert [round((alert.start - START) / timedelta(hours=1)) for alert in raised] == [60, 80]
    assert max(alert.end for alert in longer if alert.id == raised[0].id) >= START + timedelta(hours=62.7)


def test_a_text_that_is_late_is_counted_when_it_was_said() -> None:
    watch = Watch(WatchSettings(grace_minutes=15), ("hotel",))
    closed = []
    for one in (mention(0.5, True), mention(1.1, True), mention(0.9, True), mention(1.27, True)):
        assert not watch.is_late(one.time)
        closed += [window for window, _, _ in watch.add(one, "r") if window]
    assert [window.counts["hotel"].total for window in closed] == [2]  # the grace brought one of them in
    late = mention(0.7, True, id="late")
    assert watch.is_late(late.time)
    assert watch.reaches(late.time)
    changed = watch.count(late)
    assert changed is closed[0]
    assert changed.counts["hotel"].total == 3
    assert watch.series.everything.total(20) == 3
    list(watch.advance(START + timedelta(hours=40), "r"))
    assert not watch.reaches(late.time)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), min_size=1, max_size=40))
def test_every_mention_is_counted_in_the_window_of_its_time_or_known_as_too_late(said: list[tuple[int, bool]]) -> None:
    """Times in any order, gaps of any length."""
    watch = Watch(WatchSettings(step_minutes=30), ("hotel",))
    counted: dict[datetime, int] = {}
    closed: dict[datetime, int] = {}
    for number, (quarter, negative) in enumerate(said):
        one = mention(quarter / 4, negative, id=str(number))
        start = one.time.replace(minute=0)
        if watch.is_late(one.time):
            if watch.reaches(one.time):
                changed = watch.count(one)
                counted[start] = counted.get(start, 0) + 1
                if changed is not None:
                    closed[start] = changed.texts
            continue
        counted[start] = counted.get(start, 0) + 1
        for window, _, _ in watch.add(one, "r"):
            if window is not None:
                closed[window.start] = window.texts
    for window, _, _ in watch.advance(START + timedelta(hours=900), "end"):
        if window is not None:
            closed[window.start] = window.texts
    assert {start: texts for start, texts in closed.items() if texts} == counted


def test_an_entity_never_named_before_is_found_and_memory_is_bounded() -> None:
    names = [
        replace(mention(hour + n / 20, False, "other"), entities=(f"name {7 * hour + n}",))
        for hour in range(48)
        for n in range(8)
    ]
    burst = [replace(mention(40.5 + n / 60, True, "other", id=f"b{n}"), entities=("Huawei",)) for n in range(15)]
    watch = Watch(WatchSettings(most_entities=20), ("phone", "other"))
    raised, _ = run(watch, [*names, *burst])
    assert ("negatives", "entity", "Huawei") in [(alert.kind, alert.of, alert.topic) for alert in raised]
    assert len(watch.series) <= 2 * (2 + 20) + 1
    assert all(len(window.entities) <= 100 for window in watch.history)


def test_reposts_of_a_story_are_counted_apart() -> None:
    told = [mention(30 + n / 100, True, id=f"copy-{n}", story="one story") for n in range(40)]
    watch = Watch(WatchSettings(), ("hotel",))
    raised, _ = run(watch, [*steady(range(40)), *told])
    assert raised == []
    count = next(window for window in watch.history if window.start == START + timedelta(hours=30)).counts["hotel"]
    assert (count.total, count.reposts) == (9, 39)


def test_a_source_that_falls_silent_is_told_and_one_that_goes_on_is_not() -> None:
    feeds = [
        mention(hour + n / 12, False, id=f"{feed}{hour}-{n}", source=feed)
        for hour in range(72)
        for n in range(6)
        for feed in ("a", "b")
        if feed == "b" or hour < 60
    ]
    raised, _ = run(Watch(WatchSettings(), ("hotel",)), feeds)
    silent = [alert for alert in raised if alert.kind == "silence"]
    assert [(alert.of, alert.topic) for alert in silent] == [("source", "a")]
    assert START + timedelta(hours=59) < silent[0].start < START + timedelta(hours=61)
    assert silent[0].found > 60  # minutes


def test_memory_is_bounded_and_a_long_gap_forgets() -> None:
    watch = Watch(WatchSettings(kept_texts=5), ("hotel",))
    for n in range(50):
        list(watch.add(mention(n / 100, True), "r"))
    assert len(watch.series.pair(("topic", "hotel")).bad) == 5
    closed = [window for window, _, _ in watch.advance(START + timedelta(days=4000), "r") if window]
    assert len(closed) == 1  # not one for each hour of eleven years
    assert len(watch.history) == 0


def test_windows_go_through_json_those_of_before_too() -> None:
    watch = Watch(WatchSettings(), ("hotel",))
    list(watch.add(replace(mention(0.5, True), entities=("Huawei",)), "r"))
    window = next(found for found, _, _ in watch.advance(START + timedelta(hours=1), "r") if found)
    assert read_window(window_dict(window)) == window
    before = {"start": START.isoformat(), "counts": {"hotel": {"total": 3, "negative": 1, "surge": False}}}
    assert read_window(before).counts["hotel"].total == 3


def rows(hours: int, seed: int) -> list[list[Mention]]:
    """Requests of a made-up stream with a burst, now and then out of order."""
    chooser = random.Random(seed)
    every = [
        [mention(hour + chooser.random(), chooser.random() < 0.3, TOPICS[n % 3], id=f"{hour}-{n}") for n in range(6)]
        for hour in range(hours)
    ]
    every[hours - 5] += [mention(hours - 5 + n / 50, True, "phone", id=f"burst-{n}") for n in range(30)]
    return every


def test_a_stream_that_is_killed_counts_and_tells_the_same(tmp_path: Path) -> None:
    whole = Stream(tmp_path / "whole", WatchSettings(), TOPICS, bounded=False)
    raised: dict[str, list[Alert]] = {"whole": [], "killed": []}
    for number, mentions in enumerate(rows(40, 1)):
        killed = Stream(tmp_path / "killed", WatchSettings(), TOPICS, bounded=False)
        for name, stream in (("whole", whole), ("killed", killed)):
            raised[name] += stream.take(mentions, START, f"r{number}")[0]
    assert killed.windows == whole.windows
    facts = [
        [(alert.kind, alert.topic, alert.start, alert.found, alert.expected) for alert in raised[name]]
        for name in raised
    ]
    assert facts[0] == facts[1]
    assert ("negatives", "phone") in [(fact[0], fact[1]) for fact in facts[0]]
    assert killed.set_aside == whole.set_aside


def test_a_folder_of_before_opens_and_its_windows_teach_the_level(tmp_path: Path) -> None:
    from noria.core.progress import MetricsLog

    windows = MetricsLog(tmp_path / "windows.jsonl")
    for hour in range(48):
        counts = {topic: {"total": 12, "negative": 6, "surge": False} for topic in TOPICS}
        windows.write(start=(START + timedelta(hours=hour)).isoformat(), counts=counts)
    old = {"id": "r:hotel", "topic": "hotel", "negative": 20, "total": 30, "baseline_negative": 3, "baseline_total": 9}
    old |= {"baseline_windows": 9, "p": 1e-6, "threshold": 1e-4, "start": START.isoformat(), "end": START.isoformat()}
    text = {
        "id": "a",
        "time": START.isoformat(),
        "topic": "hotel",
        "negative": True,
        "score": 0.9,
        "text": "差",
        "entities": [],
    }
    MetricsLog(tmp_path / "alerts.jsonl").write(**old, mentions=[text], texts=1)
    stream = Stream(tmp_path, WatchSettings(), TOPICS, bounded=False)
    assert stream.alerts["r:hotel"]["id"] == "r:hotel"
    level = stream.watch.series.pair(("topic", "hotel")).negatives.history.rate * 12
    assert 4 < level < 9
    assert stream.judge("r:hotel", "dismissed", "anna", START) is not None


def alert(verdict: str = "", day: float = 0.0) -> Alert:
    time = START + timedelta(days=day)
    return Alert(f"{day}", "hotel", time, time, 9, 9, 0, 0, 0, 0.0, 0.0, verdict=verdict)  # type: ignore[arg-type]


def test_verdicts_bring_dismissed_alerts_to_what_is_allowed() -> None:
    weeks = [7.0 * week for week in range(9)]
    assert strictness([alert(day=day) for day in weeks], 1.0) == 1  # nobody said anything
    dismissed = strictness([alert("dismissed", day / 4) for day in weeks], 1.0)
    confirmed = strictness([alert("confirmed", day) for day in weeks], 1.0)
    as_many = strictness([alert("dismissed", day) for day in weeks], 1.0)
    assert confirmed < as_many < dismissed
    assert as_many == pytest.approx(1.0, abs=0.15)
    assert strictness([alert("dismissed", n / 1000) for n in range(1000)], 0.01) == 16  # bounded
    assert strictness([alert("confirmed", 30.0 * n) for n in range(100)], 10.0) == 0.25
    one_of_many = [alert("dismissed"), *(alert(day=day) for day in weeks)]
    assert strictness(one_of_many, 1.0) < dismissed  # of what nobody judged nothing is concluded


def test_a_verdict_is_durable_and_moves_the_threshold(tmp_path: Path) -> None:
    def opened() -> Stream:
        return Stream(tmp_path, WatchSettings(), TOPICS, bounded=False)

    stream = opened()
    for number, mentions in enumerate(rows(40, 2)):
        stream.take(mentions, START, f"r{number}")
    name = next(id for id, one in stream.alerts.items() if one["topic"] == "phone")
    surges = stream.watch.series.pair(("topic", "phone")).negatives
    before = stream.watch.series.strictness
    assert stream.judge("none", "dismissed", "anna", START) is None
    judged = stream.judge(name, "dismissed", "anna", START)
    assert judged is not None
    assert (judged["verdict"], judged["by"]) == ("dismissed", "anna")
    assert stream.watch.series.strictness >= before
    assert any(tail.dismissed for tail in surges.tails)
    again = opened()
    assert again.alerts[name]["verdict"] == "dismissed"
    assert again.watch.series.strictness == stream.watch.series.strictness
    learnt = again.watch.series.pair(("topic", "phone")).negatives.tails
    assert [tail.dismissed for tail in learnt] == [tail.dismissed for tail in surges.tails]


def test_false_alarms_stay_within_their_budget(review_labels: list[tuple[str, bool]]) -> None:
    """Real reviews in random order have no surges: 30 weeks of them raise no more alarms than allowed."""
    topics = read_topics()
    reviews = [(topics.of(text), negative) for text, negative in review_labels]
    order = random.Random(0)
    alarms = weeks = 0
    for _ in range(10):
        watch = Watch(WatchSettings(step_minutes=30), topics.names)
        for hour in range(3 * 168):
            for n in range(order.randint(3, 15)):
                topic, negative = order.choice(reviews)
                alarms += sum(len(new) for _, new, _ in watch.add(mention(hour + n / 20, negative, topic), "r"))
        weeks += 3
    assert alarms <= weeks


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
