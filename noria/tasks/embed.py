"""Embed: a text becomes a vector of length one, near those of texts that mean the same. Rows {anchor, positive[, negative]}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from noria.core.errors import SettingError

from .task import IGNORED, Answer, Features, Head, Row, Task, field_text


@dataclass(frozen=True)
class Embed(Task):
    """Vectors by pooling the last hidden states over all tokens (mean) or taking the first token's (cls), then scaling to 1."""

    name: ClassVar[str] = "embed"
    head: ClassVar[Head] = "embedding"

    def __post_init__(self) -> None:
        if self.pooling not in ("cls", "mean"):
            raise SettingError("unknown pooling", found=self.pooling, allowed=("cls", "mean"))

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {anchor, positive} and negative where there is one."""
        names = ["anchor", "positive", *(["negative"] if "negative" in row else [])]
        return {name: field_text(row, name, file=file, line=line) for name in names}

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return anchor and positive, and the negative where there is one."""
        return [row[name] for name in ("anchor", "positive", "negative") if name in row]

    def target(self, row: Row, features: Features) -> int:
        """Return `IGNORED`: pairs are scored against each other, not against a class."""
        return IGNORED

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"embedding": [width numbers]} for last hidden states [T, width]."""
        states = np.asarray(output, dtype=np.float64)
        vector = states[0] if self.pooling == "cls" else states.mean(axis=0)
        return {"embedding": (vector / max(float(np.linalg.norm(vector)), 1e-12)).tolist()}

    def measures(self, rows: Sequence[Row], answers: Sequence[Answer]) -> dict[str, float]:
        """Return how often a row's positive is nearest to its anchor among all positives, and the mean reciprocal rank.

        Each answer holds "anchor" and "positive", both as `answer` returns them.
        """
        anchors = np.array([answer["anchor"]["embedding"] for answer in answers])
        positives = np.array([answer["positive"]["embedding"] for answer in answers])
        nearness = anchors @ positives.T
        ranks = (nearness > np.diag(nearness)[:, None]).sum(axis=1) + 1
        return {"recall_at_1": float(np.mean(ranks == 1)), "mean_reciprocal_rank": float(np.mean(1.0 / ranks))}
