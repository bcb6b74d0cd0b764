"""One durable inbox between sources and monitor: what came is on the disk before its source's cursor moves, and is known when it comes again.

    inbox.take("phones", entries, lambda taken: cursor, now)     # texts, what they are known by and the cursor: one transaction
    for kept in inbox.batch(64): ...                         # the oldest first, by when they were said
    inbox.delivered(batch)                                   # their texts leave; what they are known by stays

A kill between two of these loses and doubles nothing: a cursor that did not move is asked from again, whose entries are known;
a batch that was delivered and not noted is delivered again under the same ids, and the monitor counts an id once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors
from noria.lake.event import EPOCH, pseudonym
from noria.lake.store import Database, connect, storage
from noria.server.meter import read_secret

from .entry import TEXT_CHARACTERS, Entry

KNOWN_DAYS = 120
"""Days for which an entry is known after it was last seen: feeds list theirs for weeks, and a file's rows are read once."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS texts (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, "
    "author TEXT NOT NULL, time TEXT NOT NULL, seen TEXT NOT NULL, link TEXT NOT NULL, text TEXT NOT NULL, dated INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS by_time ON texts (time, place)",
    "CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_day ON known (day)",
    "CREATE TABLE IF NOT EXISTS cursors (source TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
)
_LINK_CHARACTERS = 2_000


@dataclass(frozen=True)
class Kept:
    """One text of the inbox, masked."""

    place: int
    id: str
    """The source, and what the entry is known by there."""
    source: str
    author: str
    """A pseudonym; empty where nobody is named."""
    time: datetime
    """When it was said; when it was seen where nobody tells."""
    seen: datetime
    link: str
    text: str
    dated: bool
    """Its source says when it was said."""


@dataclass
class Taken:
    """What came of some entries."""

    new: int = 0
    repeated: int = 0
    """Known before."""
    empty: int = 0
    """Without a text."""
    undated: int = 0
    """New ones without a time: that at which they were seen stands for it."""


class Inbox:
    """The inbox in a folder. For one process; safe to use from its threads.

    Args:
        folder: made where it is missing, readable only by its owner.
        mask: gives a text with personal data masked; nothing else of it is kept.

    Raises:
        ResourceError: the folder cannot be written.
    """

    def __init__(self, folder: Path, mask: Callable[[str], str]) -> None:
        with plain_errors():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secret, self._mask = read_secret(folder), mask
        self._purged = 0
        self._file = Database(folder / "inbox.sqlite", _TABLES)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def cursor(self, source: str) -> dict[str, Any]:
        """Return where a source is asked from; nothing where it was never asked."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT state FROM cursors WHERE source = ?", (source,)).fetchone()
        state = json.loads(row[0]) if row else {}
        return state if isinstance(state, dict) else {}

    def take(
        self, source: str, entries: Sequence[Entry], cursor: Callable[[Taken], Mapping[str, Any]], now: datetime
    ) -> Taken:
        """Keep what is new of a source and move its cursor; all of it is on the disk when this returns, or nothing.

        Args:
            source: its name.
            entries: as they came.
            cursor: gives where it is asked from next, of what came of the entries; JSON-able.
            now: the present time.

        Raises:
            ResourceError: the disk is full; nothing was taken, and the source is asked for the same again.
        """
        taken, day = Taken(), (now - EPOCH).days
        # Masked before the transaction, which others wait for.
        masked = [self._mask(entry.text[:TEXT_CHARACTERS]).strip() for entry in entries]
        with self._file.writing() as connection:
            for entry, text in zip(entries, masked, strict=True):
                keys = [f"{source}\0{one}" for one in entry.keys]
                if not text:
                    taken.empty += 1
                elif self._is_known(connection, keys, day):
                    taken.repeated += 1
                else:
                    self._keep(connection, source, entry, text, now)
                    taken.new += 1
                    taken.undated += entry.time is None
                connection.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", [(one, day) for one in keys])
            state = json.dumps(dict(cursor(taken)), ensure_ascii=False)
            connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (source, state))
            if self._purged != day:
                connection.execute("DELETE FROM known WHERE day < ?", (day - KNOWN_DAYS,))
                self._purged = day
        return taken

    def knows(self, source: str, keys: Sequence[str]) -> bool:
        """Return whether an entry came before that one of some keys is known by."""
        marks = ", ".join("?" * len(keys))
        with self._file.reading() as connection:
            query = f"SELECT 1 FROM known WHERE key IN ({marks}) LIMIT 1"
            return connection.execute(query, [f"{source}\0{one}" for one in keys]).fetchone() is not None

    def waiting(self) -> int:
        """Return how many texts have not been delivered."""
        with self._file.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM texts").fetchone()[0])

    def batch(self, most: int, most_bytes: int = 1 << 19) -> list[Kept]:
        """Return texts to deliver, the earliest by when they were said first.

        Args:
            most: texts.
            most_bytes: of their words in UTF-8, but one text at least.
        """
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT place, id, source, author, time, seen, link, text, dated FROM texts ORDER BY time, place LIMIT ?",
                (most,),
            ).fetchall()
        kept: list[Kept] = []
        for place, id, source, author, time, seen, link, text, dated in rows:
            most_bytes -= len(text.encode()) + len(link.encode())
            if kept and most_bytes < 0:
                break
            moments = datetime.fromisoformat(time), datetime.fromisoformat(seen)
            kept.append(Kept(place, id, source, author, *moments, link, text, bool(dated)))
        return kept

    def delivered(self, batch: Sequence[Kept]) -> None:
        """Note that a batch has arrived: its texts leave."""
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM texts WHERE place = ?", [(one.place,) for one in batch])

    def _is_known(self, connection: sqlite3.Connection, keys: Sequence[str], day: int) -> bool:
        marks = ", ".join("?" * len(keys))
        days = connection.execute(f"SELECT key, day FROM known WHERE key IN ({marks})", keys).fetchall()
        # Noted once a week: what is listed for months stays known, and no round writes every entry anew.
        old = [(day, name) for name, last in days if last < day - 7]
        connection.executemany("UPDATE known SET day = ? WHERE key = ?", old)
        return bool(days)

    def _keep(self, connection: sqlite3.Connection, source: str, entry: Entry, text: str, now: datetime) -> None:
        author, link = pseudonym(entry.author, self._secret), entry.link
        if len(link) > _LINK_CHARACTERS or self._mask(link) != link:  # one that leads to a person is not kept
            link = ""
        times = _ordered(entry.time or now), _ordered(now)
        connection.execute(
            "INSERT OR IGNORE INTO texts (id, source, author, time, seen, link, text, dated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (f"{source}:{entry.keys[0]}", source, author, *times, link, text, int(entry.time is not None)),
        )


def forget_author(folder: Path, author: str) -> int:
    """Remove the texts of an author, by pseudonym, that wait in an inbox; return how many.

    Raises:
        ResourceError: it cannot be written.
    """
    path = folder / "inbox.sqlite"
    if not path.is_file():
        return 0
    with storage(), closing(connect(path)) as connection:
        gone = connection.execute("DELETE FROM texts WHERE author = ?", (author,)).rowcount
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gone


def _ordered(moment: datetime) -> str:
    """Return a time so that the order of the texts is that of the times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
