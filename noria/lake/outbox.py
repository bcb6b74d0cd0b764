"""Events made durable before they are acknowledged, and sealed by day into the lake.

    outbox = Outbox("runs/lake")
    outbox.append([event, ...])          # returns when they are on the disk
    await outbox.record([event, ...])    # the same, from a server's event loop
    outbox.seal()                        # finished days go into Parquet
    reconcile("runs/lake")               # acknowledged = outbox + lake + removed, to the event

One thread writes (`committer`), in SQLite's write-ahead log with `synchronous=FULL`, so that what was acknowledged survives the
death of the process and of the machine.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from noria.core.errors import ResourceError, plain_errors
from noria.core.folder import sync
from noria.core.messages import message

from .committer import Committer
from .event import COLUMNS, OUTBOX_TABLE, Event, outbox_file
from .reconcile import Reconciled, reconcile
from .store import connect, prepare, storage, transaction

__all__ = ["Outbox", "Reconciled", "everything", "reconcile"]
RESERVE_BYTES = 64 << 20
"""Room on the disk below which new work is refused, so that what is in flight can still be recorded."""
RETRY_SECONDS = 1.0
"""How long new work is refused after a commit failed, before one is tried again."""
_SIZES = (1, 4, 16, 64)
# Rows that one statement stores. Python's lock is given back once a statement, and on a busy server each time may be a
# wait: one statement for what a few clients wait for keeps their commits short. Sizes are few so that statements stay
# prepared. Above, row by row takes less of SQLite's own time, and there are others to share the wait.


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
        self._committer: Committer[Sequence[Event]] = Committer(self.path, _commit, f"outbox-{server}")

    def append(self, events: Iterable[Event]) -> None:
        """Return when all `events` are on the disk; an event that is there already, told by its id, is left as it is.

        Raises:
            ResourceError: the disk is full; none of them was acknowledged.
        """
        self.submit(events).result()

    def submit(self, events: Iterable[Event]) -> Future[None]:
        """Return a future that is done when all `events` are on the disk."""
        batch = tuple(events)
        return self._committer.submit(batch, len(batch))

    def record(self, events: Iterable[Event]) -> asyncio.Future[None]:
        """Return a future of the running event loop that is done when all `events` are on the disk.

        A loop is woken once for all of its futures that a commit fulfils. Cancelling one does not take its events back.
        """
        batch = tuple(events)
        return self._committer.record(batch, len(batch))

    def check(self) -> None:
        """Return if events of new work can be stored; call it before the work is begun.

        Raises:
            ResourceError: the disk is almost full, or the last commit failed less than `RETRY_SECONDS` ago.
        """
        failed = self._committer.failed
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
        self._committer.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def everything() -> datetime:
    """Return a moment for `seal(before=...)` that takes today's events, too."""
    return datetime(9999, 12, 31, tzinfo=UTC)


def _commit(connection: sqlite3.Connection, batches: Sequence[Sequence[Event]]) -> list[None]:
    rows = [event.row() for events in batches for event in events]
    size = next((size for size in _SIZES if size >= len(rows)), None)
    if size is None:
        with transaction(connection):
            connection.executemany(_INSERT, rows)
    elif rows:  # a statement by itself is a transaction
        values = [*chain.from_iterable(rows), *[None] * ((size - len(rows)) * len(COLUMNS))]
        connection.execute(_INSERTS[size], values)
    return [None] * len(batches)


_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_ROW = f"({', '.join('?' * len(COLUMNS))})"
_INSERT = f"INSERT OR IGNORE INTO {OUTBOX_TABLE} ({_NAMES}) VALUES {_ROW}"
_INSERTS = {
    size: f"INSERT OR IGNORE INTO {OUTBOX_TABLE} ({_NAMES}) SELECT * FROM (VALUES {', '.join([_ROW] * size)}) "
    "WHERE column1 IS NOT NULL"  # what is left over is empty
    for size in _SIZES
}
