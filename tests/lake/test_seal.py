"""Sealing: each event in one file of its day, once, wherever the work is cut short; late and repeated ones included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from old_lakes import old_file, old_lake

from noria.core.errors import InputError, ResourceError
from noria.lake import seal as module
from noria.lake import seal as sealing
from noria.lake.event import COLUMNS, Event, microseconds, new_id, outbox_file
from noria.lake.outbox import Outbox, everything, reconcile
from noria.lake.read import scan, sealed_files
from noria.lake.store import connect

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(time: datetime = NOON, **facts: object) -> Event:
    return Event(**{"id": new_id(), "time": time, "kind": "request", **facts})


def rows_of(lake: Path) -> list[str]:
    return [row for path in sealed_files(lake) for row in pq.ParquetFile(path).read(["id"])["id"].to_pylist()]


def test_today_stays_in_the_outbox_until_it_is_over(tmp_path):
    now = datetime.now(UTC)
    with Outbox(tmp_path) as outbox:
        outbox.append([event(now), event(now - timedelta(days=1)), event(now - timedelta(days=9))])
        assert outbox.seal() == 2
        assert outbox.count() == 1
        assert len(list(tmp_path.glob("events/day=*/*.parquet"))) == 2


def test_a_batch_larger_than_one_file_is_split(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEAL_ROWS", 10)
    monkeypatch.setattr(module, "DELETE_ROWS", 3)
    monkeypatch.setattr(module, "BATCH", 4)
    with Outbox(tmp_path) as outbox:
        outbox.append([event() for _ in range(25)])
        assert outbox.seal() == 3
    assert reconcile(tmp_path).sealed == 25
    assert reconcile(tmp_path).exact
    assert sorted(pq.read_metadata(path).num_rows for path in sealed_files(tmp_path)) == [5, 10, 10]


class Killed(BaseException):
    """Stands for the death of the process at one point of a seal."""


@pytest.mark.parametrize(
    "place", ["write_events 1", "_delete_some 1", "_delete_some 2", "transaction 1", "transaction 3"]
)
def test_a_seal_cut_short_is_finished_by_the_next_one(tmp_path, monkeypatch, place):
    monkeypatch.setattr(module, "DELETE_ROWS", 4)
    outbox = Outbox(tmp_path)
    outbox.append([event() for _ in range(10)])
    name, _, count = place.partition(" ")
    whole, calls = getattr(module, name), 0

    def cut(*arguments):
        nonlocal calls
        calls += 1
        if calls == int(count):
            raise Killed
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, cut)
        with pytest.raises(Killed):
            outbox.seal()
    # New events are not drawn into the batch that was noted, whatever place in the table they get.
    outbox.append([event() for _ in range(5)])
    outbox.seal()
    outbox.close()
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.sealed, books.waiting, books.twice) == (15, 15, 0, 0)


def test_events_that_come_late_join_their_day(tmp_path):
    with Outbox(tmp_path) as outbox:
        outbox.append([event(), event(NOON + timedelta(days=1))])
        assert outbox.seal() == 2
        late = [event(NOON - timedelta(hours=1)), event(NOON - timedelta(days=3))]
        outbox.append(late)
        assert outbox.seal() == 2
    days = [path.parent.name for path in sealed_files(tmp_path)]
    assert days == ["day=2026-02-26", "day=2026-03-01", "day=2026-03-01", "day=2026-03-02"]
    assert reconcile(tmp_path).exact


def test_events_acknowledged_again_after_they_were_sealed_count_once(tmp_path):
    first, second = [event() for _ in range(8)], [event() for _ in range(3)]
    with Outbox(tmp_path) as outbox:
        outbox.append(first)
        outbox.seal()
        outbox.append([*first[2:6], *second])
        assert reconcile(tmp_path).waiting == 3
        outbox.seal()
        outbox.append(first)
        assert outbox.seal() == 0
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.sealed, books.waiting, books.exact) == (11, 11, 0, True)
    assert sorted(rows_of(tmp_path)) == sorted(one.id for one in first + second)


def test_a_clock_that_steps_back_loses_and_doubles_nothing(tmp_path):
    with Outbox(tmp_path) as outbox:
        ids = []
        for hours in (0, 30, -50, 2, -1000):
            made = [
                event(NOON + timedelta(hours=hours), id=new_id(lambda h=hours: (NOON + timedelta(hours=h)).timestamp()))
                for _ in range(5)
            ]
            ids += [one.id for one in made]
            outbox.append(made)
            outbox.seal(before=NOON + timedelta(hours=hours))
        assert len(set(ids)) == 25
        outbox.seal(before=everything())
    assert sorted(rows_of(tmp_path)) == sorted(ids)
    assert reconcile(tmp_path).exact


def test_a_full_disk_stops_a_seal_and_keeps_the_events(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Outbox(tmp_path) as outbox:
        outbox.append([event() for _ in range(5)])
        with monkeypatch.context() as patch:
            patch.setattr(sealing.os, "fsync", full)
            with pytest.raises(ResourceError, match="the disk is full"):
                outbox.seal()
        assert not list(tmp_path.rglob("*.part"))
        assert outbox.seal() == 1
    assert (reconcile(tmp_path).sealed, reconcile(tmp_path).exact) == (5, True)


def test_any_reader_of_parquet_reads_the_sealed_days(tmp_path):
    one = event(user="u", value=1.5, consent=True, text='{"a": "你好"}', time=NOON + timedelta(microseconds=7))
    with Outbox(tmp_path) as outbox:
        outbox.append([one])
        outbox.seal()
        table = duckdb.sql(f"SELECT * REPLACE (epoch_us(time) AS time) FROM '{tmp_path}/events/*/*.parquet'")
        assert table.columns[: len(COLUMNS)] == list(COLUMNS)
        row = dict(zip(table.columns, table.fetchone(), strict=True))
    assert (row["id"], row["text"], row["consent"], str(row["day"])) == (one.id, one.text, True, "2026-03-01")
    assert row["time"] == microseconds(one.time)


@pytest.mark.parametrize("renamed", [False, True])
def test_an_outbox_of_version_1_is_brought_up_to_date(tmp_path, renamed):
    events = [event(segment=str(place)) for place in range(9)]
    old_lake(tmp_path, events, noted=4)
    if renamed:
        old_file(tmp_path, events[:4])
    assert len({row for batch in scan(tmp_path, ("id",)) for row in batch["id"].to_pylist()}) == 9
    with Outbox(tmp_path) as outbox:
        assert outbox.count() == (5 if renamed else 9)
        outbox.append([event()])
        outbox.seal()
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.sealed, books.exact) == (10, 10, True)
    read = {row["id"]: row for batch in scan(tmp_path) for row in batch.to_pylist()}
    assert [read[one.id]["segment"] for one in events] == [one.segment for one in events]
    assert {row["text"] for row in read.values()} == {""}


def test_what_a_newer_version_wrote_is_refused(tmp_path):
    with Outbox(tmp_path) as outbox:
        outbox.append([event()])
    base = connect(outbox_file(tmp_path))
    base.execute("PRAGMA user_version = 99")
    base.close()
    for read in (lambda: Outbox(tmp_path), lambda: list(scan(tmp_path))):
        with pytest.raises(InputError, match=r"written by a newer Noria: found 'schema 99'"):
            read()
