"""What a model must beat: TF-IDF with logistic regression for labels, a dictionary for names, simple rules for text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from noria.tasks.tag import Span
from noria.tasks.task import Answer, Row, Task, labels_in

from . import written
from .written import tfidf

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
    if rows and "labels" in rows[0]:
        return many_labels(_grams(training), training, rows)
    if rows and "pair" in rows[0]:
        return [{"label": label, "score": 1.0} for label in _labelled(_grams(training), training, rows)]
    labels = tfidf_classifier(training)([row["text"] for row in rows])
    return [{"label": label, "score": 1.0} for label in labels]


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


def tfidf_classifier(rows: Sequence[Row], *, seed: int = 0) -> Classifier:
    """Return texts -> labels: TF-IDF over n-grams, then logistic regression.

    Chinese is cut into runs of one to three characters, other text into words and pairs of words; term frequencies are
    damped by a logarithm. All of it is learned from `rows` alone.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = [row["text"] for row in rows]
    model = make_pipeline(tfidf(texts), LogisticRegression(C=10.0, max_iter=300, random_state=seed))
    model.fit(texts, [row["label"] for row in rows])
    return lambda wanted: [str(label) for label in model.predict(list(wanted))]


def _labelled(vectors: Callable[[Sequence[Row]], Any], training: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors(training), [row["label"] for row in training])
    return [str(label) for label in model.predict(vectors(rows))]


def _grams(training: Sequence[Row]) -> Callable[[Sequence[Row]], Any]:
    """Return rows -> TF-IDF of their text; of a pair that of both, of what they share and of what they do not."""
    from scipy.sparse import hstack

    pairs = "pair" in training[0]
    grams = tfidf([row[name] for row in training for name in ("text", "pair") if name in row])
    grams.fit([row[name] for row in training for name in ("text", "pair") if name in row])

    def vectors(rows: Sequence[Row]) -> Any:
        left = grams.transform([row["text"] for row in rows])
        if not pairs:
            return left
        right = grams.transform([row.get("pair", "") for row in rows])
        return hstack([left, right, left.multiply(right), abs(left - right)]).tocsr()

    return vectors


def dictionary_tagger(rows: Sequence[Row]) -> Tagger:
    """Return text -> spans: the longest name known from `rows` at every place, with its most frequent label.

    A name that the rows themselves leave untagged more often than not is left out.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for span in row["spans"]:
            labels[row["text"][span["start"] : span["end"]]][span["label"]] += 1
    names = {name: counts.most_common(1)[0][0] for name, counts in labels.items()}
    first = _longest_match(names)
    met: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in rows:
        true = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
        for span in first(row["text"]):
            met[span["text"]] += 1
            right[span["text"]] += (span["start"], span["end"], span["label"]) in true
    return _longest_match({name: label for name, label in names.items() if 2 * right[name] >= max(1, met[name])})


def _longest_match(names: dict[str, str]) -> Tagger:
    lengths: dict[str, list[int]] = defaultdict(list)
    for name in names:
        if len(name) not in lengths[name[0]]:
            lengths[name[0]].append(len(name))
    for found in lengths.values():
        found.sort(reverse=True)

    def tag(text: str) -> list[Span]:
        spans, place = [], 0
        while place < len(text):
            for length in lengths.get(text[place], ()):
                end = place + length
                name = text[place:end]
                if name in names and not _cuts_word(text, place) and not _cuts_word(text, end):
                    spans.append({"start": place, "end": end, "label": names[name], "text": name, "score": 1.0})
                    place = end
                    break
            else:
                place += 1
        return spans

    return tag


def _cuts_word(text: str, place: int) -> bool:
    """Say whether a place lies within a word of letters that are written with spaces between words."""
    if not 0 < place < len(text):
        return False
    pair = text[place - 1 : place + 1]
    return pair.isalnum() and max(pair) < "\u2e80"
