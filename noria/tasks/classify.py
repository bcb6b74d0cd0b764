"""Classify: a text, or a pair of texts, gets one label or several. Rows {text, label} or {text, labels}, with {pair} if wanted.

A pair may also be a text and words of it: then the label is of what the text says of them, and a model reads the pair as
`about` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import InputError, RowError
from noria.core.messages import message

from .about import about, is_within
from .encode import encode_pair
from .measure import Measure, label_measures, labels_measures
from .task import Answer, Features, Head, Row, Task, field_text, labels_in, softmax
from .tokenizer import required


@dataclass(frozen=True)
class Classify(Task):
    """One label a text, by the head's highest logit; its confidence is the calibrated probability.

    With `many`, each label for itself: those whose probability is at least `least`.
    """

    name: ClassVar[str] = "classify"
    head: ClassVar[Head] = "sequence"
    columns: ClassVar[tuple[str, ...]] = ("text", "pair", "label", "labels")

    many: bool = False
    """Whether a text may have several labels, or none; training rows say so by their field `labels`."""
    by_mention: bool | None = None
    """Whether a pair is a text and a mention in it, words of which it is asked what the text says of them. Where None, training rows
    decide: where 19 in 20 have `places`, or a second text that stands in the first."""
    least: float = 0.5
    """Of many labels, the probability from which a text has one. Fitted on valid rows: a label that few rows have is seldom probable."""

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {text[, pair], label} or {text[, pair], labels}; without labels of its own the task takes any."""
        return {**self._inputs(row, file, line), **self._truth(row, file, line)}

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the token ids of a row or a bare text; two texts are joined as the tokenizer joins them."""
        if isinstance(row, str) or "pair" not in row:
            return super().features(tokenizer, row, max_length)
        read = self.as_read(row)
        return encode_pair(required(tokenizer), str(read["text"]), str(read["pair"]), max_length, prefix=self.prefix)

    def as_read(self, row: Mapping[str, Any]) -> Row:
        """Return a row with the texts that a model reads: of a mention the text with its mark, and the words near it."""
        if not self.by_mention or "pair" not in row:
            return dict(row)
        text, near = about(str(row["text"]), str(row["pair"]), row.get("places", ()))
        return {**row, "text": text, "pair": near}

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the text, or both."""
        return [row[name] for name in ("text", "pair") if name in row]

    def target(self, row: Row, features: Features) -> int | list[float]:
        """Return the label's place among `labels`; of many labels 1.0 for each that the text has, else 0.0."""
        if self.many:
            return [float(label in row["labels"]) for label in self.labels]
        return self.labels.index(row["label"])

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"label", "score", "scores": {label: probability}} for logits [labels]; of many labels "labels", a list.

        Where there is a companion, both answer together.
        """
        logits = np.asarray(output, dtype=np.float64) / self.temperature
        if self.companion is not None:
            logits = self.companion.fused(features, logits)
        if self.many:
            chances = softmax(np.stack([np.zeros(len(self.labels)), logits], axis=-1))[:, 1]
            scores = {label: float(score) for label, score in zip(self.labels, chances, strict=True)}
            return {"labels": [label for label, score in scores.items() if score >= self.least], "scores": scores}
        chances = softmax(logits)
        best = int(chances.argmax())
        return {
            "label": self.labels[best],
            "score": float(chances[best]),
            "scores": {label: float(score) for label, score in zip(self.labels, chances, strict=True)},
        }

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task with the labels of its training rows, of which a row has one, or all rows have lists.

        Raises:
            InputError: some rows have one label and some a list.
        """
        lists = sum("labels" in row for row in rows)
        if 0 < lists < len(rows):
            raise InputError(message("tasks.some_rows"), found=message("tasks.labels", lists=lists, rows=len(rows)))
        mentions = _are_mentions(rows) if self.by_mention is None else self.by_mention
        return replace(self, labels=self.labels or labels_in(rows), many=lists > 0, by_mention=mentions)

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return accuracy and macro F1; of many labels micro F1, macro F1 and how often all of them are right."""
        if rows and "labels" in rows[0]:
            return labels_measures([row["labels"] for row in rows], [answer["labels"] for answer in answers])
        return label_measures([row["label"] for row in rows], [answer["label"] for answer in answers])

    def _inputs(self, row: Mapping[str, object], file: str | Path, line: int) -> Row:
        names = ["text", *(["pair"] if "pair" in row else [])]
        read: Row = {name: field_text(row, name, file=file, line=line) for name in names}
        if "pair" in row and "places" in row:
            read["places"] = _places(row["places"], len(read["text"]), file, line)
        return read

    def _truth(self, row: Mapping[str, object], file: str | Path, line: int) -> Row:
        listed = "labels" in row and (self.many or "label" not in row)
        if not listed:
            label = field_text(row, "label", file=file, line=line)
            self._known([label], "label", file, line)
            return {"labels": [label]} if self.many else {"label": label}
        given = row["labels"]
        if not isinstance(given, list) or not all(isinstance(label, str) and label.strip() for label in given):
            raise RowError(
                message("tasks.list_labels"), file=file, line=line, field="labels", found=given, allowed='["a", "b"]'
            )
        if self.labels and not self.many:
            raise RowError(
                message("tasks.list_where"),
                file=file,
                line=line,
                field="labels",
                found=given,
                allowed=message("tasks.field_label"),
            )
        self._known(given, "labels", file, line)
        return {"labels": sorted(set(given))}

    def _known(self, labels: Sequence[str], field: str, file: str | Path, line: int) -> None:
        for label in labels:
            if self.labels and label not in self.labels:
                raise RowError(
                    message("tasks.unknown_label"), file=file, line=line, field=field, found=label, allowed=self.labels
                )


def _are_mentions(rows: Sequence[Row]) -> bool:
    """Return whether the second texts of rows are mentions: nearly all stand in the first."""
    if not rows or not all("pair" in row for row in rows):
        return False
    return sum("places" in row or is_within(row["text"], row["pair"]) for row in rows) >= 0.95 * len(rows)


def _places(given: object, length: int, file: str | Path, line: int) -> list[list[int]]:
    """Return where a mention stands in a text.

    Raises:
        RowError: it is no list of places within the text.
    """
    places = given if isinstance(given, list) else []
    if not places or not all(
        isinstance(one, list)
        and len(one) == 2
        and all(type(at) is int for at in one)
        and 0 <= one[0] < one[1] <= length
        for one in places
    ):
        allowed = message("tasks.mention_places", length=length)
        raise RowError(message("tasks.no_places"), file=file, line=line, field="places", found=given, allowed=allowed)
    return places
