"""What a model of texts must beat: a copy, a dictionary learned from the rows, first sentences, the likest sentence or question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from noria.tasks.ngram_classifier import tfidf
from noria.tasks.task import Answer, Row, Task
from noria.text.script import WORDS, is_chinese, sentences, words

from .ngram import NgramModel

MOST_PAIRS = 50_000
"""Training pairs that a dictionary is learned from at most: a minute is too long for a baseline."""
MOST_WORDS = 60
"""Words of a sentence that a dictionary is learned from at most."""
ROUNDS = 5
"""Rounds of expectation and maximisation; the likelihood has all but settled by then (Brown et al. 1993)."""


def copied(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return every source as it is."""
    return [{"text": row["source"]} for row in rows]


def by_dictionary(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return every source word for word, by the likeliest word of a dictionary; words it lacks stay as they are."""
    known = dictionary(training[:MOST_PAIRS])
    chinese = is_chinese([row["target"] for row in training])
    predicted = []
    for row in rows:
        found = [known.get(word.lower(), word) for word in words(row["source"])]
        text = "".join(found) if chinese else re.sub(r"\s+([.,!?;:])", r"\1", " ".join(found))
        predicted.append({"text": text})
    return predicted


def dictionary(rows: Sequence[Row]) -> dict[str, str]:
    """Return source word (lower case) -> target word, learned from rows {source, target} (IBM model 1, Brown et al. 1993).

    t(target | source) is raised by expectation and maximisation over all links of words in a pair, with an empty source
    word that may account for any target word; of a source word the target word with the largest t is taken.
    """
    sources, targets = _Words(), _Words()
    links: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    slots = 0
    for row in rows:
        left = np.array([0, *(1 + sources.number(word.lower()) for word in words(row["source"])[:MOST_WORDS])])
        right = np.array([targets.number(word) for word in words(row["target"])[:MOST_WORDS]], dtype=np.int64)
        place = slots + np.arange(len(right))
        slots += len(right)
        links.append((np.tile(left, len(right)), np.repeat(right, len(left)), np.repeat(place, len(left))))
    if not slots:
        return {}
    source, target, slot = (np.concatenate(parts) for parts in zip(*links, strict=True))
    size = len(targets.names)
    pairs, pair = np.unique(source * size + target, return_inverse=True)
    owner = pairs // size
    probability = np.ones(len(pairs))
    for _ in range(ROUNDS):
        weight = probability[pair]
        weight /= np.bincount(slot, weights=weight, minlength=slots)[slot]
        count = np.bincount(pair, weights=weight, minlength=len(pairs))
        probability = count / np.bincount(owner, weights=count)[owner]
    order = np.lexsort((probability, owner))
    last = np.flatnonzero(np.diff(owner[order], append=-1))
    best = {int(owner[order[place]]): int(pairs[order[place]] % size) for place in last}
    return {name: targets.names[best[number + 1]] for number, name in enumerate(sources.names) if number + 1 in best}


def first_sentences(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return the first sentences of every source, about as long together as the training summaries, at least one."""
    room = float(np.mean([len(row["target"]) for row in training])) if training else 0.0
    predicted = []
    for row in rows:
        text = ""
        for sentence in sentences(row["source"]):
            if text and len(text) + len(sentence) > room:
                break
            text += ("" if not text or is_chinese([text]) else " ") + sentence
        predicted.append({"text": text or row["source"]})
    return predicted


def overlapping(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return of every context the longest run without the question's words, in the sentence that has most of them.

    Rare words of the context count more (a sliding window after Richardson et al. 2013, cut to sentences).
    """
    return [_overlap(row["context"], row["question"]) for row in rows]


def nearest_reply(task: Task, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer]:
    """Return the last turn of the training conversation whose turns before it are the likest by TF-IDF."""
    known, asked = ([task.texts(row)[0] or " " for row in some] for some in (training, rows))
    grams = tfidf(known)
    nearness = grams.fit_transform(known) @ grams.transform(asked).T
    best = np.asarray(nearness.argmax(axis=0)).ravel()
    return [{"text": training[int(place)]["messages"][-1]["content"]} for place in best]


def predicted_turns(task: Task, training: Sequence[Row], rows: Sequence[Row], order: int = 5) -> list[Answer]:
    """Return what the assistant's turns cost a model of runs of bytes, learned from the assistant's training turns."""

    def turns(some: Sequence[Row]) -> list[list[np.ndarray]]:
        spoken = [[turn["content"].strip() for turn in row["messages"] if turn["role"] == "assistant"] for row in some]
        return [[np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64) for text in texts] for texts in spoken]

    model = NgramModel([text for texts in turns(training) for text in texts], 256, order)
    return [
        {"bits": float(model.bits(texts).sum()), "bytes": sum(len(text) for text in texts)} for texts in turns(rows)
    ]


def latent(task: Task, training: Sequence[Row], rows: Sequence[Row], width: int = 256) -> list[Answer]:
    """Return vectors of anchors and positives: TF-IDF in its main directions (Deerwester et al. 1990)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    texts = [text for row in training for text in task.texts(row)]
    grams = tfidf(texts)
    table = grams.fit_transform(texts)
    shrink = TruncatedSVD(max(1, min(width, *(size - 1 for size in table.shape))), random_state=0).fit(table)
    sides = [
        normalize(shrink.transform(grams.transform([row[name] for row in rows]))) for name in ("anchor", "positive")
    ]
    return [
        {"anchor": {"embedding": one.tolist()}, "positive": {"embedding": other.tolist()}}
        for one, other in zip(*sides, strict=True)
    ]


class _Words:
    """Words by number, in the order they are met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: list[str] = []

    def number(self, name: str) -> int:
        """Return a word's number; a new word gets the next."""
        if name not in self.numbers:
            self.numbers[name] = len(self.names)
            self.names.append(name)
        return self.numbers[name]


def _overlap(context: str, question: str) -> Answer:
    cut: Callable[[str], list[str]] = list if is_chinese([context]) else WORDS.findall
    asked = {word.lower() for word in cut(question) if word.strip() and (word.isalnum() or len(word) > 1)}
    counts = Counter(word.lower() for word in cut(context))
    best, most = "", -1.0
    for sentence in sentences(context):
        weight = sum(np.log1p(1 / counts[word]) for word in {word.lower() for word in cut(sentence)} & asked)
        if weight > most:
            best, most = sentence, float(weight)
    runs = _runs(best, cut(best), asked)
    start, end = max(runs, key=lambda run: run[1] - run[0], default=(0, len(best)))
    return {"text": best[start:end].strip(), "score": 1.0}


def _runs(sentence: str, parts: Sequence[str], asked: set[str]) -> list[tuple[int, int]]:
    """Return where runs of words lie that are neither asked nor marks."""
    runs: list[tuple[int, int]] = []
    place, going = 0, False
    for part in parts:
        start = sentence.index(part, place)
        place = start + len(part)
        if part.lower() in asked or (not part.isalnum() and not part.isspace()):
            going = False
        elif going:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((start, place))
            going = True
    return runs
