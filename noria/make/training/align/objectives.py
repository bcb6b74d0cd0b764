"""Batches of judged answers, and the loss of each: pairs for DPO, thumbs for KTO.

    answers = Answers.of(task, tokenizer, rows, "dpo", max_length)
    objective = preference("dpo", settings)
    loss, pairs = objective(module, answers.collate(np.array([0, 3])))

The reference is the same module with its adapter off, for the time of a pass without slopes: nothing is held twice. B answers of a
batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from noria.make.models.adapt import resting
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.finetune.examples import filled
from noria.make.training.objectives.scored_tokens import scored_tokens
from noria.tasks.chat import Chat
from noria.tasks.encode import Features
from noria.tasks.task import Row

from . import losses
from .settings import AlignSettings

Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]


@dataclass(frozen=True)
class Answers:
    """Rows as a model sees them: of each one answer or two behind its conversation."""

    rows: list[Row]
    features: list[list[Features]]
    """Chosen and rejected, or the one that was judged."""
    padding: int

    @classmethod
    def of(cls, task: Chat, tokenizer: Tokenizer, rows: Sequence[Row], max_length: int, padding: int) -> Answers:
        """Encode rows of pairs or of thumbs; only the answers are scored."""
        last = Chat(template=task.template, begin=task.begin, end=task.end, turns="last")
        found = [
            [last.features(tokenizer, conversation(row, row[name]), max_length) for name in names_of(row)]
            for row in rows
        ]
        return cls(list(rows), found, padding)

    @property
    def lengths(self) -> list[int]:
        """Return the tokens of all answers of each row, filling included."""
        return [max(len(one.ids) for one in pair) * len(pair) for pair in self.features]

    def some(self, count: int) -> Answers:
        """Return so many rows at most, evenly over all."""
        size = len(self.rows)
        kept = [place * size // count for place in range(count)] if count < size else list(range(size))
        return replace(self, rows=[self.rows[one] for one in kept], features=[self.features[one] for one in kept])

    def collate(self, numbers: np.ndarray) -> Batch:
        """Return rows' answers, the chosen ones before the rejected; of thumbs `liked`, and as many answers to other questions."""
        told = self._answers(numbers)
        # Of another length than the rest: rows are compared, and not parted.
        more: dict[str, Any] = {"pairs": torch.arange(len(numbers))}
        if len(told) == len(numbers):
            more = {"liked": torch.tensor([self.rows[number]["label"] for number in numbers])}
            told += [self._mismatched(int(number)) for number in numbers]
        return batch_of(told, self.padding, [int(one) for one in numbers], more)

    def judged(self, numbers: np.ndarray) -> Batch:
        """Return rows' own answers alone, the chosen ones before the rejected."""
        return batch_of(self._answers(numbers), self.padding, [int(one) for one in numbers])

    def _answers(self, numbers: np.ndarray) -> list[Features]:
        chosen = [self.features[number] for number in numbers]
        return [pair[place] for place in range(len(chosen[0])) for pair in chosen]

    def _mismatched(self, number: int) -> Features:
        """Return a row's conversation with the answer of the row after it."""
        own, other = self.features[number][0], self.features[(number + 1) % len(self.rows)][0]
        start, begun = _first(own), _first(other)
        ids, targets = (
            own.ids[:start] + other.ids[begun:],
            own.meta["target_ids"][:start] + other.meta["target_ids"][begun:],
        )
        return Features(ids, [], {"target_ids": targets})


def names_of(row: Row) -> tuple[str, ...]:
    """Return the fields of a row that hold its answers."""
    return ("chosen", "rejected") if "chosen" in row else ("completion",)


def conversation(row: Row, answer: str) -> Row:
    """Return a row of chat: a conversation with an answer behind it."""
    return {"messages": [*row["messages"], {"role": "assistant", "content": answer}]}


def _first(features: Features) -> int:
    return next((place for place, one in enumerate(features.meta["target_ids"]) if one != IGNORED), len(features.ids))


def batch_of(answers: Sequence[Features], padding: int, rows: list[int], more: dict[str, Any] | None = None) -> Batch:
    """Return conversations as a batch of `scored_tokens`."""
    width = max(len(one.ids) for one in answers)
    targets = filled([one.meta["target_ids"] for one in answers], IGNORED, width + 1)[:, 1:]
    tensors = {
        "input_ids": torch.from_numpy(filled([one.ids for one in answers], padding, width)),
        "targets": torch.from_numpy(np.ascontiguousarray(targets)),
    }
    return Batch({**tensors, **(more or {})}, rows, sum(len(one.ids) for one in answers))


def log_probabilities(module: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the log probability of what is scored of every answer of a batch (B,)."""
    costs, owners = scored_tokens(module, batch)
    return -costs.new_zeros(len(batch.tensors["input_ids"])).index_add(0, owners, costs)


def both(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log probabilities under the model that learns and under the reference (B,) each."""
    policy = log_probabilities(module, batch)
    with torch.no_grad(), resting(module):
        return policy, log_probabilities(module, batch)


def preference(method: str, settings: AlignSettings) -> Objective:
    """Return the loss of pairs (dpo) or of thumbs (kto), summed, and how many there were."""
    beta = settings.beta_of(method)
    if method == "dpo":
        return partial(_dpo, beta=beta)
    return partial(_kto, settings=settings, beta=beta)


def _dpo(module: nn.Module, batch: Batch, *, beta: float) -> tuple[torch.Tensor, float]:
    found = losses.dpo(*both(module, batch), beta=beta)
    return found.sum(), len(found)


def _kto(module: nn.Module, batch: Batch, *, settings: AlignSettings, beta: float) -> tuple[torch.Tensor, float]:
    liked = batch.tensors["liked"].bool()
    count = len(liked)
    own, others = (
        Batch({name: batch.tensors[name][part] for name in ("input_ids", "targets")}, batch.rows, batch.tokens)
        for part in (slice(0, count), slice(count, None))
    )
    with torch.no_grad():
        drift = losses.drift_of(*both(module, others))
    found = losses.kto(
        *both(module, own),
        liked,
        drift,
        beta=beta,
        liked_weight=settings.liked_weight,
        disliked_weight=settings.disliked_weight,
    )
    return found.sum(), count
