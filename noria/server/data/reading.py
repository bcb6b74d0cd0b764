"""An uploaded file -> rows of a task, each of its rows read or counted: what was read, what was not, and why.

    read = read_upload(Path("客服.csv"), "classify")
    read.rows          # [{"id": "3f2a91c0-2", "text": "我要退货", "label": "退货"}, ...]
    read.refused       # [Refusal("text is blank", 2, [(17, "...")])]: by reason, with the first examples

A row whose truth is missing is no fault: it is one that waits for a label. Where a file does not say which of its columns is the
text, all rows are kept as they are, until a person says it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError, shorten
from noria.core.folder import sha256_file
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.tasks.reading import Reading, rows_in
from noria.tasks.records import columns_for
from noria.tasks.task import Row, Task, task_for
from noria.text.lines import Numbered
from noria.text.records import Records
from noria.text.sources import Source

from .rows import TRUTH, inputs_of, text_of

MOST_ROWS = 1_000_000
EXAMPLES = 3
"""Rows that stand for a reason for which rows were refused."""


@dataclass
class Refusal:
    """One reason for which rows were not taken."""

    reason: Message | str
    rows: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)
    """Line of the file, and what stands there, shortened."""

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-able; a reason that is a message keeps its code, so that each reader has it in their language."""
        reason = self.reason.as_dict() if isinstance(self.reason, Message) else self.reason
        return {"reason": reason, "rows": self.rows, "examples": [list(one) for one in self.examples]}


class Refusals(dict[str, Refusal]):
    """Reasons for which rows of a file were not taken, by what they say."""

    def add(self, error: RowError, line: int, shown: str) -> None:
        """Count a row, and keep it where it is one of the first for its reason."""
        one = self.setdefault(str(error.wrong), Refusal(error.wrong))
        one.rows += 1
        if len(one.examples) < EXAMPLES:
            one.examples.append((line, shorten(shown, 120)))

    def as_list(self) -> list[dict[str, Any]]:
        """Return them JSON-able, those of most rows first."""
        return [one.as_dict() for one in sorted(self.values(), key=lambda one: -one.rows)]


@dataclass
class Upload:
    """What a file came to."""

    file: str
    rows: list[Row]
    read: int
    """Rows of the file: those that were taken, refused, and found to be there already."""
    refused: Refusals = field(default_factory=Refusals)
    notes: list[str] = field(default_factory=list)
    """What was passed over or understood in a way of its own, as the reader tells it."""
    columns: dict[str, str] = field(default_factory=dict)
    """Field -> the column of the file that was taken for it."""
    format: str = ""
    own: bool = False
    """Whether ids are the file's own."""
    there: int = 0
    """Rows that the set held before."""

    def facts(self) -> dict[str, Any]:
        """Return it JSON-able, without the rows."""
        return {
            "file": self.file,
            "format": self.format,
            "read": self.read,
            "taken": len(self.rows),
            "there": self.there,
            "refused": self.refused.as_list(),
            "notes": [one.as_dict() if isinstance(one, Message) else one for one in self.notes],
            "columns": self.columns,
        }


class _Notes(Report):
    """A report that keeps its notes."""

    def __init__(self) -> None:
        super().__init__("silent")
        self.kept: list[str] = []

    def note(self, line: str, **facts: object) -> None:
        """Keep a note; which columns were taken for which fields stands among the facts."""
        if "columns" not in facts:
            self.kept.append(line)


class _Bounded(Records):
    """Records of which no more are read than a set may have: what is refused at last costs no more than what is taken."""

    def __iter__(self) -> Iterator[Numbered]:
        for place, one in enumerate(super().__iter__()):
            if place == MOST_ROWS:
                allowed = message("data.most_rows", most=MOST_ROWS)
                raise InputError(message("data.too_many_rows"), allowed=allowed, hint=message("data.fewer_rows"))
            yield one


