"""What a desk could not answer -> proposals for its list of questions, beside those that a person is at work on.

    found = await mine(unanswered(questions("runs/lake", since)), embed)
    table, new = await beside(Path("proposals.csv"), found, embed)

A table that is there already is a person's: its rows stay as they are, letter for letter, and only what they do not hold is put below.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.apps.embedding import Embed
from noria.apps.support.columns import Role, role_of, row_of
from noria.apps.support.conversation import abuse
from noria.apps.support.dialogues import Dialogue, Turn
from noria.apps.support.mining import NEAR, Proposal, forms_of, vectors_of
from noria.apps.support.plain import plain
from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.records import read_records

from .asked import Asked

_COLUMNS: dict[Role, str] = {
    "accepted": "accepted",
    "asked": "asked",
    "questions": "question",
    "paraphrases": "similar",
    "answer": "answer",
}
"""What a column of proposals holds -> its name where we write the table."""


def unanswered(asked: Iterable[Asked]) -> list[Dialogue]:
    """Return the questions that a better list would have answered, each with what a person replied; once a conversation.

    The desk has told the questions of a message apart already.
    """
    found: dict[tuple[str, str], Dialogue] = {}
    for one in asked:
        if one.unanswered and one.text and not abuse(one.text):
            key = (one.conversation, plain(one.text))
            turns = (Turn("customer", one.text, whole=True), *(Turn("desk", answer) for answer in one.answers))
            if len(turns) > len(found.get(key, ())):
                found[key] = turns
    return list(found.values())


@dataclass(frozen=True)
class Table:
    """Proposals as a person goes through them."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    new: tuple[Proposal, ...]
    """Those that are put below the rows."""

    def csv(self) -> bytes:
        """Return it as CSV that spreadsheets read."""
        held = {role[0]: name for name in reversed(self.columns) if (role := role_of(name))}
        names = {role: held.get(role, name) for role, name in _COLUMNS.items()}
        columns = list(dict.fromkeys((*self.columns, *names.values())))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        for one in self.new:
            told: dict[Role, object] = {"asked": one.asked, "questions": one.question, "answer": one.answer}
            told["paraphrases"] = "\n".join(one.similar)
            writer.writerow({names[role]: value for role, value in told.items()})
        return text.getvalue().encode("utf-8-sig")  # by the mark Excel knows the encoding


async def beside(
    file: str | Path, found: Sequence[Proposal], embed: Embed | None = None, known: Collection[str] = ()
) -> Table:
    """Return a table of proposals with those that are new to it below.

    What a row holds that waits or was refused is not proposed again, in those words or others. Of a row that was accepted only the same
    words are not: others may be a phrasing that its answer lacks.

    Args:
        file: the table, which may not be there yet.
        found: proposals, the most asked first.
        embed: texts -> embeddings.
        known: questions that the desk knows already.

    Raises:
        InputError: the file cannot be read.
        RowError: one of its rows cannot.
    """
    file = Path(file)
    if not file.exists():
        return Table(tuple(_COLUMNS.values()), (), tuple(await _new(found, known, (), embed)))
    records = read_records(file)
    rows = []
    same, near = list(known), list[str]()
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        rows.append({name: "" if one is None else one for name, one in value.items()})
        row = row_of(value, file, line)
        (same if row.accepted else near).extend(text for _, text in row.asked)
    columns = tuple(records.columns or (rows[0] if rows else ()))
    roles = {role[0] for name in columns if (role := role_of(name))}
    if records.format.kind == "sheet" or not {"questions", "accepted"} <= roles:
        raise InputError(message("apps.no_proposals", path=file), allowed=", ".join(_COLUMNS.values()))
    return Table(columns, tuple(rows), tuple(await _new(found, same, near, embed)))


async def _new(
    found: Sequence[Proposal], same: Collection[str], near: Sequence[str], embed: Embed | None
) -> list[Proposal]:
    """Return the proposals that hold none of some texts, and that no text is near to of others."""
    known = {plain(text) for text in (*same, *near)}
    fresh = [one for one in found if not known & {plain(form) for form in forms_of(one)}]
    if not fresh or not near:
        return fresh
    forms = [(at, form) for at, one in enumerate(fresh) for form in forms_of(one)]
    vectors = await vectors_of([*(form for _, form in forms), *near], embed)
    alike = (vectors[: len(forms)] @ vectors[len(forms) :].T).max(axis=1)
    again = {at for (at, _), most in zip(forms, alike, strict=True) if most >= NEAR}
    return [one for at, one in enumerate(fresh) if at not in again]
