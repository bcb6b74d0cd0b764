"""Classify: a text gets one label. Rows {text, label}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from noria.core.errors import RowError

from .measure import accuracy, macro_f1
from .task import Answer, Features, Head, Row, Task, field_text, softmax


@dataclass(frozen=True)
class Classify(Task):
    """One label a text, by the head's highest logit; its confidence is the calibrated probability."""

    name: ClassVar[str] = "classify"
    head: ClassVar[Head] = "sequence"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {text, label}; without labels of its own the task takes any."""
        text = field_text(row, "text", file=file, line=line)
        label = field_text(row, "label", file=file, line=line)
        if self.labels and label not in self.labels:
            raise RowError("unknown label", file=file, line=line, field="label", found=label, allowed=self.labels)
        return {"text": text, "label": label}

    def target(self, row: Row, features: Features) -> int:
        """Return the label's place among `labels`."""
        return self.labels.index(row["label"])

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"label", "score", "scores": {label: probability}} for logits [labels]."""
        scores = softmax(output, self.temperature)
        best = int(scores.argmax())
        return {
            "label": self.labels[best],
            "score": float(scores[best]),
            "scores": {label: float(score) for label, score in zip(self.labels, scores, strict=True)},
        }

    def measures(self, rows: Sequence[Row], answers: Sequence[Answer]) -> dict[str, float]:
        """Return accuracy and macro-averaged F1."""
        truth = [row["label"] for row in rows]
        said = [answer["label"] for answer in answers]
        return {"accuracy": accuracy(truth, said), "macro_f1": macro_f1(truth, said)}
