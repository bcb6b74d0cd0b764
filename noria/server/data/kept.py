"""What there is of data sets, in one file: `sets.json` names every set with its changes, and what it does not name is nothing.

with store.changing() as sets:              # alone among all processes
    sets["客服"] = sets["客服"].changed(Change(...))
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from noria.core.errors import FolderError, InputError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import message

from .labels import NAME as JOURNAL

FILE = "sets.json"
_NAME = re.compile(r"\w[\w-]{0,63}")
_SEEN = re.compile(r"[^\w.-]+")
_LONGEST_FILE = 60


@dataclass(frozen=True)
class Change:
    """One change of a set: who made which version, and what it holds."""

    version: str
    """First 12 hexadecimal digits of the SHA-256 of its file."""
    made: str
    """UTC time, ISO 8601."""
    by: str
    action: str
    """upload, add, columns, label, remove or back."""
    rows: int
    labelled: int
    labels: dict[str, int]
    columns: dict[str, int]
    file: str = ""
    """Name of the uploaded file, of upload and add."""
    count: int = 0
    """Rows that were added, labelled or removed."""


@dataclass(frozen=True)
class DataSet:
    """A set: what its rows are for, and how it came to be what it is."""

    name: str
    task: str
    changes: tuple[Change, ...] = field(default=())

    @property
    def current(self) -> Change:
        """Return the last change."""
        return self.changes[-1]

    def at(self, version: str) -> Change | None:
        """Return the last change that made a version; the current one where none is named."""
        return next((one for one in reversed(self.changes) if version in ("", one.version)), None)

    def changed(self, change: Change, task: str = "") -> DataSet:
        """Return the set after one more change."""
        return replace(self, changes=(*self.changes, change), task=task or self.task)


class Store:
    """The folder of all sets.

    A process that is killed leaves its unfinished folder, `.*.part`, which nobody holds a lock on any more: the next one to begin
    removes it, with every file of a version that no set names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stamp: tuple[int, int] | None = None
        self._sets: dict[str, DataSet] = {}
        self._lock = threading.RLock()
        self._swept = False
        self._open: dict[str, DataSet] | None = None

    def sets(self) -> dict[str, DataSet]:
        """Return all sets by name.

        Raises:
            FolderError: `sets.json` cannot be read.
        """
        path = self.folder / FILE
        try:
            facts = path.stat()
        except FileNotFoundError:
            return {}
        stamp = (facts.st_mtime_ns, facts.st_ino)
        if stamp != self._stamp:
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))["sets"]
                self._sets = {
                    name: DataSet(name, one["task"], tuple(Change(**change) for change in one["changes"]))
                    for name, one in kept.items()
                }
            except (ValueError, TypeError, KeyError) as error:
                raise FolderError(message("errors.unreadable", path=FILE), found=str(error)) from None
            self._stamp = stamp
        return dict(self._sets)

    @contextmanager
    def changing(self) -> Iterator[dict[str, DataSet]]:
        """Give the sets to one who changes them, alone among threads and processes; they are written if the block ends well."""
        with self._lock, plain_errors():
            if self._open is not None:  # within a change of this thread's own
                yield self._open
                return
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                sets = self.sets()
                if not self._swept:
                    self._sweep(sets)
                before, self._open = dict(sets), sets
                yield sets
                if sets != before:
                    told = {
                        name: {"task": one.task, "changes": [asdict(change) for change in one.changes]}
                        for name, one in sets.items()
                    }
                    write_json(self.folder / FILE, {"sets": told})
            finally:
                self._open = None
                os.close(descriptor)

    @contextmanager
    def part(self) -> Iterator[Path]:
        """Give an empty folder for unfinished work; it is gone when the block ends, and after a kill at the next start."""
        with plain_errors():
            with self.changing():  # nobody sweeps between the two steps
                path = Path(tempfile.mkdtemp(prefix=".work.", suffix=".part", dir=self.folder))
                lock = os.open(path, os.O_RDONLY)
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)

    def _sweep(self, sets: dict[str, DataSet]) -> None:
        for path in self.folder.iterdir():
            if path.name.endswith(".part") and path.is_dir():
                if not _held(path):
                    shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir():
                named = {change.version for change in sets[path.name].changes} if path.name in sets else set()
                for file in path.iterdir():
                    if file.name.split(".")[0] not in ({*named, JOURNAL} if named else ()):
                        file.unlink(missing_ok=True)
                if not named:
                    path.rmdir()
        self._swept = True


def _held(path: Path) -> bool:
    """Return whether a living process holds the lock of an unfinished folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_name(name: str) -> str:
    """Return a set's name in its one form.

    Raises:
        InputError: it holds a slash, a mark that nobody sees or the like.
    """
    plain = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(plain):
        raise InputError(message("data.name"), found=ascii(name), allowed=message("data.name_allowed"))
    return plain


def file_name(given: str) -> str:
    """Return the name under which an upload lies on the disk: its last part, without marks that nobody sees, its endings kept.

    >>> file_name("../../etc/客服 7月.csv.gz"), file_name("rows\\u202evsc.exe"), file_name("")
    ('客服-7月.csv.gz', 'rowsvsc.exe', 'upload')
    """
    last = re.split(r"[/\\]", given)[-1]
    seen = "".join(one for one in last if unicodedata.category(one)[0] != "C")
    plain = _SEEN.sub("-", unicodedata.normalize("NFC", seen)).strip("-.")
    while len(plain.encode()) > 3 * _LONGEST_FILE or len(plain) > _LONGEST_FILE:
        plain = plain[1:]  # what a file is, its end says
    return plain.lstrip("-.") or "upload"


def set_name(file: str) -> str:
    """Return the name of a set that a file suggests.

    >>> set_name("客服-7月.csv.gz"), set_name("a b.xlsx")
    ('客服-7月', 'a-b')
    """
    stem = file_name(file).split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-")[:64] or "data"
