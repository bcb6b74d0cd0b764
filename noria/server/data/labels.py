"""What people gave rows since the last version, a label, several, or spans: on the disk before it is acknowledged, no editor's lost.

journal = Journal(folder, number=3)         # of what was given after a set's third change
journal.add([Mark("3f2a91c0-2", "退货", was=None, by="ann", at="...")])
journal.latest()["3f2a91c0-2"].label       # of several for one row the last stands; the file keeps all
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError, plain_errors
from noria.core.messages import message
from noria.tasks.task import Row, task_for
from noria.text.labels import one_label

Truth = str | list[Any]
"""What a row should answer: a label, a list of labels, or spans [{start, end, label}]."""
_LONGEST_LABEL = 200
NAME = "labels"
"""How the names of journals begin: labels.3.jsonl holds what was given after a set's third change."""


@dataclass(frozen=True)
class Mark:
    """What a person gave one row."""

    id: str
    label: Truth | None
    """None: it has none any more."""
    was: Truth | None
    """What it replaced."""
    by: str
    at: str
    """UTC time, ISO 8601."""
    field: str = "label"
    """Field of the row that holds it: label, labels or spans."""


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


def truth_of(given: Truth, field: str, row: Row) -> Truth:
    """Return what somebody gives a row, in its one form: labels sorted, spans as `noria.tasks.tag` reads them.

    Raises:
        InputError: it is none for this field, or none for this row.
    """
    if field == "label":
        if not isinstance(given, str):
            raise InputError(message("data.one_label"), found=row["id"])
        return label_of(given)
    if not isinstance(given, list):
        raise InputError(message("data.many_labels" if field == "labels" else "data.spans"), found=row["id"])
    if field == "labels":
        if not all(isinstance(one, str) for one in given):
            raise InputError(message("data.many_labels"), found=row["id"])
        return sorted({label_of(one) for one in given})
    try:
        spans = task_for("tag").check({"text": row.get("text"), "spans": given})["spans"]
    except RowError as error:
        raise InputError(error.wrong, found=error.found, allowed=error.allowed, hint=error.hint) from None
    return [{**one, "label": label_of(one["label"])} for one in spans]


def _ends_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
