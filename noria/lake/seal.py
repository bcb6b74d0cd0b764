"""Finished days leave an outbox for the lake: each event in one file, once, whenever the work is cut short.

A batch moves in three steps, each durable before the next: it is noted in the table `batch` (the file's name, the day, and
the last event that belongs to it); the Parquet file is written beside its place, flushed and renamed; its rows are
deleted, the note with the last of them. After a kill the next seal finishes the batch that is noted, under the same
file name. New events are counted on after the last row, which stays until the note goes, so none slips into a noted batch.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from noria.core.errors import plain_errors

from .event import COLUMNS, EPOCH, OUTBOX_TABLE, day_folder, microseconds
from .read import BATCH, batch_of, outboxes
from .sealed import clear_unfinished, groups_of, known_ids, write_events
from .store import connect, locked_outbox, prepare, storage, transaction

SEAL_ROWS = 1_000_000
"""Most events in one Parquet file."""
DELETE_ROWS = 5_000
"""Rows deleted in one transaction, about 20 ms: commits of new events come in between."""
DAY_US = 86_400_000_000
_OF_DAY = "time >= :start AND time < :end"
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)


def border_of(moment: datetime) -> int:
    """Return the start of the UTC day of `moment`, in microseconds since 1970."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return microseconds(day)


def seal(path: Path, lake: Path, server: str, before: datetime) -> int:
    """Move the events of days before that of `before` into the lake; return how many files were written.

    Raises:
        ResourceError: the disk is full; no event is lost, the next seal goes on.
    """
    border = border_of(before)
    with storage(), plain_errors(), locked_outbox(path), closing(connect(path)) as connection:
        files = finish(connection, lake)
        days = connection.execute(
            f"SELECT DISTINCT time / {DAY_US} FROM {OUTBOX_TABLE} WHERE time < ? ORDER BY 1", (border,)
        ).fetchall()
        for (day,) in days:
            while _note(connection, lake, server, day):
                files += finish(connection, lake)
    return files


def seal_all(lake: Path, before: datetime) -> int:
    """Seal every outbox of a lake; else as `seal`."""
    files = 0
    for path in outboxes(lake):
        prepare(path, lake)
        files += seal(path, lake, path.stem, before)
    return files


def finish(connection: sqlite3.Connection, lake: Path) -> int:
    """Write the noted batch, delete its rows, forget it; return how many files that made. Needs `locked_outbox`."""
    noted = connection.execute("SELECT file, day, last FROM batch").fetchone()
    if noted is None:
        return 0
    file, day, last = noted
    folder = _folder(lake, day)
    target = folder / file
    files = 0
    if not target.exists():
        clear_unfinished(folder)
        write_events(target, _batches(connection, day, last))
        files = 1
    while _delete_some(connection, day, last):
        pass
    return files


def _note(connection: sqlite3.Connection, lake: Path, server: str, day: int) -> bool:
    """Note the day's next batch; return whether there was one."""
    place = _place(day)
    last = connection.execute(
        f"SELECT max(seq) FROM (SELECT seq FROM {OUTBOX_TABLE} WHERE {_OF_DAY} ORDER BY seq LIMIT {SEAL_ROWS})", place
    ).fetchone()[0]
    if last is None:
        return False
    again = list(_sealed_before(connection, _folder(lake, day), day, last))
    with transaction(connection):
        # Acknowledged a second time after they had been sealed: each is one event, so the book counts it once.
        connection.executemany(f"DELETE FROM {OUTBOX_TABLE} WHERE id = ?", [(one,) for one in again])
        connection.execute("UPDATE counters SET value = value - ? WHERE name = 'acknowledged'", (len(again),))
        # The note's last row must be there: while it is, no new event is given its number.
        last = connection.execute(
            f"SELECT max(seq) FROM {OUTBOX_TABLE} WHERE seq <= :last AND {_OF_DAY}", {**place, "last": last}
        ).fetchone()[0]
        if last is not None:
            # The name is drawn, not taken from a clock: one that stepped back would name an older file.
            name = f"{server}-{secrets.token_hex(8)}.parquet"
            connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (name, day, last))
    return last is not None or bool(again)


def _sealed_before(connection: sqlite3.Connection, folder: Path, day: int, last: int) -> Iterator[str]:
    groups = groups_of(folder)
    if not groups:
        return
    cursor = connection.execute(
        f"SELECT id FROM {OUTBOX_TABLE} WHERE seq <= :last AND {_OF_DAY} ORDER BY seq", {**_place(day), "last": last}
    )
    while rows := cursor.fetchmany(BATCH):
        yield from known_ids(groups, [row[0] for row in rows])


def _batches(connection: sqlite3.Connection, day: int, last: int) -> Iterator[pa.RecordBatch]:
    cursor = connection.execute(
        f"SELECT {_NAMES} FROM {OUTBOX_TABLE} WHERE seq <= :last AND {_OF_DAY} ORDER BY seq",
        {**_place(day), "last": last},
    )
    while rows := cursor.fetchmany(BATCH):
        yield batch_of(rows)


def _delete_some(connection: sqlite3.Connection, day: int, last: int) -> bool:
    """Delete the oldest of a batch's rows; with the last of them, the note. Return whether there are more."""
    place = {**_place(day), "last": last}
    with transaction(connection):
        until = connection.execute(
            f"SELECT max(seq) FROM (SELECT seq FROM {OUTBOX_TABLE} WHERE seq <= :last AND {_OF_DAY} "
            f"ORDER BY seq LIMIT {DELETE_ROWS})",
            place,
        ).fetchone()[0]
        connection.execute(f"DELETE FROM {OUTBOX_TABLE} WHERE seq <= :last AND {_OF_DAY}", {**place, "last": until})
        done = until in (None, last)
        if done:
            connection.execute("DELETE FROM batch")
    return not done


def _place(day: int) -> dict[str, int]:
    return {"start": day * DAY_US, "end": (day + 1) * DAY_US}


def _folder(lake: Path, day: int) -> Path:
    return day_folder(lake, (EPOCH + timedelta(days=day)).strftime("%Y-%m-%d"))
