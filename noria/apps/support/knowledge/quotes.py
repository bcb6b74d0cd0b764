"""The sentences of a passage that answer a question, by what they say of it that others of the passage do not; and whether two disagree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from noria.text.carried import GAP
from noria.text.script import normal, sentence_spans
from noria.text.terms import terms

SENTENCES = 4
"""Sentences that are quoted at most."""
LEAST_SHARE = 0.1
"""Of what the best sentence scores, from which another is quoted with it."""
RARITY = 3
"""Power of a term's rarity among the sentences of its passage: what the whole passage is about does not tell which sentence answers.
It, the share and the number of sentences were chosen on CMRC 2018's trial questions."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*|[零一二两三四五六七八九十百千万亿半]+(?=[个天日月年周元块次小分秒折成%％])")


@dataclass(frozen=True)
class Sentences:
    """Sentences of a passage that are quoted."""

    text: str
    """As they stand there, with `GAP` in the place of others between them."""
    start: int
    """Where the first begins, in characters of the passage."""
    covered: float
    """Weight of the question's terms that they hold, as a share of all."""
    held: frozenset[int]
    """Terms of the question that they hold."""
    numbers: frozenset[str]
    """Numbers that they name."""


@dataclass(frozen=True)
class Quote:
    """What a document says, with where it stands."""

    text: str
    """The sentences, as they stand there."""
    source: str
    """Name of the file."""
    title: str
    section: str
    page: int | None
    start: int
    """Where the quoted text begins in the document, in characters."""
    link: str
    language: str
    probability: float
    """Calibrated: that the passage it is of answers the question."""
    passage: int
    """Id of the passage."""
    conflicting: tuple[Quote, ...] = ()
    """What other documents say otherwise."""

    @property
    def place(self) -> str:
        """Return where it stands, in a few words."""
        parts = (self.title or self.source, self.section, self.link)
        return " > ".join(dict.fromkeys(part for part in parts if part))


def quoted(text: str, asked: np.ndarray, weights: np.ndarray) -> Sentences:
    """Return the sentences of a passage that answer.

    Args:
        text: of the passage.
        asked: distinct terms of the question.
        weights: of each.
    """
    spans = sentence_spans(text) or [(0, len(text))]
    held = np.array([np.isin(asked, terms(text[low:high])) for low, high in spans])
    holding = held.sum(axis=0)
    rarity = np.log1p((len(spans) - holding + 0.5) / (holding + 0.5))
    scores = held @ (weights * rarity**RARITY)
    likely = np.argsort(-scores, kind="stable")[:SENTENCES]
    chosen = sorted(int(at) for at in likely if scores[at] >= LEAST_SHARE * scores.max())
    pieces = [text[slice(*spans[chosen[0]])]]
    for before, at in pairwise(chosen):
        pieces += [text[slice(*spans[at])]] if at == before + 1 else [GAP, text[slice(*spans[at])].lstrip()]
    told = "".join(
        one.rstrip() if follows == GAP else one for one, follows in zip(pieces, [*pieces[1:], ""], strict=True)
    )
    inside = held[chosen].any(axis=0)
    return Sentences(
        told.strip(),
        spans[chosen[0]][0] + len(pieces[0]) - len(pieces[0].lstrip()),
        float(inside @ weights / max(float(weights.sum()), 1e-9)),
        frozenset(int(one) for one in asked[inside]),
        frozenset(_NUMBER.findall(normal(told))),
    )


def conflicting(one: Sentences, other: Sentences) -> bool:
    """Return whether two quotations speak of the same and name other numbers: each some that the other does not.

    Documents that contradict each other mostly do so by a number: a price, a term, a limit.
    """
    shared, most = len(one.held & other.held), max(len(one.held | other.held), 1)
    alike = shared / most >= 0.6 and other.covered >= 0.7 * one.covered
    return alike and bool(one.numbers - other.numbers) and bool(other.numbers - one.numbers)
