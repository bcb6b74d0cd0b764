"""Texts that are kept to be searched: masked, found by their terms, time, source and the like, until their time is over or their author is erased.

    kept = Texts(folder / FILE)
    kept.add(texts, seen)                                   # by id, once
    page = kept.find(Wanted(terms=("3f2a",), topic="hotel"), most=50)
    kept.limit(before, most)                                # what is older than that, and what is too much, leaves

SQLite with its own index of words (FTS5). What the words of a text are says who keeps it: they are given as terms, numbers or names without
blanks, so that any language and any script is looked up in one way. A text that is deleted takes its terms with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors

from .event import EPOCH, from_microseconds, microseconds
from .store import Database, connect, storage, transaction

FILE = "texts.sqlite"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS texts (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL, "
    "seen INTEGER NOT NULL, source TEXT NOT NULL, author TEXT NOT NULL, topic TEXT NOT NULL, label TEXT NOT NULL, "
    "score REAL NOT NULL, story TEXT NOT NULL, link TEXT NOT NULL, entities TEXT NOT NULL, text TEXT NOT NULL, terms TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS by_time ON texts (time, place)",
    "CREATE INDEX IF NOT EXISTS by_seen ON texts (seen)",
    "CREATE INDEX IF NOT EXISTS by_author ON texts (author)",
    # Authors whose texts whoever keeps these has still to take out of all else that it keeps.
    "CREATE TABLE IF NOT EXISTS erased (author TEXT PRIMARY KEY) WITHOUT ROWID",
    # Where in a text a term stands is not asked.
    "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (terms, content = 'texts', content_rowid = 'place', detail = 'none')",
    "CREATE TRIGGER IF NOT EXISTS indexed AFTER INSERT ON texts BEGIN "
    "INSERT INTO words (rowid, terms) VALUES (new.place, new.terms); END",
    "CREATE TRIGGER IF NOT EXISTS unindexed AFTER DELETE ON texts BEGIN "
    "INSERT INTO words (words, rowid, terms) VALUES ('delete', old.place, old.terms); END",
)
_HOLDING = "place IN (SELECT rowid FROM words WHERE words MATCH ?)"
_AT_ONCE = 2_000
"""Texts that one transaction deletes, and one read of many gives."""


@dataclass(frozen=True)
class KeptText:
    """One text, masked, and what was found in it."""

    id: str
    time: datetime
    """When it was said."""
    source: str
    author: str
    """A pseudonym; empty where nobody is named."""
    topic: str
    label: str
    """Its sentiment."""
    score: float
    """Probability of the label."""
    story: str
    link: str
    entities: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able dict."""
        return {**vars(self), "time": self.time.isoformat(), "entities": list(self.entities)}


_COLUMNS = ", ".join(one.name for one in fields(KeptText))


@dataclass(frozen=True)
class Wanted:
    """Which texts are looked for; what is left empty asks for nothing."""

    terms: tuple[str, ...] = ()
    """All of which must be a text's."""
    since: datetime | None = None
    until: datetime | None = None
    """Said from then on, and before then."""
    source: str = ""
    author: str = ""
    topic: str = ""
    label: str = ""
    story: str = ""


@dataclass(frozen=True)
class Page:
    """Texts that were found."""

    texts: list[KeptText]
    found: int
    """How many there are in all."""
    next: str
    """Where to go on; empty where these are the last."""


