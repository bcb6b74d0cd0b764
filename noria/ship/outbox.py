"""Events made durable, then sealed by day into the lake.

    outbox = Outbox("runs/lake")
    outbox.append([event, ...])          # returns when they are on the disk
    outbox.seal()                        # finished days go into Parquet
    reconcile("runs/lake")               # acknowledged = outbox + lake, to the event

One thread writes. It takes whatever waits as one transaction (group commit), in SQLite's write-ahead log with
`synchronous=FULL`, so that what `append` returned from survives the death of the process and of the machine.

Sealing moves a batch in four steps, each durable before the next: its ids are noted in the table `sealing`; the Parquet file is
written beside its place, flushed and renamed; its rows are deleted; the note is deleted. After a kill the next seal
finishes the batch that is noted, under the same file name, so no event is ever in two files.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from noria.core.errors import NoriaError, ResourceError, from_system, told_plainly
from noria.core.event import COLUMNS, OUTBOX_DDL, OUTBOX_TABLE, Event, day_folder, outbox_file

from .sealed import clear_unfinished, known_ids, write_events

GROUP = 4_096
"""Most events in one transaction: about 30 ms of work, so that no one waits long behind it."""
SEAL_ROWS = 100_000
"""Events a Parquet file: about 150 MB while it is made."""
_DELETE_ROWS = 5_000
# Deleting in pieces lets commits of new events in between.
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT = f"INSERT OR IGNORE INTO {OUTBOX_TABLE} ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"
_SCHEMA = (
    OUTBOX_DDL,
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO counters VALUES ('acknowledged', 0)",
    "CREATE TABLE IF NOT EXISTS sealing (id TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID",
)
_DAY_US = 86_400_000_000

Submission = tuple[Sequence[Event], "Future[None]"]


@dataclass(frozen=True)
class Reconciled:
    """How the books stand: every event acknowledged must lie in an outbox or in the lake, and no other."""

    acknowledged: int
    """Events that outboxes have said yes to, ever."""
    waiting: int
    """Events in outboxes and not yet in the lake."""
    sealed: int
    """Events in the lake, told apart by id."""
    twice: int = 0
    """Rows of the lake that repeat an id: more than 0 is a fault."""

    @property
    def exact(self) -> bool:
        """Return whether the books balance to the event."""
        return self.acknowledged == self.waiting + self.sealed and self.twice == 0


class Outbox:
    """Durable events of one server. Safe to use from many threads.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """

    def __init__(self, lake: str | Path, server: str = "main") -> None:
        self.lake, self.server = Path(lake), server
        self.path = outbox_file(lake, server)
        with told_plainly():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with _storage(), closing(_connect(self.path)) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
        self._waiting: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
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
        with self._lock:
            if self._closed:
                raise ResourceError("the outbox is closed", hint="the server is stopping")
            self._waiting.put((tuple(events), future))
        return future

    def seal(self, *, before: datetime | None = None) -> int:
        """Move the events of days before that of `before` into the lake; return how many files were written.

        Args:
            before: UTC; now by default, so that today stays in the outbox. `everything()` takes today, too.

        Raises:
            ResourceError: the disk is full; no event is lost, the next seal goes on.
        """
        day = (before or datetime.now(UTC)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        border = round(day.timestamp() * 1e6)
        files = 0
        with _storage(), told_plainly(), _alone(self.path.with_suffix(".seal")), closing(_connect(self.path)) as db:
            files += self._finish(db)
            while self._note(db, border):
                files += self._finish(db)
        return files

    def count(self) -> int:
        """Return how many events wait in the outbox."""
        with _storage(), closing(_connect(self.path)) as connection:
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

    def _write(self) -> None:
        connection = None
        while (first := self._waiting.get()) is not None:
            group, last = self._group(first)
            try:
                with _storage():
                    connection = connection or _connect(self.path)
                    _commit(connection, [event for events, _ in group for event in events])
            except Exception as error:
                # The connection may be what broke, or one submission what cannot be written: each is tried by itself.
                if connection:
                    connection.close()
                connection = None
                self._write_singly(group) if len(group) > 1 else group[0][1].set_exception(error)
            else:
                for _, future in group:
                    future.set_result(None)
            if last:
                break
        if connection:
            connection.close()

    def _write_singly(self, group: list[Submission]) -> None:
        for events, future in group:
            try:
                with _storage(), closing(_connect(self.path)) as connection:
                    _commit(connection, list(events))
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def _group(self, first: Submission) -> tuple[list[Submission], bool]:
        group, size = [first], len(first[0])
        while size < GROUP:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
            size += len(item[0])
        return group, False

    def _note(self, connection: sqlite3.Connection, border: int) -> bool:
        """Note the oldest day's next batch in `sealing`; return whether there was one."""
        oldest = connection.execute(f"SELECT min(time) FROM {OUTBOX_TABLE} WHERE time < ?", (border,)).fetchone()[0]
        if oldest is None:
            return False
        start = oldest // _DAY_US * _DAY_US
        name = f"{self.server}-{time.time_ns():x}.parquet"
        with _transaction(connection):
            connection.execute(
                f"INSERT INTO sealing SELECT id, ? FROM {OUTBOX_TABLE} WHERE time >= ? AND time < ? ORDER BY id LIMIT ?",
                (name, start, min(start + _DAY_US, border), SEAL_ROWS),
            )
        return True

    def _finish(self, connection: sqlite3.Connection) -> int:
        """Write, delete and forget the batch noted in `sealing`; return how many files that made."""
        noted = connection.execute("SELECT file FROM sealing LIMIT 1").fetchone()
        if noted is None:
            return 0
        names = ", ".join(f'e."{name}"' for name in COLUMNS)
        rows = connection.execute(
            f"SELECT {names} FROM {OUTBOX_TABLE} e JOIN sealing s ON s.id = e.id ORDER BY e.id"
        ).fetchall()
        files = 0
        if rows:
            files = self._to_lake(connection, rows, noted[0])
        while True:
            with _transaction(connection):
                ids = "SELECT id FROM sealing ORDER BY id LIMIT ?"
                connection.execute(f"DELETE FROM {OUTBOX_TABLE} WHERE id IN ({ids})", (_DELETE_ROWS,))
                gone = connection.execute(f"DELETE FROM sealing WHERE id IN ({ids})", (_DELETE_ROWS,)).rowcount
            if gone < _DELETE_ROWS:
                return files

    def _to_lake(self, connection: sqlite3.Connection, rows: list[tuple[object, ...]], file: str) -> int:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(rows[0][1])))
        folder = day_folder(self.lake, moment.strftime("%Y-%m-%d"))
        target = folder / file
        clear_unfinished(folder)
        if target.exists():
            return 0
        again = known_ids(folder, [str(row[0]) for row in rows])
        if again:
            # Acknowledged a second time after it had been sealed: it is one event, so the book counts it once.
            with _transaction(connection):
                connection.executemany("DELETE FROM sealing WHERE id = ?", [(one,) for one in again])
                connection.executemany(f"DELETE FROM {OUTBOX_TABLE} WHERE id = ?", [(one,) for one in again])
                connection.execute("UPDATE counters SET value = value - ?", (len(again),))
            rows = [row for row in rows if row[0] not in again]
        if rows:
            write_events(target, rows)
        return int(bool(rows))


