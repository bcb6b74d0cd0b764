"""The outbox keeps its word: what it acknowledged is there once, through seals, kills and full disks."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import ResourceError
from noria.core.event import COLUMNS, Event, new_id
from noria.ship import outbox as module
from noria.ship.meter import language_of, read_secret
from noria.ship.outbox import Outbox, everything, reconcile

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(time: datetime = NOON, **facts: object) -> Event:
    return Event(**{"id": new_id(), "time": time, "kind": "request", **facts})


def stored(lake: Path) -> list[Event]:
    """Return the events in outboxes and lake as they read back."""
    events = []
    for path in (lake / "outbox").glob("*.sqlite"):
        connection = sqlite3.connect(path)
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        events += [Event.from_row(row) for row in connection.execute(f"SELECT {names} FROM events")]
        connection.close()
    for path in (lake / "events").glob("day=*/*.parquet"):
        table = pq.ParquetFile(path).read().to_pylist()
        assert {row["time"].strftime("%Y-%m-%d") for row in table} == {path.parent.name.removeprefix("day=")}
        events += [Event(**row) for row in table]
    return events


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
events_strategy = st.builds(
    lambda **facts: event(**facts),
    time=moments, user=words, app=words, segment=words, kind=st.sampled_from(["request", "click", "alert"]),
    units=st.integers(0, 2**62), latency_ms=st.floats(0, 1e9), consent=st.booleans(),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(events_strategy, max_size=5), max_size=4), moments)
def test_every_event_reads_back_as_it_was_through_seals_and_repeats(batches, border):
    with tempfile.TemporaryDirectory() as folder, Outbox(folder) as outbox:
        kept: dict[str, Event] = {}
        for batch in batches:
            outbox.append(batch)
            kept.update({one.id: one for one in batch})
            outbox.seal(before=border)
            outbox.append(batch)  # a client that sends again after a lost answer
        outbox.seal(before=everything())
        assert {one.id: one for one in stored(Path(folder))} == kept
        assert len(stored(Path(folder))) == len(kept)
        books = reconcile(folder)
        assert (books.acknowledged, books.waiting, books.sealed, books.exact) == (len(kept), 0, len(kept), True)


def test_today_stays_in_the_outbox_until_it_is_over(tmp_path):
    now = datetime.now(UTC)
    with Outbox(tmp_path) as outbox:
        outbox.append([event(now), event(now - timedelta(days=1)), event(now - timedelta(days=9))])
        assert outbox.seal() == 2
        assert outbox.count() == 1
        assert len(list(tmp_path.glob("events/day=*/*.parquet"))) == 2


def test_a_batch_larger_than_one_file_is_split(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEAL_ROWS", 10)
    monkeypatch.setattr(module, "_DELETE_ROWS", 3)
    with Outbox(tmp_path) as outbox:
        outbox.append([event() for _ in range(25)])
        assert outbox.seal() == 3
    assert reconcile(tmp_path).sealed == 25
    assert reconcile(tmp_path).exact


class Killed(BaseException):
    """Stands for the death of the process at one point of a seal."""


@pytest.mark.parametrize("place", ["write_events", "_transaction 2", "_transaction 3"])
def test_a_seal_cut_short_is_finished_by_the_next_one(tmp_path, monkeypatch, place):
    monkeypatch.setattr(module, "_DELETE_ROWS", 4)
    outbox = Outbox(tmp_path)
    outbox.append([event() for _ in range(10)])
    name, _, count = place.partition(" ")
    whole, calls = getattr(module, name), 0

    def cut(*arguments):
        nonlocal calls
        calls += 1
        if calls == int(count or 1):
            raise Killed
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, cut)
        with pytest.raises(Killed):
            outbox.seal()
    outbox.append([event() for _ in range(5)])
    outbox.seal()
    outbox.close()
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.sealed, books.waiting, books.twice) == (15, 15, 0, 0)


def test_many_threads_share_commits(tmp_path):
    with Outbox(tmp_path) as outbox:
        threads = [threading.Thread(target=lambda: [outbox.append([event()]) for _ in range(20)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outbox.count() == 160
        assert reconcile(tmp_path).exact


def test_one_event_that_cannot_be_written_does_not_fail_its_neighbours(tmp_path):
    with Outbox(tmp_path) as outbox:
        held = outbox.submit([event() for _ in range(2_000)])
        bad, good = outbox.submit([event(units=2**70)]), outbox.submit([event()])
        good.result()
        held.result()
        with pytest.raises(OverflowError):
            bad.result()
        assert outbox.count() == 2_001


def test_a_closed_outbox_refuses_and_loses_nothing(tmp_path):
    outbox = Outbox(tmp_path)
    futures = [outbox.submit([event()]) for _ in range(50)]
    outbox.close()
    outbox.close()
    assert all(future.done() for future in futures)
    with pytest.raises(ResourceError, match="closed"):
        outbox.append([event()])
    assert reconcile(tmp_path).waiting == 50


def test_a_full_disk_refuses_plainly_and_heals(tmp_path, monkeypatch):
    with Outbox(tmp_path) as outbox:
        outbox.append([event()])
        page = sqlite3.connect(outbox.path).execute("PRAGMA page_count").fetchone()[0]
        real = module._connect

        def small(path):
            connection = real(path)
            connection.execute(f"PRAGMA max_page_count={page}")  # SQLite's own way to be full
            return connection

        with monkeypatch.context() as patch:
            patch.setattr(module, "_connect", small)
            crowded = Outbox(tmp_path)
            with pytest.raises(ResourceError, match=r"cannot be stored.*full"):
                crowded.append([event(segment="x" * 60) for _ in range(3_000)])
            crowded.close()
        outbox.append([event()])
        assert reconcile(tmp_path).acknowledged == 2
        assert reconcile(tmp_path).exact


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from noria.core.event import Event, new_id
from noria.ship.outbox import Outbox, everything
import threading
outbox = Outbox(sys.argv[1])
threading.Thread(target=lambda: [outbox.seal(before=everything()) for _ in iter(int, 1)], daemon=True).start()
while True:
    events = [Event(new_id(), datetime.now(UTC), "request") for _ in range(3)]
    outbox.append(events)
    print(*(event.id for event in events), flush=True)
"""


