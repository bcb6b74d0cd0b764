"""What a shelf knows of users, rebuilt from the lake at a start: from a snapshot, and what the lake holds besides.

    memory = Memory(lake, shelf, key_of)
    memory.recall(earliest)              # at a start
    memory.on_event(event)                   # every event, once it is on the disk
    memory.written(*memory.write(memory.capture()))         # now and then, and at the end

A snapshot names the sealed files whose events it holds, and the events that it holds and no such file does. So each event counts
once, whenever the server was killed, whichever file the event lies in by then. Whoever was erased from the lake is forgotten here too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from noria.core.folder import new_file
from noria.lake.event import EPOCH, Event, microseconds
from noria.lake.read import check_lake, outboxes, read_outbox, read_sealed, sealed_files

from .shelf import Shelf

LEARNED_FROM = ("impression", "click", "conversion")
COLUMNS = ("id", "time", "kind", "user", "tenant", "subject", "outcome")
FORMAT = 1
_BLOCK = 4_096
"""Users that are written together."""


@dataclass
class Position:
    """Which of the lake's events are known."""

    files: set[str] = field(default_factory=set)
    """Sealed files of which all that counts is known, by their place in the lake."""
    loose: set[int] = field(default_factory=set)
    """Hashes of the ids of known events that stand in none of these files."""
    receipts: set[str] = field(default_factory=set)
    """Receipts of erasures that were followed."""
    tenants: set[str] = field(default_factory=set)
    """Tenants whose users are known."""


@dataclass(frozen=True)
class _Captured:
    """All that a snapshot holds, as it was at one moment."""

    keys: np.ndarray
    packed: list[bytes]
    ids: list[str]
    shown: np.ndarray
    clicks: np.ndarray
    position: Position