def read_upload(file: Path, task: str, *, guess: bool = True) -> Upload:
    """Return the rows of a file in any format that is read, each with an id of its own.

    An id is the file's own where each row has one that no other has; else the beginning of the file's hash with the row's line.

    Args:
        file: the file; its name says nothing that its content contradicts.
        task: what the rows are for.
        guess: whether columns of other names are taken for the task's fields, as everywhere; else the names are the fields'.

    Raises:
        InputError: it cannot be read, holds no row, or more than are taken.
    """
    notes = _Notes()
    kind = task_for(task)
    records = _Bounded(Source(str(file)), notes)
    fields = kind.columns if guess else ()
    reading = Reading(task, fields)
    names = records.columns or list(next((row for _, row in records if not isinstance(row, RowError)), ()))
    entries = list(records) if records.format.kind == "text" else rows_in(records, reading, notes)
    found = Upload(file.name, [], len(entries), notes=notes.kept, format=records.format.name)
    held = {name for _, entry in entries[:1] if not isinstance(entry, RowError) for name in entry}
    found.columns = {one: name for one, name in columns_for(fields, names).items() if one in held}
    known = any(_has_inputs(entry, task) for _, entry in entries)
    stamp, found.own = sha256_file(file)[:8], _own_ids(entries)
    lines: Counter[int] = Counter()
    for line, entry in entries:
        try:
            if isinstance(entry, RowError):
                raise entry
            row = _taken(entry, kind, file, line) if known else _plain(entry, kind)
        except RowError as error:
            found.refused.add(error, line, _shown(entry, error))
            continue
        lines[line] += 1
        again = f".{lines[line]}" if lines[line] > 1 else ""
        row.pop("id", None)
        found.rows.append({"id": str(entry["id"]) if found.own else f"{stamp}-{line}{again}", **row})
    if not entries:
        raise InputError(message("data.no_rows"), found=file.name)
    return found


def merged(base: Iterable[Row], upload: Upload) -> list[Row]:
    """Return the rows of a set with those of an upload behind them; what the set holds already is counted, not taken again."""
    rows = list(base)
    held = {row["id"]: row for row in rows}
    new = []
    for place, row in enumerate(upload.rows):
        known = held.get(row["id"])
        if known is not None and (not upload.own or text_of(known) == text_of(row)):
            upload.there += 1
            continue
        if known is not None:  # another file's own id
            row = {**row, "id": f"{row['id']}-{upload.file}-{place}"}
        held[row["id"]] = row
        new.append(row)
    upload.rows = new
    return [*rows, *new]


def _has_inputs(entry: Row | RowError, task: str) -> bool:
    if isinstance(entry, RowError):
        return False
    names = inputs_of(task)
    return all(name in entry for name in names) or (task == "tag" and "tokens" in entry)


def _taken(entry: Row, task: Task, file: Path, line: int) -> Row:
    """Return a row in the task's form with what else the file says of it.

    Raises:
        RowError: it has no text, or its truth is none.
    """
    truth = TRUTH.get(task.name, ())
    extras = {name: value for name, value in entry.items() if name not in task.columns}
    try:
        return {**task.check(entry, file=file.name, line=line), **_plain(extras, task)}
    except RowError as error:
        if error.field not in truth or any(not _is_blank(entry.get(name)) for name in truth):
            raise
    waiting = {name: value for name, value in entry.items() if name not in truth}
    for name in inputs_of(task.name):
        value = waiting.get(name)
        if not isinstance(value, str) or not value.strip():
            raise RowError(message("tasks.text_blank"), file=file.name, line=line, field=name, found=value)
    return _plain(waiting, task)


def _plain(row: Row, task: Task) -> Row:
    """Return what stands beside a row's own fields, where it stands for something."""
    return {name: value for name, value in row.items() if name in task.columns or not _is_blank(value)}


def _is_blank(value: object) -> bool:
    empty = value is None or value == [] or (isinstance(value, str) and not value.strip())
    return empty or (isinstance(value, float) and not math.isfinite(value))


def _own_ids(entries: list[tuple[int, Row | RowError]]) -> bool:
    """Return whether each row has an id of its own: a whole number or a short text that comes once."""
    ids = [entry.get("id") for _, entry in entries if not isinstance(entry, RowError)]
    plain = all(isinstance(one, str | int) and 0 < len(str(one).strip()) <= 200 for one in ids)
    return bool(ids) and plain and len({str(one) for one in ids}) == len(ids)


def _shown(entry: Row | RowError, error: RowError) -> str:
    """Return what a refused row holds, for a person to know it by."""
    if isinstance(entry, RowError):
        return str(error.found if error.found is not None else error.hint or "")
    return "; ".join(f"{name}: {value}" for name, value in entry.items() if not _is_blank(value)) or "{}"