def test_kill_at_any_moment_loses_and_doubles_nothing(tmp_path):
    acknowledged: set[str] = set()
    for seconds in (0.5, 0.8, 1.1):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as process:
            timer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
            first = process.stdout.readline()
            timer.start()
            lines = [first, *process.stdout]
            timer.cancel()
        # The last line may be cut short: only whole ids were told.
        acknowledged.update(word for line in lines for word in line.decode().split() if len(word) == 36)
    with Outbox(tmp_path) as outbox:
        outbox.seal(before=everything())
    ids = [one.id for one in stored(tmp_path)]
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    assert reconcile(tmp_path).exact
    assert len(acknowledged) > 30


def test_a_missing_event_and_a_doubled_one_unbalance_the_books(tmp_path):
    with Outbox(tmp_path) as outbox:
        outbox.append([event(), event()])
        outbox.seal()
    file = next(tmp_path.glob("events/day=*/*.parquet"))
    file.with_name("copy.parquet").write_bytes(file.read_bytes())
    assert reconcile(tmp_path).twice == 2
    assert not reconcile(tmp_path).exact
    file.with_name("copy.parquet").unlink()
    file.unlink()
    assert not reconcile(tmp_path).exact


def test_servers_share_a_lake_each_with_an_outbox(tmp_path):
    with Outbox(tmp_path, "one") as one, Outbox(tmp_path, "two") as two:
        one.append([event()])
        two.append([event(), event()])
        two.seal()
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.waiting, books.sealed) == (3, 1, 2)


def test_the_secret_is_made_once_and_kept_private(tmp_path):
    assert read_secret(tmp_path / "server") == read_secret(tmp_path / "server")
    assert (tmp_path / "server" / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "server").iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("text", "language"),
    [("物流很快，下次还来", "zh"), ("iPhone 的屏幕很好", "zh"), ("fast delivery", "en"), ("これはとても良い", "ja"),
     ("배송이 빨라요", "ko"), ("Größe passt", "latin"), ("Очень хорошо", "other"), ("12.5 €!", ""), ("", "")],
)  # fmt: skip
def test_a_text_tells_its_language(text, language):
    assert language_of(text) == language


def test_an_event_is_stored_as_it_was(tmp_path):
    one = replace(event(), user="u", value=1.5, consent=True, time=NOON + timedelta(microseconds=7))
    with Outbox(tmp_path) as outbox:
        outbox.append([one])
        assert stored(tmp_path) == [one]
        outbox.seal()
    assert stored(tmp_path) == [one]
