"""Files of SQLite whose every commit is on the disk: one that threads share, and an outbox's, of the present schema, locked while it is sealed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from noria.core.errors import InputError, NoriaError, ResourceError, from_system
from noria.core.messages import message

from .event import COLUMNS, OUTBOX_DDL, OUTBOX_TABLE, SCHEMA, day_folder

LOG_BYTES = 64 << 20
"""What the write-ahead log may keep of the disk after it was long."""
_TABLES = (
    OUTBOX_DDL,
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO counters VALUES ('acknowledged', 0), ('removed', 0)",
    # Counted in the statement that stores, so that no event is ever stored and not counted.
    f"CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON {OUTBOX_TABLE} BEGIN "
    "UPDATE counters SET value = value + 1 WHERE name = 'acknowledged'; END",
    "CREATE TABLE IF NOT EXISTS batch (file TEXT PRIMARY KEY, day INTEGER NOT NULL, last INTEGER NOT NULL)",
    f"PRAGMA user_version = {SCHEMA}",
)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection whose commits survive the machine's death; every statement outside `transaction` is one."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
    # What is deleted is gone: pages that are free hold nobody's words.
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def prepare(path: Path, lake: Path) -> None:
    """Make the outbox's tables, or bring those of an older version up to the present one, whole or not at all.

    Raises:
        InputError: a newer Noria wrote it.
        ResourceError: it cannot be written.
    """
    with storage(), closing(connect(path)) as connection, transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise InputError(
                message("errors.newer", path=path),
                found=message("lake.schema", version=version),
                allowed=message("lake.up", schema=SCHEMA),
            )
        old = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (OUTBOX_TABLE,)).fetchone()
        if version == 0 and old:
            _from_version_1(connection, lake)
        if version == 2:
            connection.execute(f'ALTER TABLE {OUTBOX_TABLE} ADD COLUMN "propensity" REAL')
        for statement in _TABLES:
            connection.execute(statement)


def _from_version_1(connection: sqlite3.Connection, lake: Path) -> None:
    """Give every event a place in the order of commits, and an empty text.

    Version 1 noted each id that was being sealed. Where their file stands they are in the lake; else they are not.
    """
    noted = connection.execute(
        f"SELECT s.file, min(e.time) FROM sealing s JOIN {OUTBOX_TABLE} e ON e.id = s.id GROUP BY s.file"
    ).fetchone()
    if noted:
        day = connection.execute("SELECT date(? / 1000000, 'unixepoch')", (noted[1],)).fetchone()[0]
        if (day_folder(lake, day) / noted[0]).exists():
            connection.execute(f"DELETE FROM {OUTBOX_TABLE} WHERE id IN (SELECT id FROM sealing)")
    connection.execute("DROP TABLE sealing")
    connection.execute(f"ALTER TABLE {OUTBOX_TABLE} RENAME TO version_1")
    connection.execute(OUTBOX_DDL)
    names = ", ".join(f'"{name}"' for name in COLUMNS if name not in ("text", "propensity"))
    connection.execute(
        f"INSERT INTO {OUTBOX_TABLE} ({names}, text) SELECT {names}, '' FROM version_1 ORDER BY time, id"
    )
    connection.execute("DROP TABLE version_1")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def storage() -> Iterator[None]:
    """Turn SQLite's faults inside the block into `ResourceError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _plain(error) from error


def _plain(error: sqlite3.Error) -> NoriaError:
    full = "full" in str(error) or "I/O" in str(error)
    return ResourceError(
        message("lake.events_cannot"),
        found=str(error),
        hint=message("lake.free_some") if full else None,
    )


class Database:
    """One file that the threads of a process share: a block at a time reads or writes, beside other processes.

        with database.writing() as connection:
            connection.execute("DELETE FROM texts")     # whole or not at all, and on the disk when the block ends

    Args:
        path: made where it is missing.
        tables: statements that make what is not there yet.

    Raises:
        ResourceError: it cannot be read or written; so do its blocks.
    """

    def __init__(self, path: Path, tables: Iterable[str]) -> None:
        self._lock = threading.Lock()
        with storage():
            self._connection = connect(path)
        with self.writing() as connection:
            for statement in tables:
                connection.execute(statement)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to a block that changes nothing, or each of whose statements stands for itself."""
        with self._lock, storage():
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to a block whose changes are made together."""
        with self.reading() as connection, transaction(connection):
            yield connection


@contextmanager
def locked_outbox(path: Path) -> Iterator[None]:
    """Let one process at a time take events out of the outbox at `path`."""
    with locked(path.with_suffix(".seal")):
        yield


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds `file`, and hold it while the block runs; a killed process lets go."""
    descriptor = -1
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise from_system(error) or error from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)
