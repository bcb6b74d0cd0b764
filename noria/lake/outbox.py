"""Events made durable before they are acknowledged, and sealed by day into the lake.

    outbox = Outbox("runs/lake")
    outbox.append([event, ...])          # returns when they are on the disk
    await outbox.record([event, ...])    # the same, from a server's event loop
    outbox.seal()                        # finished days go into Parquet
    reconcile("runs/lake")               # acknowledged = outbox + lake + removed, to the event

One thread writes. It takes whatever waits as one transaction (group commit), in SQLite's write-ahead log with
`synchronous=FULL`, so that what was acknowledged survives the death of the process and of the machine.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from noria.core.errors import ResourceError, plain_errors
from noria.core.folder import sync
from noria.core.messages import message

from .event import COLUMNS, OUTBOX_TABLE, Event, outbox_file
from .reconcile import Reconciled, reconcile
from .store import connect, prepare, storage, transaction

__all__ = ["Outbox", "Reconciled", "everything", "reconcile"]
GROUP = 4_096
"""Most events in one transaction: about 50 ms of work, so that no one waits long behind it."""
RESERVE_BYTES = 64 << 20
"""Room on the disk below which new work is refused, so that what is in flight can still be recorded."""
RETRY_SECONDS = 1.0
"""How long new work is refused after a commit failed, before one is tried again."""
_SIZES = (1, 4, 16, 64)
# Rows that one statement stores. Python's lock is given back once a statement, and on a busy server each time may be a
# wait: one statement for what a few clients wait for keeps their commits short. Sizes are few so that statements stay
# prepared. Above, row by row takes less of SQLite's own time, and there are others to share the wait.


@dataclass(slots=True)
class _Submission:
    events: Sequence[Event]
    future: Future[None] | asyncio.Future[None]
    loop: asyncio.AbstractEventLoop | None = None


class Outbox:
    """Durable events of one server. Safe to use from many threads and event loops.

    Args:
        lake: the lake's folder.
        server: name of this server's outbox among those of the lake.
        reserve_bytes: room on the disk that `check` wants free.

    Raises:
        ResourceError: the disk is full or cannot be written.
        InputError: a newer Noria wrote this outbox.
    """

    def __init__(self, lake: str | Path, server: str = "main", *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.lake, self.server = Path(lake), server
        self.path = outbox_file(lake, server)
        self._reserve = reserve_bytes
        with plain_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.lake, self.lake.parent):
                sync(folder)
        prepare(self.path, self.lake)
        self._waiting: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._failed: tuple[float, ResourceError] | None = None
        self._thread = threading.Thread(target=self._write, name=f"outbox-{server}", daemon=True)
        self._thread.start()

    def append(self, events: Iterable[Event]) -> None:
        """Return when all `events` are on the disk; an event that is there already, told by its id, is left as it is.

        Raises:
            ResourceError: the disk is full; none of them was acknowledged.
        """
        self.submit(events).result()

    def submit(self, events: Iterable[Event]) -> Future[None]:
        """Return a future that is done when all `events` are on the disk."""
        future: Future[None] = Future()
        self._put(_Submission(tuple(events), future))
        return future

    def record(self, events: Iterable[Event]) -> asyncio.Future[None]:
        """Return a future of the running event loop that is done when all `events` are on the disk.

        A loop is woken once for all of its futures that a commit fulfils. Cancelling one does not take its events back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._put(_Submission(tuple(events), future, loop))
        return future

    def check(self) -> None:
        """Return if events of new work can be stored; call it before the work is begun.

        Raises:
            ResourceError: the disk is almost full, or the last commit failed less than `RETRY_SECONDS` ago.
        """
        failed = self._failed
        if failed and time.monotonic() - failed[0] < RETRY_SECONDS:
            raise ResourceError("no new work: " + failed[1].what, found=failed[1].found, hint=failed[1].hint)
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free < self._reserve:
            raise ResourceError(
                message("lake.new_work"),
                found=message("lake.mib_free", free=free >> 20),
                allowed=message("lake.mib_more", reserve=self._reserve >> 20),
                hint=message("lake.free_some"),
            )

    def seal(self, *, before: datetime | None = None) -> int:
        """Move the events of days before that of `before` into the lake; return how many files were written.

        Args:
            before: UTC; now by default, so that today stays in the outbox. `everything()` takes today, too.

        Raises:
            ResourceError: the disk is full; no event is lost, the next seal goes on.
        """
        from .seal import seal

        return seal(self.path, self.lake, self.server, before or datetime.now(UTC))

    def count(self) -> int:
        """Return how many events wait in the outbox."""
        with storage(), closing(connect(self.path)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {OUTBOX_TABLE}").fetchone()[0])

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, submission: _Submission) -> None:
        with self._lock:
            if self._closed:
                raise ResourceError(message("lake.outbox_closed"), hint=message("lake.server_stopping"))
            self._waiting.put(submission)

    def _write(self) -> None:
        connection: sqlite3.Connection | None = None
        last = False
        while not last and (first := self._waiting.get()) is not None:
            group, last = self._group(first)
            try:
                with storage():
                    connection = connection or connect(self.path)
                    _commit(connection, [event for one in group for event in one.events])
            except Exception as error:
                # The connection may be what broke, or one submission what cannot be written: each is tried by itself.
                if connection:
                    with suppress(sqlite3.Error):
                        connection.close()
                connection = None
                _resolve_group(self._singly(group) if len(group) > 1 else [(group[0], self._failure(error))])
            else:
                self._failed = None
                _resolve_group([(one, None) for one in group])
        if connection:
            connection.close()

    def _singly(self, group: list[_Submission]) -> list[tuple[_Submission, Exception | None]]:
        results: list[tuple[_Submission, Exception | None]] = []
        for one in group:
            try:
                with storage(), closing(connect(self.path)) as connection:
                    _commit(connection, list(one.events))
            except Exception as error:
                results.append((one, self._failure(error)))
            else:
                self._failed = None
                results.append((one, None))
        return results

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, ResourceError):
            self._failed = (time.monotonic(), error)
        return error

    def _group(self, first: _Submission) -> tuple[list[_Submission], bool]:
        group, size = [first], len(first.events)
        while size < GROUP:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
            size += len(item.events)
        return group, False


