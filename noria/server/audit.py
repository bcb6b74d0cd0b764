"""Who changed what: a log that is only added to, each line of which holds the SHA-256 of the line before.

    audit.add("3f9a01c2", "key.revoke", "77ab10d4")
    audit.check().whole                                   # False once a line was changed, moved or taken out

It lies in `<lake>/server/audit.jsonl`, one JSON object a line: at, actor, role, action, subject, details, before. Whoever can write the
whole file anew can make a chain anew, too: note `Checked.last` elsewhere, and ask for it later.
No secret, no user's name and nothing that was said stands in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors
from noria.core.folder import sync

FIRST = "0" * 64
"""What the first line holds in the place of a hash."""
LONGEST = 512
"""Characters of a subject or a detail that are kept."""
_BLOCK = 1 << 14
Detail = str | int | float | bool | None


@dataclass(frozen=True)
class Entry:
    """One change."""

    at: str
    """UTC, ISO 8601, in milliseconds."""
    actor: str
    """Id of the key that did it; console: a sign-in link, server: the server itself, command line: whoever has its files."""
    role: str
    """Of that key, at that time."""
    action: str
    """As in key.revoke, events.forget."""
    subject: str
    """What was changed: the id of a key, the name of a model or a data set."""
    details: dict[str, Detail] = field(default_factory=dict)
    before: str = FIRST
    """SHA-256 of the line before."""
    line: int = 0
    """Its place in the file, from 1."""

    def as_row(self) -> dict[str, Any]:
        """Return it as a row of a table; details as JSON."""
        told = json.dumps(self.details, ensure_ascii=False) if self.details else ""
        names = ("line", "at", "actor", "role", "action", "subject")
        return {**{name: getattr(self, name) for name in names}, "details": told, "before": self.before}


@dataclass(frozen=True)
class Wanted:
    """Which entries; what is left empty asks for nothing."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    action: str = ""
    """An action, or what it begins with, as in key."""
    text: str = ""
    """Part of the subject or of a detail."""
    below: int = 0
    """Only lines before that one; 0: all."""

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry is one of them."""
        if (self.below and entry.line >= self.below) or (self.actor and entry.actor != self.actor):
            return False
        if self.action and not f"{entry.action}.".startswith(f"{self.action.removesuffix('.')}."):
            return False
        if self.since or self.until:
            at = datetime.fromisoformat(entry.at)
            if (self.since and at < self.since) or (self.until and at >= self.until):
                return False
        if not self.text:
            return True
        return self.text.casefold() in f"{entry.subject}\n{json.dumps(entry.details, ensure_ascii=False)}".casefold()


@dataclass(frozen=True)
class Checked:
    """What the chain says of the log."""

    entries: int
    last: str
    """SHA-256 of the last line: note it elsewhere."""
    broken: int | None = None
    """First line that does not hold the hash of the one before it."""
    torn: int = 0
    """Lines that a crash or a full disk cut short: what they were to say is lost."""
    missing: bool = False
    """A hash that was noted earlier is no longer in the chain: lines at its end were taken away."""

    @property
    def whole(self) -> bool:
        """Return whether nothing was changed, moved or taken out."""
        return self.broken is None and not self.missing


class Audit:
    """The log of one lake. Safe to use from many threads and processes.

    Args:
        path: the file.
        role_of: gives the role of an actor; empty where it is no key's.
        now: gives the time, UTC.
    """

    def __init__(
        self, path: Path, role_of: Callable[[str], str], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = path
        self._role_of, self._now = role_of, now
        self._noted = ""

    def add(self, actor: str, action: str, subject: str, **details: Detail) -> None:
        """Write down a change; it is on the disk when this returns.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        told = {name: value[:LONGEST] if isinstance(value, str) else value for name, value in details.items()}
        role = self._role_of(actor)
        with plain_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                last, ended = _last_line(descriptor)
                entry = {
                    "at": self._now().isoformat(timespec="milliseconds"),
                    "actor": actor,
                    "role": role,
                    "action": action,
                    "subject": subject[:LONGEST],
                    "details": told,
                    "before": _hash(last) if last is not None else FIRST,
                }
                line = json.dumps(entry, separators=(",", ":")).encode()
                _write(descriptor, (b"" if ended else b"\n") + line + b"\n")
                os.fsync(descriptor)
                self._noted = _hash(line)
            finally:
                os.close(descriptor)
            if last is None:
                sync(self.path.parent)

    def entries(self, wanted: Wanted | None = None) -> Iterator[Entry]:
        """Yield entries, oldest first; lines that are none are passed over."""
        wanted = wanted or Wanted()
        for number, line in self._lines():
            entry = _entry(line, number)
            if entry and wanted.holds(entry):
                yield entry

    def latest(self, wanted: Wanted | None = None, most: int = 50) -> list[Entry]:
        """Return the last entries, newest first."""
        return list(reversed(deque(self.entries(wanted), maxlen=most)))

    def check(self, noted: str = "") -> Checked:
        """Return what the chain says, read from end to end.

        Args:
            noted: `Checked.last` of an earlier check, which must still be in it.
        """
        before, count, torn, broken = FIRST, 0, 0, None
        missed = {one for one in (noted, self._noted) if one}
        for number, line in self._lines():
            entry = _entry(line, number)
            count += 1
            torn += entry is None
            if entry and entry.before != before and broken is None:
                broken = number
            before = _hash(line)
            missed.discard(before)
        return Checked(count, before, broken, torn, bool(missed))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that stand there now; one that is being written is not among them."""
        if not self.path.exists():
            return
        with plain_errors(), self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            size = os.fstat(file.fileno()).st_size
            fcntl.flock(file, fcntl.LOCK_UN)
            for number, line in enumerate(file, 1):
                size -= len(line)
                if size < 0:
                    return
                yield number, line.removesuffix(b"\n")


def _entry(line: bytes, number: int) -> Entry | None:
    try:
        entry = Entry(**json.loads(line), line=number)
        datetime.fromisoformat(entry.at)
    except (ValueError, TypeError):
        return None
    return entry


def _last_line(descriptor: int) -> tuple[bytes | None, bool]:
    """Return the last line, None where there is none, and whether it was ended."""
    size = os.fstat(descriptor).st_size
    room = _BLOCK
    while size:
        tail = os.pread(descriptor, min(room, size), max(0, size - room))
        ended = tail.endswith(b"\n")
        _, found, line = tail.removesuffix(b"\n").rpartition(b"\n")
        if found or room >= size:
            return line, ended
        room *= 2
    return None, True


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
