"""What a shelf knows of users, rebuilt from the lake at a start: from a snapshot, and what the lake holds besides.

    memory = Memory(lake, shelf, key_of)
    memory.recall(earliest)              # at a start
    memory.on_event(event)                   # every event, once it is on the disk
    held = memory.capture()              # now and then, and at the end: at once, however much is known
    memory.written(*memory.write(held))  # the first in a thread

A snapshot names the sealed files whose events it holds, and the events that it holds and no such file does. So each event counts
once, whenever the server was killed, whichever file the event lies in by then. Whoever was erased from the lake is forgotten here too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from noria.core.errors import NoriaError
from noria.core.folder import new_file
from noria.lake.event import EPOCH, Event, microseconds
from noria.lake.read import check_lake, outboxes, read_outbox, read_sealed, sealed_files
from noria.tasks.items import Item

from .shelf import Shelf
from .states import AT_ONCE, Frozen

LEARNED_FROM = ("impression", "click", "conversion")
COLUMNS = ("id", "time", "kind", "user", "tenant", "subject", "outcome")
_LEARNED = ("kind", "user", "tenant", "subject", "time")
FORMAT = 2
_One = TypeVar("_One")


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
class Captured:
    """All that a snapshot holds, as it was at one moment."""

    states: Frozen
    items: list[Item]
    """By row."""
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
        self._since: set[int] | None = None
        """Hashes of the ids of events that came since a snapshot was begun; None while none is under way."""

    def ids(self) -> list[str]:
        """Return the ids of items by row as the snapshot knows them; empty without one that can be used.

        Rows are given by it before there are items, so that what it holds needs no new numbers.
        """
        with suppress(OSError, ValueError, KeyError, TypeError), self.file.open("rb") as stream:
            return _ids(stream.readline, _head(stream.readline())["items"])
        return []

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
            files = {self._name(path): path for path in paths}
            new = {name for name in files if name not in self.position.files and day >= since.strftime("day=%Y-%m-%d")}
            # Of a day that has events in an outbox all files: a killed seal leaves them there beside its file.
            for name in set(files) - new if day in days else ():
                sealed |= {
                    stamp for batch in read_sealed(files[name], COLUMNS) for _, stamp in self._counting(batch, EPOCH)
                }
            batches = [batch for name in sorted(new) for batch in read_sealed(files[name], COLUMNS)]
            for row, stamp in self._in_order(batches, since):
                if stamp not in self.position.loose and stamp not in sealed:
                    self._learn(*(row[name] for name in _LEARNED))
                self.position.loose.discard(stamp)
                if day in days:
                    sealed.add(stamp)
            self.position.files |= set(files)
        self.position.loose -= sealed
        for row, stamp in self._in_order(waiting, since):
            if stamp not in self.position.loose and stamp not in sealed:
                self._learn(*(row[name] for name in _LEARNED))
                self.position.loose.add(stamp)

    def on_event(self, event: Event) -> None:
        """Learn from an event on an item, whoever wrote it; others are passed over."""
        if event.kind not in LEARNED_FROM or event.outcome != "ok" or event.subject not in self.shelf.catalogue.places:
            return
        known, loose, since = xxhash.xxh3_64_intdigest(event.id.encode()), self.position.loose, self._since
        if known in loose or (since is not None and known in since):  # an imported log that was sent again
            return
        (loose if since is None else since).add(known)
        time = 0 if event.kind == "impression" else microseconds(event.time)
        self._learn(event.kind, event.user, event.tenant, event.subject, time)

    def capture(self) -> Captured:
        """Return all that a snapshot holds, as it is now; what comes meanwhile changes none of it, until `written` is called.

        The server's loop waits for it no longer where there are a million users, or a million events since the last seal.
        """
        self.written()
        shelf, at = self.shelf, self.position
        self.heard, self._since = 0, set()
        position = replace(at, files=set(at.files), receipts=set(at.receipts), tenants=set(at.tenants))
        return Captured(shelf.states.freeze(), shelf.catalogue.items, shelf.shown.copy(), shelf.clicks.copy(), position)

    def write(self, held: Captured) -> tuple[set[str], set[int]]:
        """Write a snapshot, whole or not at all; return files of which all is known, and hashes of known events that no file holds.

        It takes a while, and is to be done in a thread: no step of it keeps others waiting, however much is known.

        Raises:
            ResourceError: the disk is full; the snapshot before it stays.
        """
        at = held.position
        files, stamps = self._sealed_since(at)
        at.files |= files
        loose = {stamp for stamp in at.loose if stamp not in stamps} if stamps else at.loose
        keys, packed = held.states.all()
        head = {
            "format": FORMAT,
            "items": len(held.items),
            "users": len(packed),
            "loose": len(loose),
            **{name: sorted(getattr(at, name)) for name in ("files", "receipts", "tenants")},
        }
        ids = (_line([item.id for item in some]) for some in _parts(held.items))
        lengths = (np.fromiter(map(len, some), np.uint32, len(some)).tobytes() for some in _parts(packed))
        hashes = np.fromiter((stamp for stamp in loose), np.uint64, len(loose))
        arrays = (array.tobytes() for array in (held.shown, held.clicks, hashes, keys))
        digest = xxhash.xxh3_64()
        with new_file(self.file) as part, part.open("wb") as stream:
            for piece in chain([_line(head)], ids, arrays, lengths, map(b"".join, _parts(packed))):
                digest.update(piece)
                stream.write(piece)
            stream.write(digest.digest())
        return files, loose

    def written(self, files: Iterable[str] = (), loose: set[int] | None = None) -> None:
        """Take what `write` returned, or nothing where it failed; what came meanwhile counts for the next snapshot."""
        self.shelf.states.thaw()
        self.position.files |= set(files)
        if loose is not None:
            self.position.loose = loose
        if self._since is not None:
            self.position.loose |= self._since
            self._since = None

    def forget_erased(self) -> None:
        """Forget the users that were erased from the lake since the last time."""
        for name, receipt in self._receipts():
            if receipt.get("what") == "user":  # of days that were removed, what is known is read anew at the next start
                for tenant in self.position.tenants:
                    self.shelf.states.forget(self._key_of(tenant, str(receipt.get("user"))))
                self.position.receipts.add(name)

    def _learn(self, kind: str, user: str, tenant: str, subject: str, time: int) -> None:
        """Learn from an event; of an impression its time is not read."""
        self.heard += 1
        key = None
        if user:
            self.position.tenants.add(tenant)
            key = self._key_of(tenant, user)
        if kind == "impression":
            self.shelf.show(key, subject)
            return
        second = min(max(time // 1_000_000, 0), 2**32 - 1)
        (self.shelf.click if kind == "click" else self.shelf.buy)(key, subject, second)

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
            name = self._name(path)
            if name in at.files or name in self._foreign:
                continue
            found = {stamp for batch in read_sealed(path, COLUMNS) for _, stamp in self._counting(batch, EPOCH)}
            if all(stamp in at.loose for stamp in found):
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

    def _load(self) -> bool:
        """Take the snapshot; return whether there was one that can be used, whole and of what the lake still holds."""
        read = self._read()
        self.position = Position(receipts=read.position.receipts if read else set())
        waiting = self._receipts()
        aged = any(receipt.get("what") == "retention" for _, receipt in waiting)
        if read is None or aged or not read.position.files <= {self._name(path) for path in sealed_files(self.lake)}:
            self.position.receipts |= {name for name, _ in waiting}
            return False
        self.position = read.position
        self.shelf.states.load(read.keys, read.packed)
        self.shelf.shown[: len(read.shown)], self.shelf.clicks[: len(read.clicks)] = read.shown, read.clicks
        self.forget_erased()
        return True

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.lake))

    def _read(self) -> _Read | None:
        """Return what the snapshot holds; None where there is none, or it is cut short or damaged."""
        digest = xxhash.xxh3_64()
        with suppress(OSError, ValueError, KeyError, TypeError), self.file.open("rb") as stream:

            def take(count: int) -> bytes:
                piece = stream.read(count)
                digest.update(piece)
                return piece

            def line() -> bytes:
                piece = stream.readline()
                digest.update(piece)
                return piece

            head = _head(line())
            _ids(line, head["items"])
            shown, clicks = (np.frombuffer(take(8 * head["items"]), np.float64) for _ in range(2))
            loose, keys = (np.frombuffer(take(8 * head[name]), np.uint64).tolist() for name in ("loose", "users"))
            lengths = np.frombuffer(take(4 * head["users"]), np.uint32)
            packed = [take(length) for length in lengths.tolist()]
            if stream.read() == digest.digest():
                files, receipts, tenants = (set(head[name]) for name in ("files", "receipts", "tenants"))
                return _Read(Position(files, set(loose), receipts, tenants), keys, packed, shown, clicks)
        return None


async def keep_snapshots(memory: Memory, minutes: Callable[[], float]) -> None:
    """Keep a snapshot every so many minutes, and one when the task is cancelled, before it ends; while the disk is full none."""
    stopped = False
    while not stopped:
        try:
            await asyncio.sleep(60 * minutes())
        except asyncio.CancelledError:
            stopped = True
        memory.forget_erased()
        if not memory.heard:
            continue
        work = asyncio.create_task(asyncio.to_thread(memory.write, memory.capture()))
        while not work.done():  # what it reads must stand until it has ended
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                stopped = True
        failed = work.exception()
        memory.written(*(() if failed else work.result()))
        # Of a full disk the next request tells; the lake holds all of it.
        if failed and not isinstance(failed, NoriaError):
            raise failed


@dataclass(frozen=True)
class _Read:
    """What a snapshot holds."""

    position: Position
    keys: list[int]
    packed: list[bytes]
    shown: np.ndarray
    clicks: np.ndarray


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _head(line: bytes) -> dict[str, Any]:
    """Return the first line of a snapshot.

    Raises:
        ValueError, KeyError, TypeError: it is none, or of another version.
    """
    head = dict(json.loads(line))
    if head["format"] != FORMAT:
        raise ValueError(head["format"])
    return head


def _ids(line: Callable[[], bytes], count: int) -> list[str]:
    """Return so many ids of items, some of which stand on each line.

    Raises:
        ValueError: it is cut short.
    """
    ids: list[str] = []
    while len(ids) < count:
        some = json.loads(line())
        if not some:
            raise ValueError(len(ids))
        ids += some
    return ids


def _parts(whole: Sequence[_One]) -> Iterator[Sequence[_One]]:
    """Yield some of a sequence at a time."""
    for begin in range(0, len(whole), AT_ONCE):
        yield whole[begin : begin + AT_ONCE]
