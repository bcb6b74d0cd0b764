"""Opinion monitoring: small inputs that were once counted wrongly, or not at all and not a word said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Mention
from noria.apps.settings import WatchSettings
from noria.core.progress import MetricsLog

CASES = Path(__file__).parent / "inputs" / "ship-grow"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def mentions(name: str) -> list[Mention]:
    texts = json.loads((CASES / name).read_text(encoding="utf-8"))["texts"]
    return [
        Mention(one.get("id") or f"made:{n}", datetime.fromisoformat(one["time"]), "other", True, 0.9, one["text"])
        for n, one in enumerate(texts)
    ]


@pytest.fixture
def live(tmp_path: Path) -> Stream:
    return Stream(tmp_path, WatchSettings(), ("other",), bounded=True)


def texts_in(stream: Stream) -> list[int]:
    return [window["counts"]["other"]["total"] for window in stream.windows]


def test_the_newest_first(live: Stream) -> None:
    _, aside = live.take(mentions("monitor-newest-first.json"), NOW, "r")
    assert aside == []
    live.advance(datetime(2026, 11, 1, 9, tzinfo=UTC), "c")
    assert [count for count in texts_in(live) if count] == [1, 1, 1]


def test_one_post_counts_once_however_often_it_is_sent(live: Stream, tmp_path: Path) -> None:
    for number in range(20):
        raised, aside = live.take(mentions("monitor-same-post.json"), NOW, f"r{number}")
        assert not raised
        assert [one.reason for one in aside] == (["repeated"] if number == 0 else ["repeated"] * 2)
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)  # after a kill
    assert [one.reason for one in again.take(mentions("monitor-same-post.json"), NOW, "s")[1]] == ["repeated"] * 2
    again.advance(NOW, "c")
    assert sum(texts_in(again)) == 1


def test_a_wrong_clock_is_set_aside_and_stops_nothing(live: Stream) -> None:
    _, aside = live.take(mentions("monitor-wrong-clock.json"), NOW, "r")
    assert [(one.reason, one.found) for one in aside] == [("ahead", "2062-11-02T01:10:00+00:00")]
    today = [Mention(f"t{n}", NOW - timedelta(minutes=n), "other", True, 0.9, "差") for n in range(50)]
    assert live.take(today, NOW, "s")[1] == []
    live.advance(NOW + timedelta(hours=1), "c")
    assert sum(texts_in(live)) == 50
    assert live.set_aside == {"ahead": 1}


def test_a_replay_of_another_time_leaves_the_live_stream_alone(live: Stream, tmp_path: Path) -> None:
    replay = Stream(tmp_path / "replay", WatchSettings(), ("other",), bounded=False)
    made_up = [Mention(f"m{n}", datetime(2030, 1, 1, n, tzinfo=UTC), "other", True, 0.9, "差") for n in range(24)]
    assert replay.take(made_up, NOW, "r") == ([], [])
    today = [Mention(f"t{n}", NOW, "other", True, 0.9, "差") for n in range(60)]
    assert live.take(today, NOW, "s") == ([], [])


def test_open_windows_outlive_a_kill_and_late_texts_are_told(live: Stream, tmp_path: Path) -> None:
    hours = [Mention(f"h{n}", NOW - timedelta(hours=5 - n), "other", True, 0.9, "一行\u2028一行") for n in range(5)]
    assert live.take(hours, NOW, "r") == ([], [])
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    again.advance(NOW, "c")
    assert texts_in(again) == [1] * 5
    late = [Mention(f"late {days}", NOW - timedelta(days=days, hours=3), "other", True, 0.9, "差") for days in (0, 2)]
    _, aside = again.take(late, NOW, "s")
    since = NOW - timedelta(days=1)
    assert [(one.id, one.reason, one.allowed) for one in aside] == [("late 2", "late", f"since {since.isoformat()}")]
    assert texts_in(again) == [1, 1, 2, 1, 1]  # counted when it was said
    assert [window.get("changed", False) for window in again.windows] == [False, False, True, False, False]
    once_more = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    assert once_more.windows == again.windows
    assert [one.reason for one in once_more.take(late[:1], NOW, "t")[1]] == ["repeated"]


UNSET = (
    "0001-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00+14:00",
    "1970-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-14:00",
)


@pytest.mark.parametrize("bounded", [True, False])
def test_times_that_stand_for_none_are_set_aside_and_the_watch_goes_on(tmp_path: Path, bounded: bool) -> None:
    stream = Stream(tmp_path, WatchSettings(), ("other",), bounded=bounded)
    given = [Mention(told, datetime.fromisoformat(told), "other", True, 0.9, "差") for told in UNSET]
    raised, aside = stream.take([*given, Mention("today", NOW, "other", True, 0.9, "差")], NOW, "r")
    assert not raised
    assert [(one.id, one.reason) for one in aside] == [(told, "unset") for told in UNSET]
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=bounded)
    again.advance(NOW + timedelta(hours=1), "c")
    assert sum(texts_in(again)) == 1


def test_a_time_that_was_written_down_before_stops_no_start(live: Stream, tmp_path: Path) -> None:
    for told in UNSET:
        live._texts.write(id=told, time=told, topic="other", negative=True, score=0.9, text="差", entities=[])
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    assert again.take([Mention("today", NOW, "other", True, 0.9, "差")], NOW, "r") == ([], [])


def test_an_id_counts_once_after_its_window_closed_and_a_restart(live: Stream, tmp_path: Path) -> None:
    post = Mention("post", NOW, "other", False, 0.9, "好")
    assert live.take([post], NOW, "r") == ([], [])
    live.advance(NOW + timedelta(hours=1), "c")
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    later = NOW + timedelta(hours=2)
    _, aside = again.take([Mention("post", later, "other", False, 0.9, "好")], later, "s")
    assert [one.reason for one in aside] == ["repeated"]


def test_what_is_counted_behind_a_line_that_a_kill_cut_is_counted_for_good(live: Stream, tmp_path: Path) -> None:
    (tmp_path / "open.jsonl").write_bytes('{"id": "torn", "text": "房'.encode()[:-1])
    for number in range(2):
        again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
        assert again.take([Mention(f"m{number}", NOW, "other", True, 0.9, "差")], NOW, "r") == ([], [])
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    again.advance(NOW + timedelta(hours=1), "c")
    assert sum(texts_in(again)) == 2


def test_whole_numbers_name_posts_items_and_people() -> None:
    from pydantic import ValidationError

    from noria.apps.monitor.bodies import Watched
    from noria.apps.recommend.bodies import Click, NewItem, PickFor

    assert (
        Watched.model_validate({"text": "a", "id": 7}).id == Watched.model_validate({"text": "a", "id": "7"}).id == "7"
    )
    click = Click.model_validate({"user": 12, "item": 5})
    assert (click.user, click.item) == ("12", NewItem.model_validate({"id": 5, "text": "a"}).id) == ("12", "5")
    assert PickFor.model_validate({"user": 12}).user == "12"
    for wrong in (True, 1.5, 2**63, ["a"]):
        with pytest.raises(ValidationError):
            Watched.model_validate({"text": "a", "id": wrong})


def test_a_request_of_many_hours_writes_the_open_texts_anew_once(live: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    read = MetricsLog.read
    monkeypatch.setattr(MetricsLog, "read", lambda self: reads.append(self.path) or read(self))
    hours = [Mention(f"h{n}", NOW - timedelta(hours=90 - n), "other", False, 0.9, "好") for n in range(90)]
    assert live.take(hours, NOW, "r") == ([], [])
    assert len(live.windows) > 80
    assert len(reads) <= 2
