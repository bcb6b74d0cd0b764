"""How well a desk does on questions whose entry is known: right, wrong, asked back, handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from noria.apps.embedding import Embed
from noria.core.figure import Figure, proportion

from .desk import Desk, form
from .replies import Reply


async def judge(desk: Desk, embed: Embed) -> list[Figure]:
    """Return how well the desk does on the questions kept for judging, in each language and outside its scope."""
    asked = [
        (entry.id, language, text)
        for entry in desk.faq.entries
        for language, texts in entry.test.items()
        for text in texts
    ]
    outside = [("", row.language, row.text) for row in desk.faq.outside if row.split == "test"]
    return figures_of(await replies_to(desk, [(entry, text) for entry, _, text in asked + outside], embed))


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
