"""Proposals as people go through them: a CSV whose rows are theirs, changed one by one here or in a spreadsheet.

    with changing(file):
        table = read_table(file)
        (first, *_) = table.held()
        write_bytes(file, table.changed(first, state="accepted").csv())

A row that is not changed stays letter for letter as it is, and no row is ever removed: one that is dropped says so, and is proposed no more.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import xxhash

from noria.apps.support.columns import Role, Row, role_of, row_of
from noria.apps.support.faq import Entry, entries_of
from noria.apps.support.mining import Proposal
from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.records import read_records

State = Literal["waiting", "accepted", "dropped"]
_COLUMNS: dict[Role, str] = {
    "accepted": "accepted",
    "asked": "asked",
    "questions": "question",
    "paraphrases": "similar",
    "answer": "answer",
    "source": "source",
}
"""What a column of proposals holds -> its name where we write the table."""
_MARKS: dict[State, str] = {"waiting": "", "accepted": "yes", "dropped": "no"}


@dataclass(frozen=True)
class Held:
    """One row of the table."""

    id: str
    """Of the row as it stands: of one that was changed it is another, so that nobody changes what they did not see."""
    state: State
    asked: int
    """How often it was asked."""
    question: str
    similar: tuple[str, ...]
    answer: str
    sources: tuple[str, ...]
    """Where it was asked: names of files, or ids of conversations."""


@dataclass(frozen=True)
class Table:
    """The rows as they stand."""

    file: Path
    columns: tuple[str, ...] = tuple(_COLUMNS.values())
    rows: tuple[dict[str, Any], ...] = ()
    read: tuple[Row, ...] = ()
    """The same as a desk reads them."""
    new: tuple[Proposal, ...] = ()
    """Proposals that are put below the rows."""

    def held(self) -> list[Held]:
        """Return the rows in their order."""
        return [self._held(at) for at in range(len(self.rows))]

    def changed(
        self,
        one: Held,
        *,
        state: State | None = None,
        question: str | None = None,
        similar: tuple[str, ...] | None = None,
        answer: str | None = None,
    ) -> Table:
        """Return the table with one row changed; what is not given stays.

        Raises:
            InputError: there is no such row any more, or what is to be changed stands in several columns.
        """
        at = next((at for at, other in enumerate(self.held()) if other.id == one.id), None)
        if at is None:
            raise InputError(message("apps.proposal_changed"), hint=message("apps.look_again"))
        row = dict(self.rows[at])
        asked = (one.question if question is None else question, one.similar if similar is None else similar)
        if asked != (one.question, one.similar):
            self._put(row, "questions", asked[0])
            self._put(row, "paraphrases", "\n".join(asked[1]))
        if answer is not None and answer != one.answer:
            self._put(row, "answer", answer)
        if state is not None and state != one.state:
            self._put(row, "accepted", _MARKS[state])
        rows, read = list(self.rows), list(self.read)
        rows[at], read[at] = row, row_of(row, self.file, self.read[at].line)
        return replace(self, rows=tuple(rows), read=tuple(read))

    def csv(self) -> bytes:
        """Return it as CSV that spreadsheets read."""
        names = {role: (self._names(role) or [name])[0] for role, name in _COLUMNS.items()}
        rows = list(self.rows)
        for one in self.new:
            told: dict[Role, object] = {"asked": one.asked, "questions": one.question, "answer": one.answer}
            told |= {"paraphrases": "\n".join(one.similar), "source": "\n".join(one.sources)}
            rows.append({names[role]: value for role, value in told.items() if value})
        columns = dict.fromkeys((*self.columns, *(name for row in rows for name in row)))
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode("utf-8-sig")  # by the mark Excel knows the encoding

    def _names(self, role: Role) -> list[str]:
        return [name for name in self.columns if (found := role_of(name)) and found[0] == role]

    def _filled(self, at: int, role: Role) -> list[str]:
        return [text for name in self._names(role) if (text := str(self.rows[at].get(name) or "").strip())]

    def _held(self, at: int) -> Held:
        row, read = self.rows[at], self.read[at]
        marked: State = "dropped" if self._filled(at, "accepted") else "waiting"
        count = re.search(r"\d+", " ".join(self._filled(at, "asked")))
        texts = [text for _, text in (*read.questions, *read.paraphrases)]
        filled = sorted((name, text) for name, value in row.items() if (text := str(value).strip()))
        return Held(
            xxhash.xxh3_64_hexdigest(json.dumps([at, filled], ensure_ascii=False).encode()),
            "accepted" if read.accepted else marked,
            int(count[0]) if count else 0,
            texts[0] if texts else "",
            tuple(texts[1:]),
            "\n".join(text for _, text in read.answers),
            tuple(line for text in self._filled(at, "source") for line in text.splitlines()),
        )

    def _put(self, row: dict[str, Any], role: Role, text: str) -> None:
        names = self._names(role) or [_COLUMNS[role]]
        if role == "answer" and sum(bool(row.get(name)) for name in names) > 1:  # an answer a language
            raise InputError(message("apps.several_columns", path=self.file), found=", ".join(names))
        row |= dict.fromkeys(names, "")
        row[names[0]] = text.strip()


def table_of(lake: str | Path) -> Path:
    """Return the table of a desk that was given none, in its lake."""
    return Path(lake) / "apps" / "support" / "proposals.csv"


def read_table(file: str | Path) -> Table:
    """Return a table of proposals; an empty one where there is no file yet.

    Raises:
        InputError: the file cannot be read, or is no such table.
        RowError: one of its rows cannot.
    """
    file = Path(file)
    if not file.exists():
        return Table(file)
    records = read_records(file)
    rows, read = [], []
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        rows.append({name: "" if one is None else one for name, one in value.items()})
        read.append(row_of(value, file, line))
    columns = tuple(records.columns or (rows[0] if rows else ()))
    roles = {role[0] for name in columns if (role := role_of(name))}
    if records.format.kind == "sheet" or not {"questions", "accepted"} <= roles:
        raise InputError(message("apps.no_proposals", path=file), allowed=", ".join(_COLUMNS.values()))
    return Table(file, columns, tuple(rows), tuple(read))


def accepted(file: str | Path) -> list[Entry]:
    """Return the entries of the rows of a table that a person accepted; none where there is no file yet.

    Raises:
        InputError: the file cannot be read, is no such table, or has one question under two entries.
        RowError: one of its rows cannot be used.
    """
    return entries_of(read_table(file).read, file, [])


@contextmanager
def changing(file: str | Path) -> Iterator[None]:
    """Let one at a time read a table and write it anew; others wait."""
    folder = Path(file).parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)  # not the file itself: it is replaced, and its lock with it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
