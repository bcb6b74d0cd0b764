"""A list of questions and a model that embeds -> the desk that answers from it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from noria.apps.embedding import Embed
from noria.core.messages import as_is, message
from noria.text.script import simplified

from .certainty import Certainty, certainties, confused, reference_texts
from .desk import Desk
from .faq import BUNDLED, SHOWN, Entry, Faq, read_faq, with_more
from .knowledge.base import Knowledge
from .matching import Kind, Known, Matcher, unit
from .plain import tokens
from .replies import Costs
from .review.table import accepted

PROPOSED = "proposal-"
"""Begins the ids of entries that were proposed and accepted."""


def what_is_known(
    faq: str | Path | None = None,
    outside: str | Path | None = None,
    kb: str | Path | None = None,
    proposals: str | Path | None = None,
) -> tuple[Faq, Knowledge | None]:
    """Return a desk's questions and its knowledge base.

    Args:
        faq: questions and answers; those of the knowledge base where there is one, else the bundled ones.
        outside: questions to be handed over besides the bundled ones.
        kb: folder of a knowledge base.
        proposals: table of proposals, whose accepted rows are known, too.
    """
    knowledge = None if kb is None else Knowledge.open(kb)
    listed = faq or (BUNDLED if knowledge is None else knowledge.faq)
    found = Faq((), ()) if listed is None else read_faq(listed, outside)
    return with_more(found, accepted(proposals), PROPOSED) if proposals else found, knowledge


def known_texts(faq: Faq) -> list[Known]:
    """Return every text that questions are compared with; those kept for judging are not among them."""
    known: list[Known] = []
    groups: tuple[tuple[Mapping[str, tuple[str, ...]], Kind], ...]
    for index, entry in enumerate(faq.entries):
        groups = ((entry.questions, "question"), (entry.paraphrases, "paraphrase"))
        for group, kind in groups:
            for language, texts in group.items():
                known += [Known(text, kind, index, language) for text in texts]
        known += [Known(answer, "answer", index, language) for language, answer in entry.answers.items()]
    known += [Known(row.text, "outside", -1, row.language) for row in faq.outside if row.split == "calibrate"]
    return known


async def open_desk(
    faq: Faq,
    embed: Embed,
    costs: Costs | None = None,
    wrong: float | None = None,
    knowledge: Knowledge | None = None,
) -> Desk:
    """Return a desk that knows `faq`, after embedding all of it and the bundled questions by which it tells how sure to be.

    Args:
        faq: questions and answers.
        embed: texts -> embeddings.
        costs: what decides when to answer.
        wrong: an error budget: the share of all questions that may be answered wrongly. It then decides when to answer.
        knowledge: documents and rules beside the list, which may then be empty.
    """
    if not faq.entries:
        nothing = [Known(row.text, "outside", -1, row.language) for row in read_faq().outside]
        return Desk(faq, Matcher(nothing, np.ones((len(nothing), 1))), {}, costs, faq.notes, knowledge)
    reference = read_faq()
    known = known_texts(faq)
    answers = [
        Known(text, "answer", -1, language) for entry in reference.entries for language, text in entry.answers.items()
    ]
    texts = list(dict.fromkeys([text.text for text in known] + reference_texts(reference)))
    found = await embed([simplified(text) for text in texts])
    vectors = dict(zip(texts, np.asarray(found, dtype=np.float64), strict=True))
    # In a thread of its own: a desk that serves answers from what it knew meanwhile.
    return await asyncio.to_thread(_opened, faq, reference, known + answers, vectors, costs, wrong, knowledge)


def _opened(
    faq: Faq,
    reference: Faq,
    known: Sequence[Known],
    vectors: dict[str, np.ndarray],
    costs: Costs | None,
    wrong: float | None,
    knowledge: Knowledge | None,
) -> Desk:
    near = _answerable(known, vectors)
    kept = [text for text in known if text.text not in near]
    matcher = Matcher(kept, np.array([vectors[text.text] for text in kept]))
    notes = list(faq.notes)
    if near:
        shown = ", ".join(repr(text) for text in sorted(near)[:SHOWN])
        notes.append(f"{len(near):,} bundled outside questions are near to these and left out: {shown}")
    sure = certainties(matcher, reference, vectors)
    notes += _confusions(matcher, sure, faq.entries)
    if wrong is not None:
        thresholds = {language: one.least(wrong) for language, one in sure.items()}
        costs = replace(costs or Costs(), least={language: least for language, (least, _) in thresholds.items()})
        for language in faq.languages:
            least, figure = thresholds[language]
            from_here = message(
                "apps.answers_from", language=language, least=least, wrong=wrong, figure=as_is(figure.text())
            )
            notes.append(from_here if least <= 1 else message("apps.no_threshold", language=language, wrong=wrong))
    return Desk(faq, matcher, sure, costs, notes, knowledge)


NEAR, NEAR_IN_WORDS, SAME_WORDS = 0.6, 0.4, 0.4
"""An outside question so near to a known one is taken for one that has an answer: by embedding alone, or by embedding and words."""


def _answerable(known: Sequence[Known], vectors: Mapping[str, np.ndarray]) -> set[str]:
    """Return the outside questions that the entries may well answer: a shop's list knows how goods are sent back."""
    matcher = Matcher(known, np.array([vectors[text.text] for text in known]))
    forms, outside = (np.flatnonzero(matcher.groups == group) for group in (0, 2))
    if not len(outside):
        return set()
    near = unit(matcher.rows[outside]) @ matcher.rows[forms].T
    words = [set(tokens(matcher.known[at].text)) for at in forms]
    found = set()
    for row, at in zip(near, outside, strict=True):
        mine = set(tokens(matcher.known[at].text))
        for place in np.flatnonzero(row >= NEAR_IN_WORDS):
            shared = len(mine & words[place]) / max(1, min(len(mine), len(words[place])))
            if row[place] >= NEAR or shared >= SAME_WORDS:
                found.add(matcher.known[at].text)
                break
    return found if len(found) < len(outside) / 2 else set()  # an embedding to which all is near says nothing


def _confusions(matcher: Matcher, sure: Mapping[str, Certainty], entries: Sequence[Entry]) -> list[str]:
    found = confused(matcher, sure)
    if not found:
        return []
    shown = "; ".join(f"{one.text!r} of {entries[one.entry].id} as {entries[best].id}" for one, best in found[:SHOWN])
    return [f"{len(found):,} phrasings would be taken for another entry, were they not known: {shown}"]
