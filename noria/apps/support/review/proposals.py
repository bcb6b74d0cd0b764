"""What a desk could not answer -> proposals for its list of questions, beside those that a person is at work on.

    found = await mine(unanswered(questions("runs/lake", since)), embed)
    table = await beside(Path("proposals.csv"), found, embed)

A table that is there already is a person's: its rows stay as they are, letter for letter, and only what they do not hold is put below.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from noria.apps.embedding import Embed
from noria.apps.support.conversation import abuse
from noria.apps.support.dialogues import Dialogue, Turn
from noria.apps.support.mining import NEAR, Proposal, forms_of, vectors_of
from noria.apps.support.plain import plain

from .asked import Asked
from .table import Table, read_table


def unanswered(asked: Iterable[Asked]) -> list[Dialogue]:
    """Return the questions that a better list would have answered, each with what a person replied; once a conversation.

    The desk has told the questions of a message apart already.
    """
    found: dict[tuple[str, str], Dialogue] = {}
    for one in asked:
        if one.unanswered and one.text and not abuse(one.text):
            key = (one.conversation, plain(one.text))
            said = Turn("customer", one.text, whole=True, source=one.conversation)
            turns = (said, *(Turn("desk", answer) for answer in one.answers))
            if len(turns) > len(found.get(key, ())):
                found[key] = turns
    return list(found.values())


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
    table = read_table(file)
    same, near = list(known), list[str]()
    for row in table.read:
        (same if row.accepted else near).extend(text for _, text in row.asked)
    return replace(table, new=tuple(await _new(found, same, near, embed)))


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
