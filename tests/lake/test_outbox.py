"""The outbox keeps its word: what it acknowledged is there once, through kills and full disks."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import ResourceError
from noria.lake import committer
from noria.lake import outbox as module
from noria.lake.event import Event, new_id, outbox_file
from noria.lake.outbox import Outbox, everything, reconcile
from noria.lake.read import scan, sealed_files
from noria.server.meter import Meter, read_secret
from noria.text.language import language_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(time: datetime = NOON, **facts: object) -> Event:
    return Event(**{"id": new_id(), "time": time, "kind": "request", **facts})


def stored(lake: Path) -> list[Event]:
    """Return the events in outboxes and lake as they read back."""
    for path in sealed_files(lake):
        days = {row["time"].strftime("%Y-%m-%d") for row in pq.ParquetFile(path).read(["time"]).to_pylist()}
        assert days == {path.parent.name.removeprefix("day=")}
    return [Event(**row) for batch in scan(lake) for row in batch.to_pylist()]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
events_strategy = st.builds(
    lambda **facts: event(**facts),
    time=moments,
    user=words,
    app=words,
    segment=words,
    kind=st.sampled_from(["request", "click", "alert"]),
    units=st.integers(0, 2**62),
    latency_ms=st.floats(0, 1e9),
    consent=st.booleans(),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


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
        bad, good = outbox.submit([event(segment="\ud800")]), outbox.submit([event()])
        good.result()
        held.result()
        with pytest.raises(UnicodeEncodeError):
            bad.result()
        assert outbox.count() == 2_001
        outbox.check()  # it was no fault of the disk


def test_event_loops_wait_for_the_disk_and_may_leave(tmp_path):
    with Outbox(tmp_path) as outbox:
        meter = Meter(outbox, b"secret", lambda: NOON)

        async def leave() -> None:
            left = asyncio.create_task(meter.record(event()))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(*(meter.record(meter.event("request", user="小王")) for _ in range(300)))
            with pytest.raises(UnicodeEncodeError):
                await meter.record(event(segment="\ud800"))

        asyncio.run(leave())
        gone = outbox.submit([event()])
        gone.cancel()
        outbox.append([event()])
        assert outbox.count() == 303
    assert reconcile(tmp_path).exact


def test_any_number_of_events_is_one_transaction(tmp_path):
    with Outbox(tmp_path) as outbox:
        sizes = [1, 2, 4, 63, 64, 65, 255, 256, 257, 700, 0]
        for size in sizes:
            outbox.append([event(segment=str(place)) for place in range(size)])
        assert outbox.count() == sum(sizes)
        assert sorted(int(one.segment) for one in stored(tmp_path)) == sorted(n for size in sizes for n in range(size))


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
        real = committer.connect

        def small(path):
            connection = real(path)
            connection.execute(f"PRAGMA max_page_count={page}")  # SQLite's own way to be full
            return connection

        with monkeypatch.context() as patch:
            patch.setattr(committer, "connect", small)
            crowded = Outbox(tmp_path)
            with pytest.raises(ResourceError, match=r"cannot be stored.*full"):
                crowded.append([event(segment="x" * 60) for _ in range(3_000)])
            with pytest.raises(ResourceError, match=r"no new work.*full"):
                crowded.check()
            patch.setattr(module, "RETRY_SECONDS", 0)
            crowded.check()
            crowded.close()
        outbox.append([event()])
        assert reconcile(tmp_path).acknowledged == 2
        assert reconcile(tmp_path).exact


def test_new_work_is_refused_before_the_disk_is_full(tmp_path):
    with Outbox(tmp_path, reserve_bytes=1 << 60) as outbox:
        with pytest.raises(ResourceError, match=r"no new work: the disk is almost full: found '\d+ MiB free'"):
            outbox.check()
        outbox.append([event()])  # what is in flight is recorded all the same
    with Outbox(tmp_path, "second", reserve_bytes=0) as outbox:
        outbox.check()


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from noria.lake.event import Event, new_id, outbox_file
from noria.lake.outbox import Outbox, everything
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
    [
        ("物流很快，下次还来", "zh"),
        ("iPhone 的屏幕很好", "zh"),
        ("fast delivery", "en"),
        ("これはとても良い", "ja"),
        ("배송이 빨라요", "ko"),
        ("Größe passt", "latin"),
        ("Очень хорошо", "other"),
        ("12.5 €!", ""),
        ("", ""),
    ],
)
def test_a_text_tells_its_language(text, language):
    assert language_of(text) == language


def test_an_event_is_stored_as_it_was(tmp_path):
    one = replace(event(), user="u", value=1.5, consent=True, time=NOON + timedelta(microseconds=7))
    with Outbox(tmp_path) as outbox:
        outbox.append([one])
        assert stored(tmp_path) == [one]
        outbox.seal()
    assert stored(tmp_path) == [one]


def test_an_outbox_and_a_file_of_the_second_schema_say_nothing_of_probabilities(tmp_path):
    old, new = (event(kind="impression", subject="a", propensity=p) for p in (None, 0.25))
    with Outbox(tmp_path) as outbox:
        outbox.append([old])
    with closing(sqlite3.connect(outbox_file(tmp_path))) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN propensity")
        connection.execute("PRAGMA user_version = 2")
        connection.commit()
    assert [row["propensity"] for batch in scan(tmp_path) for row in batch.to_pylist()] == [None]
    with Outbox(tmp_path) as outbox:
        outbox.append([new])
        assert outbox.seal(before=everything()) == 1
    file = next(tmp_path.glob("events/day=*/*.parquet"))
    assert pq.read_table(file)["propensity"].to_pylist() == [None, 0.25]
    pq.write_table(
        pq.read_table(file).drop_columns(["propensity"]).replace_schema_metadata({b"noria.schema": b"2"}), file
    )
    assert [row["propensity"] for batch in scan(tmp_path) for row in batch.to_pylist()] == [None, None]
