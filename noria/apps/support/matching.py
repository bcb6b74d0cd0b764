"""A question -> the entries it may mean, with what speaks for each: nearness in meaning, in words, and to what lies outside.

Vectors are centred per language, for embeddings of one language share a direction that says nothing of the topic; the bundled
questions outside every list keep the centre where a list of one or two questions would carry it off. Beside them stand the words
of a text and pieces of them, rare ones weighing more, hashed to a fixed width (Weinberger et al. 2009): names, numbers and typing
errors, of which an embedding keeps little. Of both an entry's clues are made: a ridge regression onto the entries, with the
questions outside their scope as one more class, the closest and the mean phrasing, and the answer. What a row would show had it
never been known has a closed form, for one row and for a block of them: y_B - (I - H_BB)^-1 (y_B - H_B y), H the hat matrix (Cook
and Weisberg 1982, 2.2.16).
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from noria.text.script import has_han

from .plain import plain, symbols

Kind = Literal["question", "paraphrase", "answer", "outside"]

RIDGE = 1.0
CANDIDATES = 48
"""Entries of a question that are looked at closely: those first by ridge and closest phrasing."""
WIDTH = 2_048
"""Of the hashed words: two of a few thousand pieces fall together now and then, and signs make that cancel on average."""
WORDS = 0.5
"""Weight of the words beside the embedding in the ridge regression."""
ENOUGH, LEAN = 30, 5
"""Texts of a language that are a centre of their own; of fewer, how many texts of other languages stand beside them."""


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
    """What speaks for each of the entries that a question may mean, and for none of them."""

    order: np.ndarray
    """Index of each candidate, likeliest first by a rough score, [questions, candidates]."""
    clues: np.ndarray
    """[questions, candidates, 6]: ridge; embedding of the closest phrasing, the mean one, the answer; words of the closest phrasing,
    and the mean one. An entry that is not to be had is nan."""
    none: np.ndarray
    """[questions, 4]: 1; ridge of the questions outside; the closest of them by embedding, and by words."""
    other: np.ndarray
    """Whether the question names a number or symbol that a candidate does not, in place of one that it does, [questions,
    candidates]."""

    def at(self, row: int) -> Facts:
        """Return the facts of one question."""
        return Facts(*(values[row : row + 1] for values in (self.order, self.clues, self.none, self.other)))


class Matcher:
    """Collects the clues of questions.

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
        self._rarity = _rarity([one.text for one in self.known])
        self.words = self._hashed([one.text for one in self.known])
        self._both = np.hstack([self.rows, WORDS * self.words])
        self._half = _half(self._both)
        self._truth = np.eye(self.count + 1)[self.entries] - 1 / (self.count + 1)
        self._weights = self._half @ self._truth
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
        languages = languages or ["zh" if has_han(text) else "en" for text in texts]
        rows = unit(np.asarray(vectors, dtype=np.float64) - np.array([self.centre(False, one) for one in languages]))
        words = self._hashed(texts)
        ridge = np.hstack([rows, WORDS * words]) @ self._weights
        ridge[:, list(without)] = np.nan
        found = self._gather(rows @ self.rows.T, words @ self.words.T, ridge, np.array(languages))
        for row, text in enumerate(texts):
            if asked := symbols(text):
                found.other[row] = [_other(asked, *self._marks[at]) for at in found.order[row]]
        return found

    def left_out(self, chosen: np.ndarray) -> Facts:
        """Return the facts of known rows as if each had never been known, [chosen]."""
        near, alike = self.rows[chosen] @ self.rows.T, self.words[chosen] @ self.words.T
        here = np.arange(len(chosen)), chosen
        near[here] = alike[here] = np.nan
        hat = np.einsum("rw,wr->r", self._both[chosen], self._half[:, chosen])
        truth = self._truth[chosen]
        ridge = truth - (truth - self._both[chosen] @ self._weights) / (1 - hat)[:, None]
        return self._gather(near, alike, ridge, self.languages[chosen])

    def without(self, entry: int, chosen: np.ndarray) -> Facts:
        """Return the facts of questions of an entry as if the whole entry had never been known: questions near and outside."""
        block = np.flatnonzero(self.entries == entry)
        truth, both = self._truth[block], self._both[block]
        ridge = truth - np.linalg.solve(np.eye(len(block)) - both @ self._half[:, block], truth - both @ self._weights)
        ridge[:, entry] = np.nan
        near, alike = self.rows[chosen] @ self.rows.T, self.words[chosen] @ self.words.T
        near[:, block] = alike[:, block] = np.nan
        return self._gather(near, alike, ridge[np.searchsorted(block, chosen)], self.languages[chosen])

    def _gather(self, near: np.ndarray, alike: np.ndarray, ridge: np.ndarray, languages: np.ndarray) -> Facts:
        """Return facts from the nearness of questions to every row in meaning and in words, nan where a row is not known."""
        clues = [ridge[:, : self.count], self._asked.best(near), self._asked.mean(near), self._answered.best(near)]
        clues += [self._asked.best(alike), self._asked.mean(alike)]
        rough = np.where(np.isnan(clues[0]), -np.inf, clues[0] + (clues[1] + clues[3]) / 2)
        order = np.argsort(-rough, axis=1, kind="stable")[:, :CANDIDATES]
        here = np.arange(len(order))[:, None]
        outside = np.full((2, len(order)), -1.0)
        for language in set(languages):
            mine, theirs = languages == language, (self.groups == 2) & (self.languages == language)
            if not theirs.any():
                theirs = self.groups == 2
            for at, values in enumerate((near, alike)):
                part = values[np.ix_(mine, theirs)]
                outside[at, mine] = np.where(np.isnan(part), -1.0, part).max(axis=1, initial=-1.0)
        none = np.column_stack([np.ones(len(order)), ridge[:, self.count], *outside])
        gathered = np.stack([clue[here, order] for clue in clues], axis=-1)
        return Facts(order, gathered, none, np.zeros(order.shape, dtype=bool))

    def _hashed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the words of texts, each text at length 1, [texts, WIDTH]."""
        found = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in enumerate(texts):
            places, counts = _coded(text)
            found[row, places] = counts * self._rarity[places]
        return unit(found)


class _Runs:
    """Rows of one group by entry: the nearest of each entry, and their mean, in one pass."""

    def __init__(self, groups: np.ndarray, entries: np.ndarray, group: int, count: int) -> None:
        self.count = count
        self.rows = np.flatnonzero((groups == group) & (entries < count))
        self.entries, self.starts = np.unique(entries[self.rows], return_index=True)

    def best(self, near: np.ndarray) -> np.ndarray:
        found = np.full((len(near), self.count), -1.0)
        if len(self.rows):
            values = np.where(np.isnan(near[:, self.rows]), -1.0, near[:, self.rows])
            found[:, self.entries] = np.maximum.reduceat(values, self.starts, axis=1)
        return found

    def mean(self, near: np.ndarray) -> np.ndarray:
        found = np.full((len(near), self.count), -1.0)
        if len(self.rows):
            values = near[:, self.rows]
            there = ~np.isnan(values)
            counts = np.add.reduceat(there, self.starts, axis=1, dtype=int)
            sums = np.add.reduceat(np.where(there, values, 0.0), self.starts, axis=1)
            found[:, self.entries] = np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)
        return found


def pieces(text: str) -> list[str]:
    """Return the words of a text and the pieces that a typing error leaves of them; Chinese as one to three characters in a row.

    >>> pieces("退货 app")
    ['退', '货', '退货', '=app', '<ap', 'app', 'pp>', '<app', 'app>', '<app>']
    """
    found = []
    for word in plain(text).split():
        if has_han(word):
            found += [word[at : at + size] for size in (1, 2, 3) for at in range(len(word) - size + 1)]
        else:
            held = f"<{word}>"
            found.append(f"={word}")
            found += [held[at : at + size] for size in (3, 4, 5) for at in range(len(held) - size + 1)]
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [n, width] at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


@lru_cache(maxsize=1 << 15)
def _coded(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of a text's pieces, each once, and their signed counts, logarithmic."""
    found: dict[int, float] = {}
    for piece, count in Counter(pieces(text)).items():
        key = zlib.crc32(piece.encode())
        found[key % WIDTH] = found.get(key % WIDTH, 0.0) + (1 if key & 1 << 16 else -1) * (1 + math.log(count))
    return np.array(list(found), dtype=np.int32), np.array(list(found.values()), dtype=np.float32)


def _rarity(texts: Sequence[str]) -> np.ndarray:
    """Return how rare the pieces at each place are among texts (Spaerck Jones 1972), [WIDTH]."""
    places = [_coded(text)[0] for text in texts]
    counts = np.bincount(np.concatenate(places), minlength=WIDTH)
    return np.asarray(1 + np.log(len(texts) / np.maximum(counts, 1)), dtype=np.float32)


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