class Memory:
    """Keeps a shelf in step with the lake.

    Args:
        lake: the lake's folder.
        shelf: what learns.
        key_of: tenant and pseudonym of a user -> the number that they are known by.
    """

    def __init__(self, lake: Path, shelf: Shelf, key_of: Callable[[str, str], int]) -> None:
        self.lake, self.shelf, self._key_of = lake, shelf, key_of
        self.file = lake / "apps" / "recommend" / "readers.snapshot"
        self.position = Position()
        self.heard = 0
        """Events that counted since the last snapshot."""
        self._foreign: set[str] = set()
        """Sealed files that hold what was not heard, such as another server's: they are read at the next start."""

    def ids(self) -> list[str]:
        """Return the ids of items by row as the snapshot knows them; empty without one that can be used.

        Rows are given by it before there are items, so that what it holds needs no new numbers.
        """
        head = self._head()
        return list(head["ids"]) if head else []

    def recall(self, earliest: datetime) -> None:
        """Learn what is known: the snapshot, then the lake's events that it does not hold, since `earliest` where there is none.

        Raises:
            InputError: there is no lake, or one of its files cannot be read.
        """
        lake = check_lake(self.lake)
        known = self._load()
        # Outboxes are read before sealed files: what is sealed in between comes twice, told by its id.
        waiting = [batch for path in outboxes(lake) for batch in read_outbox(path, COLUMNS)]
        since = EPOCH if known else earliest
        days = {f"day={day}" for batch in waiting for day in batch["time"].cast(pa.date32()).unique().to_pylist()}
        sealed: set[int] = set()
        for day, paths in groupby(sealed_files(lake), lambda path: path.parent.name):
            files = {str(path.relative_to(lake)): path for path in paths}
            new = {name for name in files if name not in self.position.files and day >= since.strftime("day=%Y-%m-%d")}
            # Of a day that has events in an outbox all files: a killed seal leaves them there beside its file.
            for name in set(files) - new if day in days else ():
                sealed |= {
                    stamp for batch in read_sealed(files[name], COLUMNS) for _, stamp in self._counting(batch, EPOCH)
                }
            batches = [batch for name in sorted(new) for batch in read_sealed(files[name], COLUMNS)]
            for row, stamp in self._in_order(batches, since):
                if stamp not in self.position.loose and stamp not in sealed:
                    self._learn(row)
                self.position.loose.discard(stamp)
                if day in days:
                    sealed.add(stamp)
            self.position.files |= set(files)
        self.position.loose -= sealed
        for row, stamp in self._in_order(waiting, since):
            if stamp not in self.position.loose and stamp not in sealed:
                self._learn(row)
                self.position.loose.add(stamp)

    def on_event(self, event: Event) -> None:
        """Learn from an event on an item, whoever wrote it; others are passed over."""
        if event.kind not in LEARNED_FROM or event.outcome != "ok" or event.subject not in self.shelf.catalogue.places:
            return
        known = xxhash.xxh3_64_intdigest(event.id.encode())
        if known in self.position.loose:  # an imported log that was sent again
            return
        self.position.loose.add(known)
        self._learn({name: getattr(event, name) for name in COLUMNS} | {"time": microseconds(event.time)})

    def capture(self) -> _Captured:
        """Return all that a snapshot holds, as it is now: quick, for the server's loop waits."""
        shelf, at = self.shelf, self.position
        keys, packed = shelf.states.all()
        ids = [item.id for item in shelf.catalogue.items]
        position = Position(set(at.files), set(at.loose), set(at.receipts), set(at.tenants))
        self.heard = 0
        return _Captured(keys, packed, ids, shelf.shown.copy(), shelf.clicks.copy(), position)

    def write(self, held: _Captured) -> tuple[set[str], set[int]]:
        """Write a snapshot, whole or not at all; return files, and hashes of events, that need not be held by id any more.

        Raises:
            ResourceError: the disk is full; the snapshot before it stays.
        """
        at = held.position
        files, stamps = self._sealed_since(at)
        at.files |= files
        at.loose -= stamps
        head = {
            "format": FORMAT,
            "ids": held.ids,
            "users": len(held.packed),
            **{name: sorted(getattr(at, name)) for name in ("files", "loose", "receipts", "tenants")},
        }
        lengths = np.fromiter(map(len, held.packed), np.uint32, len(held.packed))
        first = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        arrays = (held.shown, held.clicks, held.keys, lengths)
        blocks = (b"".join(held.packed[begin : begin + _BLOCK]) for begin in range(0, len(held.packed), _BLOCK))
        digest = xxhash.xxh3_64()
        with new_file(self.file) as part, part.open("wb") as stream:
            for piece in chain([first], (array.tobytes() for array in arrays), blocks):
                digest.update(piece)
                stream.write(piece)
            stream.write(digest.digest())
        return files, stamps

    def written(self, files: set[str], stamps: set[int]) -> None:
        """Take what `write` returned."""
        self.position.files |= files
        self.position.loose -= stamps

    def forget_erased(self) -> None:
        """Forget the users that were erased from the lake since the last time."""
        for name, receipt in self._receipts():
            if receipt.get("what") == "user":  # of days that were removed, what is known is read anew at the next start
                for tenant in self.position.tenants:
                    self.shelf.states.forget(self._key_of(tenant, str(receipt.get("user"))))
                self.position.receipts.add(name)

    def _learn(self, row: dict[str, Any]) -> None:
        self.heard += 1
        key = None
        if row["user"]:
            self.position.tenants.add(row["tenant"])
            key = self._key_of(row["tenant"], row["user"])
        second = min(max(int(row["time"]) // 1_000_000, 0), 2**32 - 1)
        if row["kind"] == "impression":
            self.shelf.show(key, row["subject"])
        else:
            (self.shelf.click if row["kind"] == "click" else self.shelf.buy)(key, row["subject"], second)

    def _counting(self, batch: pa.RecordBatch, since: datetime) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the events of a batch that count, and the hash of the id of each."""
        kinds, known = pa.array(LEARNED_FROM), self.shelf.catalogue.places
        wanted = pc.and_(
            pc.and_(pc.is_in(batch["kind"], kinds), pc.equal(batch["outcome"], "ok")),
            pc.greater_equal(batch["time"], pa.scalar(since, batch["time"].type)),
        )
        found = batch.filter(wanted)
        found = found.set_column(found.schema.get_field_index("time"), "time", found["time"].cast(pa.int64()))
        for row in found.to_pylist():
            if row["subject"] in known:
                yield row, xxhash.xxh3_64_intdigest(row["id"].encode())

    def _in_order(self, batches: list[pa.RecordBatch], since: datetime) -> list[tuple[dict[str, Any], int]]:
        """Return the events of some batches that count, in the order of time; equal times by id."""
        found = [one for batch in batches for one in self._counting(batch, since)]
        return sorted(found, key=lambda one: (one[0]["time"], one[0]["id"]))

    def _sealed_since(self, at: Position) -> tuple[set[str], set[int]]:
        """Return the files of which all is known that a position does not name, and the hashes of the events in them."""
        files, stamps = set(), set[int]()
        for path in sealed_files(self.lake):
            name = str(path.relative_to(self.lake))
            if name in at.files or name in self._foreign:
                continue
            found = {stamp for batch in read_sealed(path, COLUMNS) for _, stamp in self._counting(batch, EPOCH)}
            if found <= at.loose:
                files.add(name)
                stamps |= found
            else:
                self._foreign.add(name)
        return files, stamps

    def _receipts(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the receipts of erasures that were not followed yet, by name."""
        found = []
        for path in sorted((self.lake / "receipts").glob("*.json")):
            if path.name not in self.position.receipts:
                with suppress(OSError, ValueError):
                    found.append((path.name, dict(json.loads(path.read_text(encoding="utf-8")))))
        return found

    def _head(self) -> dict[str, Any] | None:
        try:
            with self.file.open("rb") as stream:
                head = json.loads(stream.readline())
            return head if head["format"] == FORMAT else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _load(self) -> bool:
        """Take the snapshot; return whether there was one that can be used, whole and of what the lake still holds."""
        head = self._head()
        if head is None:
            self.position = Position(receipts={name for name, _ in self._receipts()})
            return False
        self.position = Position(*(set(head[name]) for name in ("files", "loose", "receipts", "tenants")))
        aged = any(receipt.get("what") == "retention" for _, receipt in self._receipts())
        there = {str(path.relative_to(self.lake)) for path in sealed_files(self.lake)}
        read = None if aged or not self.position.files <= there else self._body(head)
        if read is None:
            self.position = Position(receipts=self.position.receipts | {name for name, _ in self._receipts()})
            return False
        keys, packed, shown, clicks = read
        self.shelf.states.load(keys.tolist(), packed)
        self.shelf.shown[: len(shown)], self.shelf.clicks[: len(clicks)] = shown, clicks
        self.forget_erased()
        return True

    def _body(self, head: dict[str, Any]) -> tuple[np.ndarray, list[bytes], np.ndarray, np.ndarray] | None:
        """Return keys, packed users and counts of a snapshot; None where it is cut short or damaged."""
        items, users, digest = len(head["ids"]), int(head["users"]), xxhash.xxh3_64()
        with self.file.open("rb") as stream:

            def take(count: int) -> bytes:
                piece = stream.read(count)
                digest.update(piece)
                return piece

            digest.update(stream.readline())
            try:
                shown, clicks = (np.frombuffer(take(8 * items), np.float64) for _ in range(2))
                keys, lengths = np.frombuffer(take(8 * users), np.uint64), np.frombuffer(take(4 * users), np.uint32)
                packed = [take(length) for length in lengths.tolist()]
            except ValueError:  # a number cut in two
                return None
            whole = stream.read() == digest.digest() and len(keys) == len(lengths) == users
        return (keys, packed, shown, clicks) if whole else None
