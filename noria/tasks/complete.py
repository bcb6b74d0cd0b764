"""Complete: a causal model goes on from a prompt; how its next token is drawn, and how well it foretells a text. Rows {text}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import InputError

from .encode import encode
from .measure import Measure, ratio
from .task import Answer, Features, Head, Row, Task, field_text, softmax


@dataclass(frozen=True)
class Sampling:
    """How to draw the next token. The bounds are those of the OpenAI API, except that `top_k` is added."""

    temperature: float = 0.8
    """Below 0.001 the likeliest token is taken."""
    top_p: float = 0.95
    """Draw only from the likeliest tokens that together have this probability (Holtzman et al. 2020)."""
    top_k: int = 0
    """Draw only from this many likeliest tokens; 0: from all."""
    max_tokens: int = 128
    seed: int = 0
    repetition_penalty: float = 1.0
    """Divides the positive and multiplies the negative logits of tokens already there (Keskar et al. 2019)."""

    def __post_init__(self) -> None:
        for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("top_k", 0, 1_000_000),
                                ("max_tokens", 1, 1_000_000), ("repetition_penalty", 0.5, 2)):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is out of range", found=value, allowed=f"{low} to {high}")


@dataclass(frozen=True)
class Complete(Task):
    """Text goes on from text."""

    name: ClassVar[str] = "complete"
    head: ClassVar[Head] = "causal"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {text}."""
        return {"text": field_text(row, "text", file=file, line=line)}

    def features(self, tokenizer: Tokenizer, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the ids of a prompt; of a long one the end is kept, for that is what the model goes on from."""
        text = row if isinstance(row, str) else str(row["text"])
        return encode(tokenizer, text, max_length, prefix=self.prefix, keep="right")

    def target(self, row: Row, features: Features) -> list[int]:
        """Return the ids themselves: the objective shifts them by one."""
        return list(features.ids)

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"bits", "bytes"}: what the text costs under the model, the first token left out, for logits [T, vocabulary]."""
        chances = softmax(output[:-1], self.temperature)
        told = chances[np.arange(len(features.ids) - 1), features.ids[1:]]
        start = min((begin for begin, end in features.offsets[1:] if end > begin), default=0)
        return {"bits": float(-np.log2(told + 1e-300).sum()), "bytes": len(features.meta["text"][start:].encode())}

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return bits per byte, fair across vocabularies and languages; lower is better."""
        return [bits_per_byte(answers)]


def bits_per_byte(answers: Sequence[Answer]) -> Measure:
    """Return what texts cost under a model, from answers {"bits", "bytes"}."""
    counts = np.array([(answer["bits"], answer["bytes"]) for answer in answers], dtype=np.float64).reshape(-1, 2)
    return Measure("bits per byte", counts, ratio, unit="bits/byte", lower_is_better=True)


def next_token(logits: np.ndarray, sampling: Sampling, random: np.random.Generator, before: Sequence[int] = ()) -> int:
    """Return the drawn token for logits [vocabulary]; `before` are the tokens already there."""
    scores = np.array(logits, dtype=np.float64)
    if sampling.repetition_penalty != 1.0 and len(before):
        seen = np.unique(np.asarray(before))
        scores[seen] = np.where(
            scores[seen] > 0, scores[seen] / sampling.repetition_penalty, scores[seen] * sampling.repetition_penalty
        )
    if sampling.temperature < 1e-3:
        return int(scores.argmax())
    chances = softmax(scores, sampling.temperature)
    order = np.argsort(-chances, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    sums = np.cumsum(chances[order])
    # The token that crosses top_p is kept, so at least one always is.
    order = order[: int(np.searchsorted(sums, sampling.top_p * sums[-1], side="left")) + 1]
    kept = chances[order]
    return int(random.choice(order, p=kept / kept.sum()))