class Texts:
    """The kept texts of one file. For any thread, and beside other processes.

    Raises:
        ResourceError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        with plain_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = Database(path, _TABLES)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def __len__(self) -> int:
        """Return how many texts are kept."""
        with self._file.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM texts").fetchone()[0])

    def add(self, texts: Sequence[tuple[KeptText, str]], seen: datetime) -> None:
        """Keep texts, each with its terms, parted by blanks; one whose id is kept already stays as it is.

        Args:
            texts: masked.
            seen: the present time, from which they are kept.

        Raises:
            ResourceError: the disk is full; none was kept.
        """
        rows = [(*_row(text), terms, microseconds(seen)) for text, terms in texts]
        marks = ", ".join("?" * (len(fields(KeptText)) + 2))
        with self._file.writing() as connection:
            connection.executemany(f"INSERT OR IGNORE INTO texts ({_COLUMNS}, terms, seen) VALUES ({marks})", rows)

    def find(self, wanted: Wanted, most: int, *, after: str = "", best: bool = False) -> Page:
        """Return the latest texts that are wanted, or those that its terms tell most about.

        Args:
            wanted: which.
            most: texts of a page.
            after: what `next` of the page before was; those that tell most come in one page.
            best: order by the terms (BM25) instead of by time.
        """
        where, values = _where(wanted)
        best = best and bool(wanted.terms)
        from_here, start = _after("" if best else after)
        tables, listed, order = "texts", where + from_here, "time DESC, place DESC"
        if best:  # the index leads, for only it knows the order
            tables, order = "words CROSS JOIN texts ON place = words.rowid", "words.rank, time DESC"
            listed = where.replace(_HOLDING, "words MATCH ?")
        with self._file.reading() as connection:
            found = connection.execute(f"SELECT count(*) FROM texts WHERE {where}", values).fetchone()[0]
            rows = connection.execute(
                f"SELECT {_COLUMNS}, place FROM {tables} WHERE {listed} ORDER BY {order} LIMIT ?",
                (*values, *start, most + 1),
            ).fetchall()
        page = rows[:most]
        more = len(rows) > most and not best
        return Page([_text(row) for row in page], int(found), f"{page[-1][1]}-{page[-1][-1]}" if more else "")

    def each(self, wanted: Wanted) -> Iterator[list[KeptText]]:
        """Yield all texts that are wanted, the latest first, some at a time."""
        after = ""
        while True:
            page = self.find(wanted, _AT_ONCE, after=after)
            if page.texts:
                yield page.texts
            if not page.next:
                return
            after = page.next

    def counts(self, wanted: Wanted, width: timedelta, label: str) -> dict[datetime, tuple[int, int]]:
        """Return how many texts that are wanted were said in every stretch of so long since 1970, and how many of these have a label."""
        where, values = _where(wanted)
        length = width // timedelta(microseconds=1)
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT time / ? AS at, count(*), sum(label = ?) FROM texts WHERE {where} GROUP BY at ORDER BY at",
                (length, label, *values),
            ).fetchall()
        return {EPOCH + at * width: (total, some) for at, total, some in rows}

    def sources(self, most: int) -> dict[str, int]:
        """Return the sources that texts are kept of, with how many, the largest first."""
        return self._by("source", most)

    def labels(self) -> dict[str, int]:
        """Return the labels of kept texts, with how many."""
        return self._by("label", 100)

    def _by(self, column: str, most: int) -> dict[str, int]:
        with self._file.reading() as connection:
            return dict(
                connection.execute(
                    f"SELECT {column}, count(*) FROM texts GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT ?",
                    (most,),
                ).fetchall()
            )

    def erased(self) -> frozenset[str]:
        """Return the authors who were erased here, and of whom other files may still hold texts; see `forgot`."""
        with self._file.reading() as connection:
            return frozenset(one for (one,) in connection.execute("SELECT author FROM erased"))

    def forgot(self, authors: frozenset[str]) -> None:
        """Note that nothing holds texts of these authors any more."""
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM erased WHERE author = ?", [(one,) for one in authors])

    def limit(self, before: datetime, most: int) -> int:
        """Remove what was seen before a time, and the oldest of what is more than `most`; return how many texts."""
        gone = 0
        while True:
            with self._file.writing() as connection:
                beyond = connection.execute("SELECT count(*) FROM texts").fetchone()[0] - most
                query = (
                    (
                        "DELETE FROM texts WHERE place IN (SELECT place FROM texts ORDER BY place LIMIT ?)",
                        (min(beyond, _AT_ONCE),),
                    )
                    if beyond > 0
                    else (
                        "DELETE FROM texts WHERE place IN (SELECT place FROM texts WHERE seen < ? LIMIT ?)",
                        (microseconds(before), _AT_ONCE),
                    )
                )
                some = connection.execute(*query).rowcount
            gone += some
            if not some:
                return gone


def forget_texts(lake: Path, *, user: str = "", before: datetime = EPOCH) -> int:
    """Remove the texts of an author, by pseudonym, and those that were seen before a time; return how many.

    Args:
        lake: whose applications keep them; its server may go on running.
        user: the author; nobody where empty.
        before: UTC.
    """
    gone = 0
    for path in sorted((lake / "apps").rglob(FILE)):
        with storage(), closing(connect(path)) as connection:
            with transaction(connection):
                mine = "(author = ? AND author != '') OR seen < ?"
                gone += connection.execute(f"DELETE FROM texts WHERE {mine}", (user, microseconds(before))).rowcount
                if user:
                    connection.execute("INSERT OR IGNORE INTO erased VALUES (?)", (user,))
                # Terms that are deleted lie in the index until it is merged, and what is merged in the log of what was written.
                connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gone


def _row(text: KeptText) -> list[Any]:
    values = dict(vars(text))
    values |= {"time": microseconds(text.time), "entities": json.dumps(text.entities, ensure_ascii=False)}
    return [values[one.name] for one in fields(KeptText)]


def _text(row: Sequence[Any]) -> KeptText:
    values = {one.name: value for one, value in zip(fields(KeptText), row, strict=False)}
    values["time"] = from_microseconds(values["time"])
    values["entities"] = tuple(json.loads(values["entities"]))
    return KeptText(**values)


def _where(wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    """Return the condition of texts that are wanted, and its values."""
    parts, values = ["TRUE"], list[Any]()
    if wanted.terms:
        parts.append(_HOLDING)
        values.append(" AND ".join('"' + one.replace('"', "") + '"' for one in wanted.terms))
    for moment, sign in ((wanted.since, ">="), (wanted.until, "<")):
        if moment is not None:
            parts.append(f"time {sign} ?")
            values.append(microseconds(moment))
    for name in ("source", "author", "topic", "label", "story"):
        if getattr(wanted, name):
            parts.append(f"{name} = ?")
            values.append(getattr(wanted, name))
    return " AND ".join(parts), tuple(values)


def _after(place: str) -> tuple[str, tuple[int, ...]]:
    """Return the condition of texts that follow a place, as `Page.next` tells it; of one that is none, of all."""
    time, _, number = place.rpartition("-")
    try:
        values = (int(time), int(number))
    except ValueError:
        return "", ()
    return " AND (time, place) < (?, ?)", values
