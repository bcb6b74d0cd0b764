"""The books of a lake: they balance to the event, and say so when they do not."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from noria.core.errors import InputError
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox
from noria.lake.read import sealed_files
from noria.lake.reconcile import reconcile

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event() -> Event:
    return Event(id=new_id(), time=NOON, kind="request")


def test_a_missing_event_and_a_doubled_one_unbalance_the_books(tmp_path):
    with Outbox(tmp_path) as outbox:
        outbox.append([event(), event()])
        outbox.seal()
    assert reconcile(tmp_path).text() == ("2 acknowledged = 0 in outboxes + 2 in the lake + 0 removed: exact")
    file = sealed_files(tmp_path)[0]
    file.with_name("copy.parquet").write_bytes(file.read_bytes())
    assert reconcile(tmp_path).twice == 2
    assert not reconcile(tmp_path).exact
    file.with_name("copy.parquet").unlink()
    file.unlink()
    assert reconcile(tmp_path).as_dict()["lost"] == 2
    assert "NOT exact: 2 lost" in reconcile(tmp_path).text()


def test_ids_that_were_told_must_be_there(tmp_path):
    waiting, sealed = event(), event()
    with Outbox(tmp_path) as outbox:
        outbox.append([sealed])
        outbox.seal()
        outbox.append([waiting])
    assert reconcile(tmp_path, [waiting.id, sealed.id]).exact
    books = reconcile(tmp_path, [waiting.id, new_id(), new_id()])
    assert (books.missing, books.lost, books.exact) == (2, 0, False)


def test_the_books_balance_while_a_server_writes(tmp_path):
    with Outbox(tmp_path) as outbox:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                outbox.append([event() for _ in range(7)])

        thread = threading.Thread(target=write)
        thread.start()
        books = [reconcile(tmp_path) for _ in range(5)]
        done.set()
        thread.join()
    assert all(one.exact for one in books)
    assert books[0].acknowledged < books[-1].acknowledged


def test_a_damaged_file_is_told(tmp_path):
    with Outbox(tmp_path) as outbox:
        outbox.append([event()])
        outbox.seal()
    sealed_files(tmp_path)[0].write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match=r"day=2026-03-01 cannot be read"):
        reconcile(tmp_path)
