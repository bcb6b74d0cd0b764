"""A question's vector -> the entries it may mean, and the calibrated probability that the first one is right.

Vectors are centred per language, for embeddings of one language share a direction that says nothing of the topic. An
entry's score is a kernel ridge regression onto the entries, with the questions outside their scope as one more class, plus
half the nearness of the closest phrasing and of the answer. How sure to be is a logistic regression (ridge 1, Newton's
method) on seven facts of those scores, fitted on paraphrases that were each left out of what they are compared with; for the
ridge part leaving one out has a closed form, y_i - alpha_i / (K + lambda I)^-1_ii (Cawley and Talbot 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["question", "paraphrase", "answer", "outside"]

RIDGE = 1.0
NEARNESS = 0.5
"""Weight of the closest phrasing and the answer. It and `RIDGE` were chosen by leaving known paraphrases out, not by the test."""


@dataclass(frozen=True)
class Known:
    """One text that questions are compared with."""

    text: str
    kind: Kind
    entry: int
    """Index of its entry; -1 for a question outside."""
    language: str


@dataclass(frozen=True)
class Match:
    """What a question may mean."""

    entries: tuple[int, ...]
    """Indices of entries, likeliest first."""
    confidence: float
    """Probability that the first one is right."""


class Matcher:
    """Matches questions with entries.

    Args:
        known: texts of all kinds; every entry has at least one question and one answer.
        vectors: their embeddings, [len(known), width].
    """

    def __init__(self, known: Sequence[Known], vectors: np.ndarray) -> None:
        self._kinds = np.array([text.kind for text in known])
        self._outside = self._kinds == "outside"
        self._answers = self._kinds == "answer"
        self._count = 1 + max(text.entry for text in known)
        self._entries = np.array([self._count if text.entry < 0 else text.entry for text in known])
        languages = np.array([text.language for text in known])
        self._centres = {
            (kind, language): vectors[(self._answers == kind) & (languages == language)].mean(axis=0)
            for kind in (False, True)
            for language in sorted(set(languages))
        }
        self._rows = _unit(
            vectors - np.array([self._centres[bool(a), b] for a, b in zip(self._answers, languages, strict=True)])
        )
        kernel = self._rows @ self._rows.T
        inverse = np.linalg.inv(kernel + RIDGE * np.eye(len(kernel)))
        targets = np.eye(self._count + 1)[self._entries] - 1 / (self._count + 1)
        self._weights = inverse @ targets
        self._fit(kernel, targets - self._weights / np.diag(inverse)[:, None])

    def match(self, vectors: np.ndarray, languages: Sequence[str], top: int = 3) -> list[Match]:
        """Return what each question may mean, for embeddings [questions, width]."""
        rows = _unit(vectors - np.array([self._centres[False, language] for language in languages]))
        near = rows @ self._rows.T
        scores, facts = self._judge(near, near @ self._weights)
        chances = self._confidence(facts)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [Match(tuple(map(int, row)), float(chance)) for row, chance in zip(order, chances, strict=True)]

    def _judge(self, near: np.ndarray, ridge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [questions, entries] and the facts [questions, 7] that confidence rests on."""
        asked = _best(near, self._entries, ~self._answers & ~self._outside, self._count)
        answered = _best(near, self._entries, self._answers, self._count)
        scores = ridge[:, : self._count] + NEARNESS * (asked + answered)
        ranked = -np.sort(-scores, axis=1)
        outside = -np.sort(-near[:, self._outside], axis=1)[:, :3] if self._outside.any() else np.zeros((len(near), 1))
        facts = [ranked[:, 0], ranked[:, 0] - ranked[:, 1], ranked[:, 0] - ranked[:, 1:6].mean(axis=1),
                 outside[:, 0], outside.mean(axis=1), ridge[:, self._count], asked.max(axis=1)]  # fmt: skip
        return scores, np.column_stack(facts)

    def _fit(self, kernel: np.ndarray, left_out: np.ndarray) -> None:
        chosen = (self._kinds == "paraphrase") | self._outside
        if not (self._kinds == "paraphrase").any():
            chosen = ~self._answers  # a list without paraphrases is calibrated on its plain questions
        near = kernel.copy()
        np.fill_diagonal(near, -1.0)
        scores, facts = self._judge(near[chosen], left_out[chosen])
        right = scores.argmax(axis=1) == self._entries[chosen]
        self._mean, self._scale = facts.mean(axis=0), facts.std(axis=0) + 1e-9
        self._slopes = fit_logistic((facts - self._mean) / self._scale, right.astype(float))

    def _confidence(self, facts: np.ndarray) -> np.ndarray:
        return _sigmoid(np.column_stack([np.ones(len(facts)), (facts - self._mean) / self._scale]) @ self._slopes)


def fit_logistic(facts: np.ndarray, right: np.ndarray, ridge: float = 1.0, steps: int = 50) -> np.ndarray:
    """Return intercept and slopes of a logistic regression by Newton's method; the intercept is not shrunk.

    Args:
        facts: [observations, facts], each scaled to mean 0 and deviation 1.
        right: 1 where the observation came true, else 0.
        ridge: weight of half the squared slopes.
    """
    design = np.column_stack([np.ones(len(facts)), facts])
    shrink = np.diag([1e-6] + [ridge] * facts.shape[1])
    slopes = np.zeros(design.shape[1])
    for _ in range(steps):
        chance = _sigmoid(design @ slopes)
        gradient = design.T @ (chance - right) + shrink @ slopes
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + shrink
        step = np.linalg.solve(curvature, gradient)
        slopes -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return slopes


def _best(near: np.ndarray, entries: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    best = np.full((len(near), count), -1.0)
    for entry in range(count):
        best[:, entry] = near[:, chosen & (entries == entry)].max(axis=1)
    return best


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
