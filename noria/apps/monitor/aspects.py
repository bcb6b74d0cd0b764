"""Aspects that a team gives, such as price, service or safety: which of them a text speaks of, and what it says of each.

aspects.toml                                    # or the same as JSON
rows = "labelled.jsonl"                         # if there are labelled texts, {text, aspects: {price: "negative"}}
[price]
title = {en = "price", zh = "价格"}
words = ["价格", "太贵", "便宜", "price", "expensive"]
examples = ["一碗面要八十块", "not worth the money"]

A text speaks of an aspect where it holds one of its words, where one of its sentences is as near to an example as the aspect's own
examples are to each other, or where a classifier with several labels says so, which also knows what is said, by labels such as `price:negative`.
Labelled texts, too few for a classifier, teach how far words can be trusted and what else speaks of an aspect, see `labelled`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from noria.core.errors import InputError, SettingError
from noria.core.messages import message
from noria.core.settings import Settings, read_toml
from noria.tasks.annotations import OF
from noria.tasks.classify import Classify
from noria.tasks.task import read_rows
from noria.text.encoding import decoded
from noria.text.script import length, sentences
from noria.text.sources import Source

from .labelled import Labelled, Looked, learn, with_grams
from .surge import Own
from .topics import pattern_of

MOST_ASPECTS = 100
"""Aspects at most: each is watched by two series."""
SURE = 0.7
"""Probability by which a classifier finds an aspect though a text has none of its words: on 100 reviews that chose it (of 0.3 to 0.7), micro F1
is 0.749 so, 0.747 by words alone, and 0.682 where its every label counts."""
MOST_SENTENCES = 12
"""Sentences of one text that are held against examples."""
LEAST_PART, MOST_PARTS = 8, 40
"""Chinese characters or words of a part of a text at least, and parts of one text."""
LEAST_ROWS, MOST_ROWS = 20, 1_000
"""Labelled texts: of more a classifier learns more."""
_CLAUSE = re.compile(r"(?<=[，。！？!?；;～~…\n])|(?<=,)(?!\d)|(?<=\.)(?=\s)")


class Aspect(Settings):
    """One aspect."""

    title: dict[str, str] = Field(default_factory=dict)
    """What it is called, by language."""
    words: tuple[str, ...] = ()
    """Words by which a text speaks of it."""
    examples: tuple[str, ...] = ()
    """Sentences that speak of it, three or more, known again by an embedding model where one is served."""


@dataclass
class Aspects:
    """The given aspects."""

    given: Mapping[str, Aspect] = field(default_factory=dict)
    rows: Sequence[tuple[str, Mapping[str, str]]] = ()
    """Labelled texts: the aspects that each speaks of, and what it says of them, empty where that is not told."""
    labelled: Labelled | None = None
    """What they taught."""
    is_learned: bool = False
    """Whether examples and labelled texts have been learned from."""
    _patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    _near: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    """Aspect -> vectors of its examples [examples, width], and the similarity from which a sentence speaks of it."""

    @classmethod
    def of(cls, given: Mapping[str, Aspect], rows: Sequence[tuple[str, Mapping[str, str]]] = ()) -> Aspects:
        """Return these aspects, their words ready to be looked for."""
        words = {name: [word for word in one.words if word.strip()] for name, one in given.items()}
        patterns = {name: pattern_of(some) for name, some in words.items() if some}
        return cls(given, rows, _patterns=patterns)

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Return every example with its aspect."""
        return [(name, text) for name, one in self.given.items() for text in one.examples]

    @property
    def lessons(self) -> list[str]:
        """Return what `learn` takes the vectors of: examples, and the parts of labelled texts."""
        return [text for _, text in self.examples] + [part for text, _ in self.rows for part in parts_of(text)]

    def learn(self, vectors: Sequence[Sequence[float]]) -> None:
        """Take the vectors, of length one, of `lessons`.

        A sentence speaks of an aspect where its nearest example is one of it, nearer than halfway between what lies between examples
        of the aspect, one left out, and what lies between them and those of others.
        """
        table = np.asarray(vectors, dtype=np.float64)
        at = len(self.examples)
        if at:
            self._compare(table[:at])
        if self.rows:
            texts = []
            for text, _ in self.rows:
                count = len(parts_of(text))
                texts.append(self._looked(text, table[at : at + count]))
                at += count
            self.labelled = learn(tuple(self.given), texts, [truth for _, truth in self.rows])
        self.is_learned = True

    def _compare(self, table: np.ndarray) -> None:
        names = np.array([name for name, _ in self.examples])
        similar = table @ table.T
        np.fill_diagonal(similar, -1.0)
        for name in self.given:
            own = names == name
            if own.sum() < 2 or own.all():
                continue
            inside, outside = similar[own][:, own].max(axis=1).mean(), similar[own][:, ~own].max(axis=1).mean()
            self._near[name] = (table[own], float((inside + outside) / 2))

    def _looked(self, text: str, vectors: np.ndarray) -> Looked:
        def held(part: str) -> list[bool]:
            return [name in self._patterns and bool(self._patterns[name].search(part)) for name in self.given]

        parts = parts_of(text)
        return Looked(with_grams(vectors, parts), np.array([held(part) for part in parts]), np.array(held(text)))

    def read(self, text: str) -> list[str]:
        """Return what of a text is embedded: sentences, where there are examples, and parts, where labelled texts taught something."""
        return [*(sentences_of(text) if self._near else ()), *(parts_of(text) if self.labelled else ())]

    def found(self, text: str, vectors: Sequence[Sequence[float]] = ()) -> dict[str, Own]:
        """Return the aspects that a text speaks of, with what it says of each where labelled texts taught that.

        Args:
            text: any text.
            vectors: of length one, of what `read` gives; words alone are looked for without them.
        """
        if not vectors:
            return {name: {} for name in self.by_words(text)}
        sentences_read = len(sentences_of(text)) if self._near else 0
        if self.labelled:
            found = self.labelled.judge(self._looked(text, np.asarray(vectors[sentences_read:], dtype=np.float64)))
        else:
            found = {name: {} for name in self.by_words(text)}
        for name in self.by_examples(vectors[:sentences_read]):
            found.setdefault(name, {})
        return found

    def unnamed(self, found: Collection[str]) -> set[str]:
        """Return the aspects that have words, less those whose words were found."""
        return self._patterns.keys() - set(found)

    def by_words(self, text: str) -> list[str]:
        """Return the aspects whose words a text holds."""
        return [name for name, pattern in self._patterns.items() if pattern.search(text)]

    def by_examples(self, vectors: Sequence[Sequence[float]]) -> list[str]:
        """Return the aspects that one of a text's sentences speaks of, by the sentences' vectors."""
        found = []
        for vector in vectors:
            nearest = {name: float((known @ np.asarray(vector)).max()) for name, (known, _) in self._near.items()}
            best = max(nearest, key=lambda name: nearest[name], default=None)
            if best is not None and nearest[best] >= self._near[best][1]:
                found.append(best)
        return list(dict.fromkeys(found))


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text that are held against examples."""
    return [sentence for sentence in sentences(text) if sentence.strip()][:MOST_SENTENCES]


def parts_of(text: str) -> list[str]:
    """Return the parts of a text that labelled texts teach by and that are then known again: clauses, the short ones together.

    >>> parts_of("味道不错，服务员，态度很好。price is 1,000, too much")
    ['味道不错，服务员，态度很好。', 'price is 1,000, too much']
    """
    parts: list[str] = []
    for clause in _CLAUSE.split(text):
        if parts and length(parts[-1]) < LEAST_PART:
            parts[-1] += clause
        elif clause.strip():
            parts.append(clause)
    return [part.strip() for part in parts[:MOST_PARTS]] or [text]


def by_labels(answer: Mapping[str, Any], others: Iterable[str] = (), unnamed: Collection[str] = ()) -> dict[str, Own]:
    """Return the aspects that a classifier with several labels finds, and others, each with the likeliest of its own labels where it has some.

    Args:
        answer: the classifier's.
        others: aspects that are spoken of by what else is known, such as words; of one that the classifier knows it tells the label.
        unnamed: aspects whose words are known and are not in the text: of them the classifier must be `SURE`.

    >>> by_labels({"labels": ["price"], "scores": {"price": 0.8, "price:negative": 0.4, "price:positive": 0.1, "service": 0.2}})
    {'price': {'label': 'negative', 'score': 0.8}}
    """
    kinds: dict[str, dict[str, float]] = {}
    for name, score in answer["scores"].items():
        aspect, mark, label = name.rpartition(OF)
        if mark:
            kinds.setdefault(aspect, {})[label] = score
    found: dict[str, Own] = {}
    for name in (*answer["labels"], *others):
        aspect = name.rpartition(OF)[0] if name.rpartition(OF)[0] in kinds else name
        if aspect in unnamed and answer["scores"].get(aspect, answer["scores"].get(name, 0.0)) < SURE:
            continue
        scores = kinds.get(aspect)
        if not scores:
            found[aspect] = {}
            continue
        best = max(scores, key=lambda label: scores[label])
        # Of the labels that it may have, one is meant: probabilities of each by itself are made to sum to one.
        found[aspect] = {"label": best, "score": round(scores[best] / (sum(scores.values()) or 1.0), 4)}
    return found


def read_aspects(path: str | Path) -> Aspects:
    """Return the aspects of a TOML or JSON file: {name: {title, words, examples}}, and `rows`, a file of labelled texts beside it.

    Raises:
        InputError: a file is missing, is no TOML or JSON, or holds no aspects.
        RowError: a labelled text cannot be used.
        SettingError: a key is unknown, a value is not allowed, an aspect has neither words nor examples, there are too many, or
            labelled texts are too few, too many, or on other aspects.
    """
    if Path(path).suffix.lower() == ".toml":
        raw: Any = read_toml(path)
    else:
        try:
            raw = json.loads(decoded(Source(str(path)).read(), path))
        except ValueError as error:
            raise InputError(message("apps.no_aspects", path=path), found=str(error), allowed=_FORM) from None
    rows = raw.pop("rows", None) if isinstance(raw, dict) and not isinstance(raw.get("rows"), dict) else None
    if not isinstance(raw, dict) or not raw or not all(isinstance(values, dict) for values in raw.values()):
        raise InputError(message("apps.no_aspects", path=path), allowed=_FORM)
    if len(raw) > MOST_ASPECTS:
        raise SettingError(message("apps.many_aspects", path=path), found=len(raw), allowed=f"1 to {MOST_ASPECTS}")
    given = {}
    for name, values in raw.items():
        try:
            given[name] = Aspect.make(**{str(key): value for key, value in values.items()})
        except SettingError as error:
            raise SettingError(
                message("apps.aspect_wrong", path=path, name=name, what=error.what),
                found=error.found,
                allowed=error.allowed,
                hint=error.hint,
            ) from None
        if not rows and not any(word.strip() for word in (*given[name].words, *given[name].examples)):
            raise SettingError(message("apps.aspect_empty", path=path), found=name, allowed="words, examples")
    return Aspects.of(given, _labelled_texts(Path(path).parent / str(rows), given) if rows else ())


def _labelled_texts(path: Path, given: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the texts of a file with the aspects that each speaks of."""
    rows = read_rows(path, Classify(many=True))
    if not LEAST_ROWS <= len(rows) <= MOST_ROWS:
        allowed = f"{LEAST_ROWS} to {MOST_ROWS:,}"
        raise SettingError(message("apps.aspect_rows_count", path=path), found=len(rows), allowed=allowed)
    texts = []
    for row in rows:
        said: dict[str, str] = {}
        for name in row["labels"]:
            aspect, mark, label = name.rpartition(OF)
            if mark and aspect in given:
                said[aspect] = label
            elif name in given:
                said.setdefault(name, "")
            else:
                raise SettingError(message("apps.aspect_rows_other", path=path), found=name, allowed=sorted(given))
        texts.append((row["text"], said))
    return texts


_FORM = '{"price": {"title": {"en", "zh"}, "words": [...], "examples": [...]}}'
