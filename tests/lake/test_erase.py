"""Removal on purpose: all of a user and nothing else, in outboxes and sealed files, with a receipt and exact books."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from old_lakes import old_file, old_lake

from noria.lake import erase as module
from noria.lake.erase import erase_user, keep_days, migrate
from noria.lake.event import SCHEMA, Event, new_id
from noria.lake.outbox import Outbox, everything, reconcile
from noria.lake.read import scan, sealed_files, version_of

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SAID = json.dumps({"input": ["only once said: 青石板路"]}, ensure_ascii=False)


def event(time: datetime = NOON, **facts: object) -> Event:
    return Event(**{"id": new_id(), "time": time, "kind": "request", **facts})


def fill(lake: Path) -> list[Event]:
    """Events of two users on three days: sealed, and of the last day waiting."""
    events = []
    for days in (2, 1, 0):
        time = NOON - timedelta(days=days)
        for user in ("ann", "bob"):
            asked = event(time, user=user, consent=True, text=SAID)
            events += [asked, event(time, user="staff", kind="feedback", subject=asked.id, value=-1.0)]
    with Outbox(lake) as outbox:
        outbox.append(events)
        outbox.seal(before=NOON)
    return events


def left(lake: Path) -> list[dict[str, object]]:
    return sorted((row for batch in scan(lake) for row in batch.to_pylist()), key=lambda row: row["id"])


def test_a_user_is_removed_everywhere_and_nobody_else(tmp_path):
    events = fill(tmp_path)
    receipt = erase_user(tmp_path, "ann")
    gone = {one.id for one in events if one.user == "ann"}
    kept = [one for one in events if one.id not in gone and one.subject not in gone]
    assert [Event(**row) for row in left(tmp_path)] == sorted(kept, key=lambda one: one.id)
    assert (receipt.from_outboxes, receipt.from_lake, receipt.about) == (2, 4, 3)
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.removed, books.waiting, books.sealed, books.exact) == (12, 6, 2, 4, True)
    written = json.loads((tmp_path / "receipts" / f"{receipt.id}.json").read_text())
    assert written["user"] == "ann"
    assert [change["removed"] for change in written["files"]] == [2, 2]
    assert "6 events removed (2 from outboxes, 4 from 2 sealed files)" in receipt.text()
    again = erase_user(tmp_path, "ann")
    assert (again.from_outboxes, again.from_lake, again.files) == (0, 0, [])
    assert reconcile(tmp_path).exact


@pytest.mark.parametrize("sealed", [False, True])
def test_nothing_that_was_said_stays_in_the_outbox(tmp_path, sealed):
    with Outbox(tmp_path) as outbox:
        outbox.append([event(user="ann", consent=True, text=SAID) for _ in range(40)])
        words = SAID.encode()

        def holding() -> list[str]:
            return [path.name for path in (tmp_path / "outbox").iterdir() if words in path.read_bytes()]

        assert holding()
        if sealed:
            outbox.seal()
        erase_user(tmp_path, "ann")
        assert holding() == []
        outbox.append([event()])  # the server goes on
    assert reconcile(tmp_path).exact


class Killed(BaseException):
    """Stands for the death of the process at one point of a removal."""


@pytest.mark.parametrize(
    ("name", "count"), [("_note", 1), ("write_events", 1), ("_note", 2), ("write_events", 2), ("_kept", 1)]
)
def test_a_removal_cut_short_keeps_the_books_and_is_gone_on_with(tmp_path, monkeypatch, name, count):
    events = fill(tmp_path)
    whole, calls = getattr(module, name), 0

    def cut(*arguments):
        nonlocal calls
        calls += 1
        if calls == count:
            raise Killed
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, cut)
        with pytest.raises(Killed):
            erase_user(tmp_path, "ann")
    assert reconcile(tmp_path).exact
    erase_user(tmp_path, "ann")
    assert len(left(tmp_path)) == 6 < len(events)
    assert reconcile(tmp_path).removed == 6
    assert reconcile(tmp_path).exact


def test_days_past_their_retention_go_and_texts_go_sooner(tmp_path):
    fill(tmp_path)
    receipt = keep_days(tmp_path, text_days=1, now=NOON)
    assert (receipt.texts, receipt.from_lake, receipt.from_outboxes) == (2, 0, 0)
    assert [bool(row["text"]) for row in left(tmp_path) if row["kind"] == "request"].count(True) == 4
    receipt = keep_days(tmp_path, days=1, now=NOON)
    assert (receipt.from_lake, len(receipt.files), receipt.files[0].after) == (4, 1, "")
    assert {row["time"].date() for row in left(tmp_path)} == {NOON.date(), (NOON - timedelta(days=1)).date()}
    assert reconcile(tmp_path).exact
    # What waited in the outbox for days goes by the same rule.
    receipt = keep_days(tmp_path, days=1, now=NOON + timedelta(days=9))
    assert (receipt.from_lake, left(tmp_path)) == (8, [])
    assert (reconcile(tmp_path).removed, reconcile(tmp_path).exact) == (12, True)


def test_an_old_lake_is_migrated_and_a_user_is_removed_from_one(tmp_path):
    events = [event(user=user) for user in ("ann", "bob", "ann")]
    old_lake(tmp_path, events[:1], noted=0)
    file = old_file(tmp_path, events[1:], "a.parquet")
    base = sqlite3.connect(tmp_path / "outbox" / "main.sqlite")
    base.execute("UPDATE counters SET value = 3")
    base.commit()
    base.close()
    assert reconcile(tmp_path).exact
    assert migrate(tmp_path) == 1
    assert migrate(tmp_path) == 0
    assert version_of(pq.read_schema(file)) == SCHEMA
    assert reconcile(tmp_path).exact
    assert erase_user(tmp_path, "ann").from_lake == 1
    assert [row["id"] for row in left(tmp_path)] == [events[1].id]
    with Outbox(tmp_path) as outbox:
        outbox.seal(before=everything())
    assert (len(sealed_files(tmp_path)), reconcile(tmp_path).exact) == (1, True)
