"""How well a desk does on questions whose entry is known: right, wrong, asked back, handed over.

Questions come from the list itself, where it keeps some for judging, or from a file of rows: {"question", "entry"}, where an entry is
told by its id, by one of its questions or by its answer; or {"question", "quote"}, words that a document's answer holds. A row with
neither is a question that a person must answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.apps.embedding import Embed
from noria.core.errors import InputError, RowError
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.text.columns import names_of
from noria.text.records import read_records

from .desk import Desk, form
from .faq import Faq
from .plain import plain
from .replies import Reply

_ASKED, _QUOTED, _MEANT = (names_of("asked", part) for part in ("question", "quote", "meant"))


class Quotation(str):
    """What is meant where a document answers: words that its quotation holds, in the place of an entry's id."""

    __slots__ = ()


def kept_for_judging(faq: Faq) -> list[tuple[str, str]]:
    """Return the questions that a list keeps for judging, each with the entry that is meant, "" of those outside."""
    asked = [(entry.id, text) for entry in faq.entries for texts in entry.test.values() for text in texts]
    return asked + [("", row.text) for row in faq.outside if row.split == "test"]


def read_asked(path: str | Path, faq: Faq) -> list[tuple[str, str]]:
    """Return the questions of a file, each with the id of the entry that is meant or a `Quotation`, "" where there is neither.

    Raises:
        InputError: the file is missing or holds no question.
        RowError: a row has no question, or names no entry of the list.
    """
    names = {entry.id: entry.id for entry in faq.entries}
    names |= {plain(text): entry.id for entry in faq.entries for _, text in entry.known()}
    names |= {plain(text): entry.id for entry in faq.entries for text in entry.answers.values()}
    rows = []
    for line, value in read_records(path):
        if isinstance(value, RowError):
            raise value
        fields = {name.strip().casefold(): one for name, one in value.items()}
        text = next((fields[name] for name in _ASKED if fields.get(name)), None)
        meant = next((str(fields[name]).strip() for name in _MEANT if fields.get(name) not in (None, "")), "")
        quoted = next((str(fields[name]).strip() for name in _QUOTED if fields.get(name) not in (None, "")), "")
        entry = names.get(meant) or names.get(plain(meant)) if meant else Quotation(quoted) if quoted else ""
        if not isinstance(text, str) or entry is None:
            what = message("apps.needs_question") if not isinstance(text, str) else message("apps.unknown_entry")
            raise RowError(what, file=path, line=line, found=meant or message("apps.nothing"))
        rows.append((entry, text.strip()))
    if not rows:
        raise InputError(message("apps.holds_question", path=path), allowed=message("apps.asked_rows"))
    return rows


def outcomes(rows: Sequence[tuple[str, Reply]], source: str = "") -> list[Figure]:
    """Return what became of questions: right, wrong, asked back and handed over, which together are all; and of those without an
    entry how many were answered all the same, asked back and handed over."""

    inside, outside = [row for row in rows if row[0]], [row for row in rows if not row[0]]
    back = [(entry, reply) for entry, reply in inside if reply.action == "confirm"]
    found = [
        ("right", sum(_is_right(meant, reply) for meant, reply in inside), len(inside)),
        ("wrong", sum(_answered(reply) and not _is_right(meant, reply) for meant, reply in inside), len(inside)),
        ("asked back", len(back), len(inside)),
        ("handed over", sum(reply.action in ("handover", "courtesy") for _, reply in inside), len(inside)),
        ("offered when asked back", sum(entry in _offered(reply) for entry, reply in back), len(back)),
        ("out of scope, answered", sum(_answered(reply) for _, reply in outside), len(outside)),
        ("out of scope, asked back", sum(reply.action == "confirm" for _, reply in outside), len(outside)),
        ("out of scope, handed over", sum(reply.action == "handover" for _, reply in outside), len(outside)),
    ]
    return [proportion(name, count, n, source=source) for name, count, n in found if n]


def stated(rows: Sequence[tuple[str, Reply]]) -> list[tuple[float, bool]]:
    """Return of each question that was answered or asked back the probability that was stated, and whether what was likeliest was right.

    Of several questions in one message none is told: their probabilities are not one.
    """
    found = []
    for meant, reply in rows:
        if reply.parts or reply.action not in ("answer", "confirm"):
            continue
        first = reply.choices[0].entry if reply.action == "confirm" and reply.choices else ""
        found.append((reply.confidence, _is_right(meant, reply) or (bool(first) and first == meant)))
    return found


def _answered(reply: Reply) -> bool:
    return reply.action == "answer"


def _is_right(meant: str, reply: Reply) -> bool:
    if isinstance(meant, Quotation):
        return _answered(reply) and any(plain(meant) in plain(one.text) for one in reply.sources)
    return _answered(reply) and reply.entry == meant


def _offered(reply: Reply) -> list[str]:
    return [choice.entry for part in (reply.parts or (reply,)) for choice in part.choices]


async def replies_to(desk: Desk, rows: Sequence[tuple[str, str]], embed: Embed) -> list[tuple[str, Reply]]:
    """Return the entry that was meant by each question, "" where there is none, with the desk's reply to it alone."""
    forms = list(dict.fromkeys(form(text) for _, text in rows))
    vectors = dict(zip(forms, await embed(forms), strict=True))

    async def kept(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, await embed(new), strict=True))
        return np.array([vectors[text] for text in texts])

    return [(entry, await desk.ask(text, kept)) for entry, text in rows]


def figures_of(rows: Sequence[tuple[str, Reply]]) -> list[Figure]:
    """Return the figures of replies to questions, each with the entry that was meant, "" where there is none."""
    inside = [row for row in rows if row[0]]
    outside = [row for row in rows if not row[0]]
    answered = [row for row in inside if row[1].action == "answer"]
    facts: dict[str, Any] = {"source": "FAQ on Noria, test questions", "note": "questions written by Noria's authors"}

    def share(name: str, chosen: Sequence[tuple[str, Reply]], true: Callable[[str, Reply], bool]) -> Figure:
        return proportion(name, sum(true(*row) for row in chosen), len(chosen), **facts)

    def offered(entry: str, reply: Reply) -> bool:
        return entry in [choice.entry for choice in reply.choices]

    def first(entry: str, reply: Reply) -> bool:
        return bool(reply.choices) and reply.choices[0].entry == entry

    languages = sorted({reply.language for _, reply in inside}, key=lambda one: (one != "zh", one))
    by_language = [
        share(f"right entry first, {language}", [row for row in inside if row[1].language == language], first)
        for language in languages
    ]
    return [
        share("solved at once or after asking back", inside, offered),
        *by_language,
        share("answered at once", inside, lambda entry, reply: reply.action == "answer"),
        share("right when answered at once", answered, first),
        share("handed over in scope", inside, lambda entry, reply: reply.action == "handover"),
        share("handed over out of scope", outside, lambda entry, reply: reply.action == "handover"),
        share("no wrong answer out of scope", outside, lambda entry, reply: reply.action != "answer"),
    ]
