"""TF-IDF with logistic regression: the baseline of a classifier, and the companion that its model is joined with.

It is fitted by scikit-learn and answers as `noria.tasks.ngrams` does, so that what is judged as the baseline is what a model
folder holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noria.text.script import is_chinese

from .companion import NgramCompanion
from .ngrams import NgramModel, Unit, character_grams, word_grams
from .task import Answer, Features, Row, Task, Weights, labels_in

MOST_BYTES = 32_000_000
"""Of a fitted model: of more, the grams that do least are left out."""
SURE = 20.0
"""Log odds of a label that all training rows have: no weights follow from it."""


def fit_ngrams(task: Task, training: Sequence[Row], *, most_bytes: int = MOST_BYTES) -> NgramCompanion:
    """Return TF-IDF with logistic regression of rows {text[, pair], label} or {text[, pair], labels}.

    Chinese is cut into runs of one to three characters, other text into words and pairs of words; term frequencies are
    damped by a logarithm. Of many labels each has a logistic regression of its own (one against the rest).

    Args:
        task: whose labels are answered, those of the rows among them.
        training: rows to learn from.
        most_bytes: bound on what its arrays take.
    """
    labels = task.labels
    training = [task.as_read(row) for row in training]
    texts = [row[name] for row in training for name in ("text", "pair") if name in row]
    grams = tfidf(texts)
    grams.fit(texts)
    keys, words, order = _numbered(grams, "characters" if is_chinese(texts) else "words")
    columns = _columns(grams, training, order)
    many = "labels" in training[0]
    names, coefficients, intercept = _one_against_rest(columns, training) if many else _regression(columns, training)
    ngrams = NgramModel(
        "words" if words else "characters",
        keys,
        grams.idf_[order].astype(np.float32),
        words,
        coefficients.astype(np.float32),
        intercept,
    )
    ngrams = _bounded(ngrams, np.asarray(columns.sum(axis=0)).ravel(), most_bytes)
    return NgramCompanion(ngrams, tuple(labels.index(name) for name in names), len(labels), len(training), many)


def companion_answers(task: Task, companion: NgramCompanion, rows: Sequence[Row]) -> list[Answer]:
    """Return what a companion answers to rows by itself."""
    alone = replace(task, temperature=1.0, companion=replace(companion, weights=Weights(0.0, 1.0)))
    nothing = np.zeros(companion.labels)
    return [alone.answer(Features([], [], task.as_read(row)), nothing) for row in rows]


def tfidf(texts: Sequence[str]) -> Any:
    """Return TF-IDF, not fitted yet: Chinese by runs of one to three characters, other text by words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if is_chinese(texts):
        return TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2 if len(texts) > 20 else 1
        )
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")


def _numbered(grams: Any, unit: Unit) -> tuple[np.ndarray, dict[str, int], np.ndarray]:
    """Return the numbers of a fitted vectoriser's grams in order, the numbers of its words, and the column of each gram."""
    names = list(grams.vocabulary_)
    if unit == "characters":
        words: dict[str, int] = {}
        numbers = [int(character_grams(name)[-1]) for name in names]
    else:
        parts = [name.split(" ") for name in names]
        words = {word: number for number, word in enumerate(sorted({word for part in parts for word in part}), 1)}
        numbers = [int(word_grams([words[word] for word in part])[-1]) for part in parts]
    keys = np.array(numbers, dtype=np.uint64)
    order = np.argsort(keys)
    return keys[order], words, np.array(list(grams.vocabulary_.values()))[order]


def _columns(grams: Any, rows: Sequence[Row], order: np.ndarray) -> Any:
    """Return TF-IDF of each row's text; of a pair that of both, of what they share and of what they do not."""
    from scipy.sparse import hstack

    left = grams.transform([row["text"] for row in rows])[:, order]
    if "pair" not in rows[0]:
        return left
    right = grams.transform([row.get("pair", "") for row in rows])[:, order]
    return hstack([left, right, left.multiply(right), abs(left - right)]).tocsr()


def _regression(columns: Any, rows: Sequence[Row]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the labels of rows, and weights [columns, outputs] and intercepts of their log odds; of two labels the second's alone."""
    from sklearn.linear_model import LogisticRegression

    labels = [row["label"] for row in rows]
    if len(set(labels)) == 1:
        return labels[:1], np.zeros((columns.shape[1], 1)), np.zeros(1)
    found = LogisticRegression(C=10.0, max_iter=300, random_state=0).fit(columns, labels)
    return [str(label) for label in found.classes_], found.coef_.T, found.intercept_


def _one_against_rest(columns: Any, rows: Sequence[Row]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the labels of rows, and weights [columns, labels] and intercepts of the log odds of each by itself."""
    from sklearn.linear_model import LogisticRegression

    names = list(labels_in(rows))
    coefficients, intercept = np.zeros((columns.shape[1], len(names))), np.full(len(names), SURE)
    for place, name in enumerate(names):
        true = [name in row["labels"] for row in rows]
        if not all(true):
            found = LogisticRegression(C=10.0, max_iter=300).fit(columns, true)
            coefficients[:, place], intercept[place] = found.coef_[0], found.intercept_[0]
    return names, coefficients, intercept


def _bounded(ngrams: NgramModel, mass: np.ndarray, most_bytes: int) -> NgramModel:
    """Return the model with so many grams as fit a bound: those whose weights times their share of all texts are largest."""
    size, blocks = len(ngrams.keys), len(ngrams.coefficients) // max(1, len(ngrams.keys))
    most = max(1, most_bytes // (12 + 4 * blocks * ngrams.coefficients.shape[1]))
    if size <= most:
        return ngrams
    effect = (np.abs(ngrams.coefficients).max(axis=1) * mass).reshape(blocks, size).max(axis=0)
    kept = np.sort(np.argpartition(-effect, most)[:most])
    columns = np.concatenate([kept + size * block for block in range(blocks)])
    return replace(ngrams, keys=ngrams.keys[kept], idf=ngrams.idf[kept], coefficients=ngrams.coefficients[columns])
