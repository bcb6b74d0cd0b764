"""Labels that people gave since the last version: each on the disk before it is acknowledged, none of two editors' lost.

journal = Journal(folder, number=3)         # of labels given after a set's third change
journal.add([Mark("3f2a91c0-2", "退货", was=None, by="ann", at="...")])
journal.latest()["3f2a91c0-2"].label       # of several for one row the last stands; the file keeps all
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from noria.core.errors import InputError, plain_errors
from noria.core.messages import message
from noria.text.labels import one_label

_LONGEST_LABEL = 200
NAME = "labels"
"""How the names of journals begin: labels.3.jsonl holds what was given after a set's third change."""


@dataclass(frozen=True)
class Mark:
    """One label that a person gave a row."""

    id: str
    label: str | None
    """None: it has none any more."""
    was: str | None
    """What it replaced."""
    by: str
    at: str
    """UTC time, ISO 8601."""


class Journal:
    """The labels given after one change of a set, in the order in which they came."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.path = folder / f"{NAME}.{number}.jsonl"
        self._stamp: tuple[int, int] | None = None
        self._latest: dict[str, Mark] = {}

    def latest(self) -> dict[str, Mark]:
        """Return the last label of each row that was given one."""
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._latest = None, {}
            return self._latest
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp != self._stamp:
            self._latest, self._stamp = {one.id: one for one in read_journal(self.path)}, stamp
        return self._latest

    def add(self, given: Sequence[Mark]) -> None:
        """Make labels durable.

        Raises:
            ResourceError: the disk is full; none was acknowledged, and what was torn is passed over when it is read.
        """
        lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in given)
        with plain_errors(), self.path.open("ab") as stream:
            if stream.tell() and not _ends_line(self.path):
                stream.write(b"\n")
            stream.write(lines.encode("utf-8", "replace"))
            stream.flush()
            os.fsync(stream.fileno())


def read_journal(path: Path) -> list[Mark]:
    """Return the labels of a journal; a line that a kill tore is none."""
    marks = []
    for line in path.read_bytes().splitlines():
        try:
            marks.append(Mark(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return marks


def label_of(label: str) -> str:
    """Return a label's one name.

    Raises:
        InputError: it is blank or too long.
    """
    name = one_label(label)
    if not name or len(name) > _LONGEST_LABEL:
        raise InputError(message("data.label"), found=label, allowed=message("data.label_allowed"))
    return name


def _ends_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
