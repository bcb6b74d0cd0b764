"""A question's vector -> the entries it may mean, likeliest first, and the facts by which `certainty` tells how sure to be.

Vectors are centred per language, for embeddings of one language share a direction that says nothing of the topic; the bundled
questions outside every list keep the centre where a list of one or two questions would carry it off. An entry's score is a ridge
regression onto the entries, with the questions outside their scope as one more class, plus half the nearness of the closest
phrasing and of the answer. What a row would score had it never been known has a closed form, for one row and for a block of
them: y_B - (I - H_BB)^-1 (y_B - H_B y), H the hat matrix (Cook and Weisberg 1982, 2.2.16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .plain import language_of, symbols

Kind = Literal["question", "paraphrase", "answer", "outside"]

RIDGE = 1.0
NEARNESS = 0.5
"""Weight of the closest phrasing and the answer. It and `RIDGE` were chosen by leaving known paraphrases out, not by the test."""
ENOUGH, LEAN = 30, 5
"""Texts of a language that are a centre of their own; of fewer, how many texts of other languages stand beside them."""
NO_RIVAL = -0.3
"""Score of a second entry below which it is no rival; so much a list of one entry has in its favour."""


@dataclass(frozen=True)
class Known:
    """One text that questions are compared with."""

    text: str
    kind: Kind
    entry: int
    """Index of its entry; -1 for a question outside, and for an answer that only says where answers lie."""
    language: str


@dataclass(frozen=True)
class Facts:
    """What tells whether the first entry is meant."""

    best: np.ndarray
    """Index of the first entry, [questions]."""
    order: np.ndarray
    """Entries, likeliest first, [questions, entries]."""
    values: np.ndarray
    """[questions, 4]: how far the first entry's score is above the next one's; how much nearer its closest phrasing is than the
    closest question outside; its score; the nearness of its closest phrasing."""
    other: np.ndarray
    """Whether the question names a number or symbol that the first entry does not, in place of one that it does, [questions]."""

    def at(self, row: int) -> Facts:
        """Return the facts of one question."""
        return Facts(*(values[row : row + 1] for values in (self.best, self.order, self.values, self.other)))


class Matcher:
    """Scores questions against entries.

    Args:
        known: texts of all kinds; every entry has at least one question and one answer, and some are outside.
        vectors: their embeddings, [len(known), width].
    """

    def __init__(self, known: Sequence[Known], vectors: np.ndarray) -> None:
        vectors = np.asarray(vectors, dtype=np.float64)
        self.count = 1 + max(text.entry for text in known)
        self._centres = _centres(known, vectors)
        kept = [at for at, text in enumerate(known) if text.entry >= 0 or text.kind == "outside"]
        # Rows of an entry lie together, so that the nearest of each is one pass.
        kept.sort(key=lambda at: (_group(known[at]), known[at].entry if known[at].entry >= 0 else self.count))
        self.known = [known[at] for at in kept]
        self.entries = np.array([text.entry if text.entry >= 0 else self.count for text in self.known])
        self.groups = np.array([_group(text) for text in self.known])
        self.languages = np.array([text.language for text in self.known])
        self.rows = unit(
            vectors[kept] - np.array([self.centre(one.kind == "answer", one.language) for one in self.known])
        )
        self._half = _half(self.rows)
        sums = np.zeros((self.count + 1, self.rows.shape[0]))
        sums[self.entries, np.arange(len(self.rows))] = 1
        self._weights = self._half @ (sums - 1 / (self.count + 1)).T
        self._asked, self._answered = (_Runs(self.groups, self.entries, group, self.count) for group in (0, 1))
        self._marks = _entry_symbols(self.known, self.count)

    def centre(self, answer: bool, language: str) -> np.ndarray:
        """Return the mean of all questions, or answers, of a language; of one it knows nothing in, that of all of them."""
        found = self._centres.get((answer, language))
        return found if found is not None else self._centres[answer, ""]

    def facts(
        self,
        texts: Sequence[str],
        vectors: np.ndarray,
        languages: Sequence[str] | None = None,
        without: Sequence[int] = (),
    ) -> Facts:
        """Return the facts of questions with embeddings [questions, width].

        Args:
            texts: the questions.
            vectors: their embeddings.
            languages: the language of each; Chinese or English by their script where not given.
            without: entries that are not meant.
        """
        languages = languages or [language_of(text) for text in texts]
        rows = unit(np.asarray(vectors, dtype=np.float64) - np.array([self.centre(False, one) for one in languages]))
        other = np.zeros((len(texts), self.count), dtype=bool)
        for row, text in enumerate(texts):
            if asked := symbols(text):
                other[row] = [_other(asked, *of) for of in self._marks]
        ridge = rows @ self._weights
        ridge[:, list(without)] = -np.inf
        return self._judge(rows @ self.rows.T, ridge, np.array(languages), other)

    def left_out(self, chosen: np.ndarray) -> Facts:
        """Return the facts of known rows as if each had never been known, [chosen]."""
        near = self.rows[chosen] @ self.rows.T
        near[np.arange(len(chosen)), chosen] = -1.0
        hat = np.einsum("rw,wr->r", self.rows[chosen], self._half[:, chosen])
        truth = np.eye(self.count + 1)[self.entries[chosen]] - 1 / (self.count + 1)
        ridge = truth - (truth - self.rows[chosen] @ self._weights) / (1 - hat)[:, None]
        return self._judge(near, ridge, self.languages[chosen])

    def without(self, entry: int, chosen: np.ndarray) -> Facts:
        """Return the facts of questions of an entry as if the whole entry had never been known: questions near and outside."""
        block = np.flatnonzero(self.entries == entry)
        truth = np.eye(self.count + 1)[self.entries[block]] - 1 / (self.count + 1)
        residual = truth - self.rows[block] @ self._weights
        ridge = truth - np.linalg.solve(np.eye(len(block)) - self.rows[block] @ self._half[:, block], residual)
        ridge[:, entry] = -np.inf
        near = self.rows[chosen] @ self.rows.T
        near[:, block] = -np.inf
        return self._judge(near, ridge[np.searchsorted(block, chosen)], self.languages[chosen])

    def _judge(
        self, near: np.ndarray, ridge: np.ndarray, languages: np.ndarray, other: np.ndarray | None = None
    ) -> Facts:
        asked, answered = self._asked.best(near), self._answered.best(near)
        scores = ridge[:, : self.count] + NEARNESS * (asked + answered)
        other = np.zeros(scores.shape, dtype=bool) if other is None else other
        order = np.argsort(-scores + 1e3 * other, axis=1, kind="stable")
        place = np.arange(len(scores))
        first = order[:, 0]
        # One that names another number or symbol than was asked for is no rival; where all do, it is told by `Facts.other`.
        rivals = np.where(other & ~other.all(axis=1, keepdims=True), -np.inf, scores)
        rivals[place, first] = -np.inf
        margin = scores[place, first] - np.maximum(rivals.max(axis=1), NO_RIVAL)
        nearest = asked[place, first]
        outside = np.full(len(scores), -1.0)
        for language in set(languages):
            mine, theirs = languages == language, (self.groups == 2) & (self.languages == language)
            if not theirs.any():
                theirs = self.groups == 2
            if theirs.any():
                outside[mine] = near[np.ix_(mine, theirs)].max(axis=1)
        return Facts(
            first,
            order,
            np.column_stack([margin, nearest - outside, scores[place, first], nearest]),
            other[place, first],
        )


class _Runs:
    """Rows of one group by entry: the nearest of each entry in one pass."""

    def __init__(self, groups: np.ndarray, entries: np.ndarray, group: int, count: int) -> None:
        self.count = count
        self.rows = np.flatnonzero((groups == group) & (entries < count))
        self.entries, self.starts = np.unique(entries[self.rows], return_index=True)

    def best(self, near: np.ndarray) -> np.ndarray:
        found = np.full((len(near), self.count), -1.0)
        if len(self.rows):
            found[:, self.entries] = np.maximum.reduceat(near[:, self.rows], self.starts, axis=1)
        return np.asarray(np.maximum(found, -1.0))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [n, width] at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _half(rows: np.ndarray) -> np.ndarray:
    """Return (R^T R + ridge I)^-1 R^T, [width, rows], by whichever of its two equal forms is the smaller system."""
    count, width = rows.shape
    if width <= count:
        return np.asarray(np.linalg.solve(rows.T @ rows + RIDGE * np.eye(width), rows.T))
    return np.asarray(np.linalg.solve(rows @ rows.T + RIDGE * np.eye(count), rows).T)


def _group(text: Known) -> int:
    return {"answer": 1, "outside": 2}.get(text.kind, 0)


def _centres(known: Sequence[Known], vectors: np.ndarray) -> dict[tuple[bool, str], np.ndarray]:
    """Return the mean of the questions and of the answers of each language, and of all, as language "".

    A language with few texts leans on all of them as on `LEAN` of its own: one text is no centre of anything.
    """
    places: dict[tuple[bool, str], list[int]] = {}
    for at, text in enumerate(known):
        places.setdefault((text.kind == "answer", text.language), []).append(at)
        places.setdefault((text.kind == "answer", ""), []).append(at)
    means = {key: vectors[rows].mean(axis=0) for key, rows in places.items()}
    return {
        key: mean
        if len(places[key]) >= ENOUGH
        else (len(places[key]) * mean + LEAN * means[key[0], ""]) / (len(places[key]) + LEAN)
        for key, mean in means.items()
    }


def _entry_symbols(known: Sequence[Known], count: int) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return each entry's numbers and symbols: those in every phrasing, and all of them, its answer's too."""
    every: list[frozenset[str] | None] = [None] * count
    some = [frozenset[str]()] * count
    for text in known:
        if text.entry < 0:
            continue
        found = symbols(text.text)
        some[text.entry] |= found
        if text.kind != "answer":
            before = every[text.entry]
            every[text.entry] = found if before is None else before & found
    return [(one or frozenset(), two) for one, two in zip(every, some, strict=True)]


def _other(asked: frozenset[str], every: frozenset[str], some: frozenset[str]) -> bool:
    """Return whether a question names a number or symbol that an entry does not, in place of one that it always names."""
    return bool(asked - some) and bool(every - asked)
