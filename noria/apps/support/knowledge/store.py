"""The sources of a knowledge base and what they hold, in one SQLite file: a source is there whole or not at all.

A passage keeps its id for life, and no other ever gets it. What a source held before stays, as gone, until the postings of what it
holds now are written: whoever answers from the older ones still finds it. Embeddings are kept by the hash of their text and the
model's version, so that nothing is embedded twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from noria.core.errors import FolderError, InputError, from_system
from noria.core.messages import message
from noria.text.language import language_of

from .passages import Passage

FILE = "knowledge.sqlite"
FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, version TEXT NOT NULL,
    languages TEXT NOT NULL, passages INTEGER NOT NULL, rows INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_of_a_name ON sources(name) WHERE gone = 0;
CREATE TABLE IF NOT EXISTS passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
    document TEXT NOT NULL, title TEXT NOT NULL, section TEXT NOT NULL, page INTEGER, start INTEGER NOT NULL,
    text TEXT NOT NULL, link TEXT NOT NULL, language TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_of ON passages(source);
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE, value TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS rows_of ON rows(source);
CREATE TABLE IF NOT EXISTS vectors (model TEXT NOT NULL, hash BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, hash))
    WITHOUT ROWID;
"""
_PASSAGE = "document, title, section, page, start, text, link, language"
_HELD = "+source IN (SELECT id FROM sources WHERE gone = 0)"
"""Of passages: what is not gone; the sign keeps SQLite from going by source, where they are asked for in the order of their ids."""


@dataclass(frozen=True)
class SourceRecord:
    """One source as the base knows it."""

    id: int
    name: str
    path: str
    kind: str
    version: str
    """Hash of its content and of what it was read with."""
    languages: tuple[str, ...]
    passages: int
    rows: int


