"""What a model must beat: TF-IDF with logistic regression for labels, a dictionary for names, simple rules for text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from noria.tasks.classify import Classify
from noria.tasks.ngram_classifier import companion_answers, fit_ngrams
from noria.tasks.tag import Span
from noria.tasks.task import Answer, Row, Task, labels_in

from . import written
from .chain_tagger import known_names

Classifier = Callable[[Sequence[str]], list[str]]
Tagger = Callable[[str], list[Span]]


Baseline = Callable[[Task, Sequence[Row], Sequence[Row]], list[Answer]]
"""The task, training rows, rows -> answers to the rows."""


def baselines_of(task: Task) -> dict[str, Baseline]:
    """Return what a task's models are measured against, by name; the first is the one to beat. A task may have none."""
    found: dict[str, dict[str, Baseline]] = {
        "classify": {"TF-IDF with logistic regression": classified},
        "numeric": {"logistic regression": numbers_classified},
        "tag": {"dictionary of training names": tagged},
        "answer": {"the sentence most like the question": written.overlapping},
        "translate": {"word-for-word dictionary": written.by_dictionary, "copy": written.copied},
        "summarise": {"first sentences": written.first_sentences},
        "chat": {
            "runs of 5 bytes, Kneser-Ney": written.predicted_turns,
            "answer to the nearest training question": written.nearest_reply,
        },
        "embed": {"TF-IDF with latent semantic analysis": written.latent},
    }
    return found.get(task.name, {})


def classified(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return labels by TF-IDF of a text, or of both texts of a pair, with logistic regression."""
    return companion_answers(task, fit_ngrams(task, training), rows)


def numbers_classified(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return labels of rows of numbers by logistic regression on standardised columns."""
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit([row["features"] for row in training])

    def vectors(wanted: Sequence[Row]) -> Any:
        return scale.transform([row["features"] for row in wanted])

    if rows and "labels" in rows[0]:
        return many_labels(vectors, training, rows)
    return [{"label": label, "score": 1.0} for label in _labelled(vectors, training, rows)]


def tagged(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return the spans of names that training rows have tagged."""
    tag = dictionary_tagger(training)
    return [{"spans": tag(row["text"])} for row in rows]


def many_labels(vectors: Callable[[Sequence[Row]], Any], training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return the labels of every row, each label judged by a logistic regression of its own (one against the rest)."""
    from sklearn.linear_model import LogisticRegression

    seen, wanted = vectors(training), vectors(rows)
    predicted: list[list[str]] = [[] for _ in rows]
    for label in labels_in(training):
        true = [label in row["labels"] for row in training]
        if all(true):
            given = [True] * len(rows)
        else:
            given = LogisticRegression(C=10.0, max_iter=300).fit(seen, true).predict(wanted).tolist()
        for labels, yes in zip(predicted, given, strict=True):
            labels += [label] if yes else []
    return [{"labels": labels} for labels in predicted]


def tfidf_classifier(rows: Sequence[Row]) -> Classifier:
    """Return texts -> labels, by TF-IDF over n-grams and logistic regression, all of it learned from `rows` alone."""
    task = Classify(labels_in(rows))
    companion = fit_ngrams(task, rows)
    return lambda wanted: [
        one["label"] for one in companion_answers(task, companion, [{"text": text} for text in wanted])
    ]


def _labelled(vectors: Callable[[Sequence[Row]], Any], training: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors(training), [row["label"] for row in training])
    return [str(label) for label in model.predict(vectors(rows))]


def dictionary_tagger(rows: Sequence[Row]) -> Tagger:
    """Return text -> spans: the longest name known from `rows` at every place, with its most frequent label.

    A name that the rows themselves leave untagged more often than not is left out.
    """
    names = known_names(rows)

    def tag(text: str) -> list[Span]:
        return [
            {"start": start, "end": end, "label": label, "text": text[start:end], "score": 1.0}
            for start, end, label in names.find(text)
        ]

    return tag
