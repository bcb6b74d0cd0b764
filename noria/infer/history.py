"""Which version of a model was live when: one line of JSON for every change, kept on the disk.

history = History(lake / "server" / "models" / "sentiment.jsonl")
history.note("live", version="3f9a01c2d4e5", folder="runs/demo/sentiment-served")
live_at(history.changes(), "2026-11-22T08:00:00+00:00")       # "3f9a01c2d4e5"
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from noria.core.errors import FolderError, plain_errors
from noria.core.messages import message

What = Literal["live", "canary", "shadow", "ended", "stopped"]
"""live: it answers from now on; canary, shadow: it is tried beside the live one; ended: the trial is over; stopped: nothing
answers."""


@dataclass(frozen=True)
class Change:
    """One change of what answers under a name."""

    time: str
    """UTC, ISO 8601."""
    what: What
    version: str
    folder: str
    share: float = 0.0
    """Of the requests, that a version on trial gets."""
    why: str = ""


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class History:
    """The changes of one name; on the disk where a file is given.

    Args:
        file: where they are kept; None keeps them in memory.
        clock: the time as ISO 8601.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], str] = now) -> None:
        self._file, self._clock = file, clock
        self._changes: list[Change] = []

    def note(self, what: What, *, version: str, folder: str | Path, share: float = 0.0, why: str = "") -> Change:
        """Note a change, durably.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        change = Change(self._clock(), what, version, str(folder), share, why)
        if self._file is None:
            self._changes.append(change)
            return change
        with plain_errors():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as stream:
                # A line that a crash cut short ends where the next begins.
                broken = stream.tell() > 0 and not self._file.read_bytes().endswith(b"\n")
                stream.write(b"\n" * broken + json.dumps(asdict(change), ensure_ascii=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        return change

    def changes(self) -> list[Change]:
        """Return all changes, the oldest first.

        Raises:
            FolderError: the file cannot be read.
        """
        return read_changes(self._file) if self._file else list(self._changes)


def read_changes(file: Path) -> list[Change]:
    """Return the changes that a file holds, the oldest first; none where there is no file.

    Raises:
        FolderError: a whole line of it is no change.
    """
    found = []
    for line in file.read_bytes().split(b"\n") if file.exists() else ():
        try:
            document = json.loads(line)
        except ValueError:
            continue  # empty, or cut short by a crash before it was acknowledged
        try:
            found.append(Change(**document))
        except TypeError as error:
            raise FolderError(message("infer.history_model", file=file), found=error) from None
    return found
