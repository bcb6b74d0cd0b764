"""A version's file: JSON Lines of rows, written once, found by place or by id without being read whole.

facts = write_rows(part / "rows.jsonl", rows, "classify")      # its hash, its rows, its labels, its columns
index = Index(path)
index.rows(100, 150); index.row("3f2a91c0-2")
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from noria.tasks.task import Row

TASKS = ("classify", "tag", "answer", "translate", "summarise", "chat", "embed", "complete")
"""Tasks whose rows a data set may hold."""
INPUTS: dict[str, tuple[str, ...]] = {
    "answer": ("context", "question"),
    "translate": ("source", "target"),
    "summarise": ("source", "target"),
    "chat": ("messages",),
    "embed": ("anchor", "positive"),
}
"""Task -> fields without which a row is none; of the others the text."""
TRUTH: dict[str, tuple[str, ...]] = {"classify": ("label", "labels"), "tag": ("spans", "tags"), "answer": ("answers",)}
"""Task -> fields that say what a model should answer, and that a row may wait for."""
SHORT = 12
"""Hexadecimal digits of a file's SHA-256 that name a version."""
MOST_NAMED = 200
"""Labels and columns that are counted by name."""


@dataclass(frozen=True)
class Written:
    """What a file of rows holds."""

    version: str
    rows: int
    labelled: int
    labels: dict[str, int]
    """Label -> its rows, the most frequent first."""
    columns: dict[str, int]
    """Field -> rows in which it stands, in the order in which they were met."""


def inputs_of(task: str) -> tuple[str, ...]:
    """Return the fields without which a row of a task is none."""
    return INPUTS.get(task, ("text",))


def is_labelled(row: Mapping[str, Any], task: str) -> bool:
    """Return whether a row says what a model should answer; of tasks without such a field every row does."""
    return task not in TRUTH or any(row.get(name) is not None for name in TRUTH[task])


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a version."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield json.loads(line)


def write_rows(path: Path, rows: Iterable[Row], task: str) -> Written:
    """Write rows as JSON Lines and return what they hold."""
    hashed, count, labelled = sha256(), 0, 0
    labels: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    with path.open("wb") as stream:
        for row in rows:
            line = (json.dumps(_finite(row), ensure_ascii=False, default=str) + "\n").encode("utf-8", "replace")
            hashed.update(line)
            stream.write(line)
            count += 1
            labelled += is_labelled(row, task)
            labels.update(labels_in(row))
            columns.update(name for name in row if name != "id")
    named = dict(labels.most_common(MOST_NAMED))
    first = dict(list(columns.items())[:MOST_NAMED])
    return Written(hashed.hexdigest()[:SHORT], count, labelled, named, first)


def _finite(value: Any) -> Any:
    """Return a value with null for numbers that JSON has none for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def labels_in(row: Row) -> list[str]:
    """Return the labels of a row: its own, those of its list, or those of its spans."""
    if isinstance(row.get("label"), str):
        return [row["label"]]
    if isinstance(row.get("labels"), list):
        return [str(one) for one in row["labels"]]
    spans = row.get("spans")
    return [str(span.get("label")) for span in spans if isinstance(span, dict)] if isinstance(spans, list) else []


def text_of(row: Row) -> str:
    """Return what a person reads of a row: its texts, parted by a line."""
    if isinstance(row.get("messages"), list):
        return "\n".join(str(one.get("content", "")) for one in row["messages"] if isinstance(one, dict))
    fields = ("text", "pair", "question", "context", "source", "target", "anchor", "positive")
    found = [str(row[name]) for name in fields if isinstance(row.get(name), str)]
    return "\n".join(found or [str(value) for name, value in row.items() if name not in ("id", "label")])


class Index:
    """Where each row of a version begins, and where that of an id does: 24 bytes a row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        offsets, ids = [0], []
        with path.open("rb") as stream:
            for line in stream:
                offsets.append(offsets[-1] + len(line))
                ids.append(_hash(json.loads(line)["id"]))
        self._offsets = np.array(offsets, dtype=np.int64)
        hashes = np.array(ids, dtype=np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def rows(self, start: int, stop: int) -> list[Row]:
        """Return the rows from one place to before another."""
        start, stop = min(max(0, start), len(self)), min(max(0, stop), len(self))
        if start >= stop:
            return []
        with self.path.open("rb") as stream:
            stream.seek(int(self._offsets[start]))
            content = stream.read(int(self._offsets[stop] - self._offsets[start]))
        return [json.loads(line) for line in content.splitlines()]

    def row(self, id: str) -> Row | None:
        """Return the row of an id, or None where there is none."""
        at = int(np.searchsorted(self._hashes, np.uint64(_hash(id))))
        while at < len(self._hashes) and self._hashes[at] == _hash(id):
            (row,) = self.rows(place := int(self._order[at]), place + 1)
            if row["id"] == id:
                return row
            at += 1
        return None


def _hash(id: str) -> int:
    return int(xxhash.xxh3_64_intdigest(str(id).encode("utf-8", "replace")))


def found_in(row: Row, wanted: str) -> bool:
    """Return whether a text, in small letters, stands in any of a row's fields."""
    return any(wanted in _words(value) for value in row.values())


def _words(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).casefold()