def everything() -> datetime:
    """Return a moment for `seal(before=...)` that takes today's events, too."""
    return datetime(9999, 12, 31, tzinfo=UTC)


def _commit(connection: sqlite3.Connection, events: list[Event]) -> None:
    rows = [event.row() for event in events]
    size = next((size for size in _SIZES if size >= len(rows)), None)
    if size is None:
        with transaction(connection):
            connection.executemany(_INSERT, rows)
    elif rows:  # a statement by itself is a transaction
        values = [*chain.from_iterable(rows), *[None] * ((size - len(rows)) * len(COLUMNS))]
        connection.execute(_INSERTS[size], values)


_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_ROW = f"({', '.join('?' * len(COLUMNS))})"
_INSERT = f"INSERT OR IGNORE INTO {OUTBOX_TABLE} ({_NAMES}) VALUES {_ROW}"
_INSERTS = {
    size: f"INSERT OR IGNORE INTO {OUTBOX_TABLE} ({_NAMES}) SELECT * FROM (VALUES {', '.join([_ROW] * size)}) "
    "WHERE column1 IS NOT NULL"  # what is left over is empty
    for size in _SIZES
}


def _resolve_group(results: list[tuple[_Submission, Exception | None]]) -> None:
    """Tell everyone how it went; each event loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Exception | None]]] = {}
    for one, error in results:
        if isinstance(one.future, asyncio.Future):
            assert one.loop is not None
            by_loop.setdefault(one.loop, []).append((one.future, error))
        else:
            with suppress(InvalidStateError):  # who waited has gone, and took the future back
                _resolve(one.future, error)
    for loop, outcomes in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(_resolve_all, outcomes)


def _resolve_all(outcomes: list[tuple[asyncio.Future[None], Exception | None]]) -> None:
    for future, error in outcomes:
        if not future.done():  # who waited may have gone
            _resolve(future, error)


def _resolve(future: Future[None] | asyncio.Future[None], error: Exception | None) -> None:
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)