def everything() -> datetime:
    """Return a moment for `seal(before=...)` that takes today's events, too."""
    return datetime(9999, 12, 31, tzinfo=UTC)


def reconcile(lake: str | Path) -> Reconciled:
    """Return how the books of all outboxes and of the lake stand, together."""
    from .sealed import day_files, ids_of

    lake = Path(lake)
    acknowledged = 0
    waiting: set[str] = set()
    for path in sorted((lake / "outbox").glob("*.sqlite")):
        with _storage(), closing(_connect(path)) as connection:
            acknowledged += connection.execute("SELECT value FROM counters WHERE name = 'acknowledged'").fetchone()[0]
            waiting.update(row[0] for row in connection.execute(f"SELECT id FROM {OUTBOX_TABLE}"))
    sealed = twice = 0
    for files in day_files(lake):
        seen: set[str] = set()
        rows = 0
        for path in files:
            ids = ids_of(path)
            seen.update(ids)
            rows += len(ids)
        waiting -= seen
        sealed += len(seen)
        twice += rows - len(seen)
    return Reconciled(acknowledged, len(waiting), sealed, twice)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _commit(connection: sqlite3.Connection, events: list[Event]) -> None:
    with _transaction(connection):
        before = connection.total_changes
        connection.executemany(_INSERT, [event.row() for event in events])
        new = connection.total_changes - before
        connection.execute("UPDATE counters SET value = value + ? WHERE name = 'acknowledged'", (new,))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _plain(error) from error


def _plain(error: sqlite3.Error) -> NoriaError:
    full = "full" in str(error) or "I/O" in str(error)
    return ResourceError(
        "events cannot be stored",
        found=str(error),
        hint="free some disk; nothing acknowledged is lost" if full else None,
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time seal this outbox."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise from_system(error) or error from error
    finally:
        os.close(descriptor)
