"""Complete: a causal model goes on from a prompt; how its next token is drawn, and how well it predicts a text. Rows {text}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import InputError
from noria.core.messages import message

from .encode import encode
from .measure import Measure, ratio
from .task import Answer, Features, Head, Row, Task, field_text, softmax
from .tokenizer import required

_FIRST = 256
"""Tokens that are sorted before all of them are."""


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
    presence_penalty: float = 0.0
    """Taken once from the logit of every token that the completion holds already."""
    frequency_penalty: float = 0.0
    """Taken from the logit of a token as often as the completion holds it already."""
    logprobs: int = -1
    """Tell the log probability of every drawn token, and of this many likeliest ones; -1: tell none."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0, 2),
            ("top_p", 0, 1),
            ("top_k", 0, 1_000_000),
            ("max_tokens", 1, 1_000_000),
            ("repetition_penalty", 0.5, 2),
            ("presence_penalty", -2, 2),
            ("frequency_penalty", -2, 2),
            ("logprobs", -1, 20),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    message("tasks.out_range", name=name), found=value, allowed=message("tasks.to", low=low, high=high)
                )


@dataclass(frozen=True)
class Complete(Task):
    """Text goes on from text."""

    name: ClassVar[str] = "complete"
    head: ClassVar[Head] = "causal"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {text}."""
        return {"text": field_text(row, "text", file=file, line=line)}

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the ids of a prompt; of a long one the end is kept, for that is what the model goes on from."""
        text = row if isinstance(row, str) else str(row["text"])
        return encode(required(tokenizer), text, max_length, prefix=self.prefix, keep="right")

    def target(self, row: Row, features: Features) -> list[int]:
        """Return the ids themselves: the objective shifts them by one."""
        return list(features.ids)

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"bits", "bytes"}: what the text costs under the model, the first token left out, for logits [T, vocabulary] or costs [T - 1]."""
        start = min((begin for begin, end in features.offsets[1:] if end > begin), default=0)
        spent = bits(output, np.arange(len(features.ids) - 1), features.ids[1:], self.temperature)
        return {"bits": spent, "bytes": len(features.meta["text"][start:].encode())}

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return bits per byte, fair across vocabularies and languages; lower is better."""
        return [bits_per_byte(answers)]


def bits(output: np.ndarray, places: np.ndarray, tokens: Sequence[int] | np.ndarray, temperature: float) -> float:
    """Return what tokens cost, for the logits [T, vocabulary] before them at `places`, or for their costs in nats, one each."""
    if output.ndim == 1:
        return float(np.sum(output, dtype=np.float64) / np.log(2))
    told = softmax(output[places], temperature)[np.arange(len(places)), np.asarray(tokens)]
    return float(-np.log2(told + 1e-300).sum())


def bits_per_byte(answers: Sequence[Answer]) -> Measure:
    """Return what texts cost under a model, from answers {"bits", "bytes"}."""
    counts = np.array([(answer["bits"], answer["bytes"]) for answer in answers], dtype=np.float64).reshape(-1, 2)
    return Measure("bits per byte", counts, ratio, unit="bits/byte", lower_is_better=True)


@dataclass(frozen=True)
class SampledToken:
    """One token of a completion."""

    token: int
    logprob: float = 0.0
    """Natural logarithm of its probability under the model, before temperature and cuts; 0 where it was not asked for."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens with theirs, as many as were asked for."""


def draw(
    logits: np.ndarray, sampling: Sampling, random: np.random.Generator, prompt: Sequence[int], generated: Sequence[int]
) -> SampledToken:
    """Return the next token for logits [vocabulary] after a prompt and what was said since, with what was asked of it."""
    scores = np.asarray(logits)
    if generated and (sampling.presence_penalty or sampling.frequency_penalty):
        tokens, counts = np.unique(np.asarray(generated), return_counts=True)
        scores = scores.astype(np.float64)
        scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts
    token = next_token(scores, sampling, random, [*prompt, *generated] if sampling.repetition_penalty != 1.0 else ())
    if sampling.logprobs < 0:
        return SampledToken(token)
    plain = np.asarray(logits, dtype=np.float64)
    highest = plain.max()
    told = plain - highest - np.log(np.exp(plain - highest).sum())
    top = _largest(told, sampling.logprobs)
    return SampledToken(token, float(told[token]), tuple((int(one), float(told[one])) for one in top))


def next_token(logits: np.ndarray, sampling: Sampling, random: np.random.Generator, before: Sequence[int] = ()) -> int:
    """Return the drawn token for logits [vocabulary]; `before` are the tokens already there."""
    if sampling.temperature < 1e-3 and (sampling.repetition_penalty == 1.0 or not len(before)):
        return int(np.argmax(logits))  # nothing is copied: of many texts in a step that would take longer than the step
    scores = np.array(logits, dtype=np.float64)
    if sampling.repetition_penalty != 1.0 and len(before):
        seen = np.unique(np.asarray(before))
        scores[seen] = np.where(
            scores[seen] > 0, scores[seen] / sampling.repetition_penalty, scores[seen] * sampling.repetition_penalty
        )
    if sampling.temperature < 1e-3:
        return int(scores.argmax())
    probabilities = softmax(scores, sampling.temperature)
    order = _likeliest(probabilities, sampling)
    kept = probabilities[order]
    sums = np.cumsum(kept)
    place = int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
    return int(order[min(place, len(order) - 1)])


def _likeliest(probabilities: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return the tokens that may be drawn, the likeliest first."""
    size, whole = len(probabilities), 1.0
    if sampling.top_k:
        order = _largest(probabilities, min(sampling.top_k, size))
        whole = float(probabilities[order].sum())
    elif sampling.top_p >= 1:
        return np.arange(size)
    else:
        # To sort a whole vocabulary takes longer than a small model's step; what top_p keeps is nearly always in front.
        order = _largest(probabilities, min(_FIRST, size))
        if probabilities[order].sum() < sampling.top_p:
            order = _largest(probabilities, size)
    # The token that crosses top_p is kept, so at least one always is.
    return order[: int(np.searchsorted(np.cumsum(probabilities[order]), sampling.top_p * whole, side="left")) + 1]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the largest values, the largest first, equal ones in their order."""
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    least = np.partition(values, len(values) - count)[len(values) - count] if count else np.inf
    places = np.flatnonzero(values >= least)
    return places[np.argsort(-values[places], kind="stable")][:count]
