"""Finished days leave an outbox for the lake: each event in one file, once, whenever the work is cut short.

A batch moves in three steps, each durable before the next: it is noted in the table `batch` (the file's name, the day, and
the last event that belongs to it); the Parquet file is written beside its place, flushed and renamed; its rows are
deleted, the note with the last of them. After a kill the next seal finishes the batch that is noted, under the same
file name. New events are counted on after the last row, which stays until the note goes, so none slips into a noted batch.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import plain_errors
from noria.core.folder import sync

from .event import COLUMNS, EPOCH, OUTBOX_TABLE, day_folder, microseconds
from .read import ARROW, BATCH, batch_of, outboxes
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


def write_events(target: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as one Parquet file, a row group each: whole, on the disk, or not at all; return its events.

    Raises:
        OSError: the disk is full or cannot be written; an older file at `target` stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.part")
    rows = 0
    # An id hardly repeats: a dictionary of ids would only cost time and room.
    repeating = [name for name in ARROW.names if name not in ("id", "text", "subject")]
    try:
        with work.open("wb") as stream:
            with pq.ParquetWriter(stream, ARROW, compression="zstd", use_dictionary=repeating) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            stream.flush()
            os.fsync(stream.fileno())
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)
    sync(target.parent)
    sync(target.parent.parent)
    return rows


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed writer left in a day's folder."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Group:
    """A row group of a sealed file, and the range its ids lie in."""

    path: Path
    number: int
    first: str
    last: str


def groups_of(folder: Path) -> list[Group]:
    """Return the row groups of a day's sealed files."""
    groups = []
    for path in sorted(folder.glob("*.parquet")):
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            told = metadata.row_group(number).column(0).statistics
            known = told is not None and told.has_min_max
            groups.append(Group(path, number, told.min if known else "", told.max if known else "\U0010ffff"))
    return groups


def known_ids(groups: Sequence[Group], ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that a sealed file holds already.

    Ids sort by time, so groups mostly hold ranges apart from those asked and are ruled out unread.
    """
    first, last, asked = min(ids), max(ids), set(ids)
    found: set[str] = set()
    for group in groups:
        if group.first <= last and group.last >= first:
            with pq.ParquetFile(group.path) as file:
                found.update(asked.intersection(file.read_row_group(group.number, ["id"]).column(0).to_pylist()))
    return found