class Store:
    """A knowledge base's file.

    Args:
        folder: of the base.
        write: make it where it is not, and change it; else it is only read.

    Raises:
        FolderError: there is none to read, or it is of another version of Noria.
    """

    def __init__(self, folder: str | Path, *, write: bool = False) -> None:
        self.file = Path(folder) / FILE
        if not write and not self.file.is_file():
            raise FolderError(message("knowledge.no_base"), found=str(folder), hint=message("knowledge.make_base"))
        if write:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = self._opened(write)
            self._database.execute("PRAGMA foreign_keys=ON")
            if write:
                self._database.execute("PRAGMA journal_mode=WAL")
                if not self._version():
                    self._database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
            self._check_version()
        except sqlite3.DatabaseError as error:
            raise FolderError(message("knowledge.damaged", name=self.file.name), found=str(error)) from None

    def _opened(self, write: bool) -> sqlite3.Connection:
        # One thread at a time uses it, whichever that is.
        if write:
            return sqlite3.connect(self.file, isolation_level=None, check_same_thread=False, timeout=30)
        address = f"{self.file.resolve().as_uri()}?mode=ro"
        database = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            database.execute("SELECT 1 FROM sources LIMIT 1")
        except sqlite3.OperationalError:
            # In a folder that must not be written to no log of changes can be kept, and there are none.
            database.close()
            database = sqlite3.connect(f"{address}&immutable=1", uri=True, check_same_thread=False)
        return database

    def _version(self) -> int:
        return int(self._database.execute("PRAGMA user_version").fetchone()[0])

    def _check_version(self) -> None:
        if (found := self._version()) > FORMAT:
            raise FolderError(message("knowledge.newer"), found=found, allowed=str(FORMAT))
        if 0 < found < FORMAT:
            raise FolderError(
                message("knowledge.older"), found=found, allowed=str(FORMAT), hint=message("knowledge.make_anew")
            )

    def changes(self) -> int:
        """Return a number that is another one after every change by another process or connection."""
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def sources(self) -> list[SourceRecord]:
        """Return all sources by name."""
        rows = self._database.execute(
            "SELECT id, name, path, kind, version, languages, passages, rows FROM sources WHERE gone = 0 ORDER BY name"
        )
        return [
            SourceRecord(number, name, path, kind, version, tuple(languages.split()), passages, count)
            for number, name, path, kind, version, languages, passages, count in rows
        ]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make all changes inside, or none: what is killed half-way leaves the base as it was."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            found = from_system(OSError(28, str(error))) if "full" in str(error) else None
            raise found or InputError(message("knowledge.damaged", name=self.file.name), found=str(error)) from None

    def replace(
        self, name: str, path: str, kind: str, version: str, passages: Iterable[Passage], rows: Iterable[dict[str, Any]]
    ) -> SourceRecord:
        """Put a source in the place of its older version, inside `changing`."""
        self.remove(name)
        number = self._database.execute(
            "INSERT INTO sources (name, path, kind, version, languages, passages, rows) VALUES (?, ?, ?, ?, '', 0, 0)",
            (name, path, kind, version),
        ).lastrowid
        languages: dict[str, int] = {}
        counts = [0, 0]
        for passage in passages:
            values = (number, *(getattr(passage, field) for field in _PASSAGE.split(", ")))
            self._database.execute(
                f"INSERT INTO passages (source, {_PASSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )
            languages[passage.language] = languages.get(passage.language, 0) + 1
            counts[0] += 1
        for row in rows:
            value = json.dumps(row, ensure_ascii=False, default=str)
            self._database.execute("INSERT INTO rows (source, value) VALUES (?, ?)", (number, value))
            language = language_of(" ".join(str(one) for one in row.values()))
            languages[language] = languages.get(language, 0) + 1
            counts[1] += 1
        known = " ".join(sorted(language for language in languages if language))
        self._database.execute(
            "UPDATE sources SET languages = ?, passages = ?, rows = ? WHERE id = ?", (known, *counts, number)
        )
        return SourceRecord(int(number or 0), name, path, kind, version, tuple(known.split()), counts[0], counts[1])

    def remove(self, name: str) -> None:
        """Take a source and all that it held for gone, inside `changing`."""
        self._database.execute("UPDATE sources SET gone = 1 WHERE name = ?", (name,))

    def forget_gone(self) -> None:
        """Delete what is gone: no postings know of it any more."""
        with self.changing():
            self._database.execute("DELETE FROM sources WHERE gone = 1")

    def count(self) -> int:
        """Return how many passages there are."""
        return int(self._database.execute(f"SELECT count(*) FROM passages WHERE {_HELD}").fetchone()[0])

    def ids(self) -> np.ndarray:
        """Return the ids of all passages in their order, int64."""
        rows = self._database.execute(f"SELECT id FROM passages WHERE {_HELD} ORDER BY id")
        return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def passages(self) -> Iterator[Passage]:
        """Yield all passages in the order of their ids."""
        for row in self._database.execute(f"SELECT {_PASSAGE} FROM passages WHERE {_HELD} ORDER BY id"):
            yield Passage(**dict(zip(_PASSAGE.split(", "), row, strict=True)))

    def chosen(self, ids: Sequence[int]) -> dict[int, tuple[str, Passage]]:
        """Return id -> name of the source and passage, of those that are there, gone or not."""
        fields = ", ".join(f"passages.{field}" for field in _PASSAGE.split(", "))
        marks = ", ".join("?" * len(ids))
        rows = self._database.execute(
            f"SELECT passages.id, sources.name, {fields} FROM passages JOIN sources ON sources.id = passages.source "
            f"WHERE passages.id IN ({marks})",
            [int(one) for one in ids],
        )
        return {row[0]: (row[1], Passage(**dict(zip(_PASSAGE.split(", "), row[2:], strict=True)))) for row in rows}

    def rows(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name of the source and value of every row of the sources of a kind, in their order."""
        found = self._database.execute(
            "SELECT sources.name, rows.value FROM rows JOIN sources ON sources.id = rows.source "
            "WHERE sources.kind = ? AND sources.gone = 0 ORDER BY sources.name, rows.id",
            (kind,),
        )
        for name, value in found:
            yield name, json.loads(value)

    def known_vectors(self, model: str) -> set[bytes]:
        """Return the hashes of texts that a model has embedded."""
        return {row[0] for row in self._database.execute("SELECT hash FROM vectors WHERE model = ?", (model,))}

    def keep_vectors(self, model: str, hashes: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep embeddings [texts, width] as float16."""
        halves = np.asarray(vectors, dtype=np.float16)
        with self.changing():
            self._database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(model, key, one.tobytes()) for key, one in zip(hashes, halves, strict=True)],
            )

    def vector(self, model: str, key: bytes) -> np.ndarray | None:
        """Return the embedding of a text by its hash, float16, or None."""
        row = self._database.execute("SELECT vector FROM vectors WHERE model = ? AND hash = ?", (model, key)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float16)

    def forget_vectors(self, model: str, keys: Iterable[bytes]) -> None:
        """Remove embeddings of texts that are gone, and those of other models."""
        with self.changing():
            self._database.execute("DELETE FROM vectors WHERE model <> ?", (model,))
            self._database.executemany(
                "DELETE FROM vectors WHERE model = ? AND hash = ?", [(model, key) for key in keys]
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def text_hash(text: str) -> bytes:
    """Return the hash by which a text's embedding is kept."""
    return xxhash.xxh3_128_digest(text.encode())
