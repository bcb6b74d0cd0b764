"""Answers drawn from a model as it is now, and what is learned of their rewards: GRPO.

    objective = Drawn(task, tokenizer, reward, settings)
    loss, tokens = objective(module, questions.collate(np.array([4, 7])))

Every step draws its own answers, with torch's own random numbers, whose state a checkpoint holds: a run that is killed and resumed
draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from noria.infer.device import moved, place_of
from noria.make.models.adapt import resting
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.objectives.scored_tokens import scored_tokens
from noria.tasks.chat import Chat
from noria.tasks.encode import Features
from noria.tasks.task import Row

from . import losses
from .objectives import batch_of
from .rewards import Reward
from .settings import AlignSettings

PASS = 16
"""Answers that are scored in one pass."""


@dataclass(frozen=True)
class Asked:
    """Questions as a model sees them."""

    rows: list[Row]
    features: list[Features]
    room: int
    """Tokens of an answer at most."""
    group: int

    @classmethod
    def of(
        cls, task: Chat, tokenizer: Tokenizer, rows: Sequence[Row], settings: AlignSettings, max_length: int
    ) -> Asked:
        """Encode questions, with room for an answer."""
        features = [
            task.features(tokenizer, {"messages": row["messages"]}, max(8, max_length - settings.max_tokens))
            for row in rows
        ]
        return cls(list(rows), features, settings.max_tokens, settings.group)

    @property
    def lengths(self) -> list[int]:
        """Return the tokens of all answers to each question, the question included."""
        return [self.group * (len(one.ids) + self.room) for one in self.features]

    def some(self, count: int) -> Asked:
        """Return so many at most, evenly over all."""
        size = len(self.rows)
        kept = [place * size // count for place in range(count)] if count < size else list(range(size))
        return replace(self, rows=[self.rows[one] for one in kept], features=[self.features[one] for one in kept])

    def collate(self, numbers: np.ndarray) -> Batch:
        """Return questions as a batch, for which answers are still to be drawn."""
        told = [self.features[number] for number in numbers]
        width = max(len(one.ids) for one in told)
        ids = torch.zeros(len(told), width, dtype=torch.long)
        for place, one in enumerate(told):
            ids[place, : len(one.ids)] = torch.tensor(one.ids)
        return Batch({"input_ids": ids}, [int(one) for one in numbers], sum(self.lengths[number] for number in numbers))


@dataclass(frozen=True)
class Drawn:
    """The objective of GRPO."""

    asked: Asked
    tokenizer: Tokenizer
    ends: frozenset[int]
    padding: int
    reward: Reward
    settings: AlignSettings

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        """Draw a group of answers to each question of a batch, and return the loss of their tokens, summed, and how many they are."""
        settings = self.settings
        numbers = [number for number in batch.rows for _ in range(settings.group)]
        prompts = [self.asked.features[number].ids for number in numbers]
        answers = draw(
            module, prompts, self.ends, self.padding, most=settings.max_tokens, temperature=settings.temperature
        )
        texts = [self.tokenizer.decode(one, skip_special_tokens=True) for one in answers]
        rewards = torch.tensor(
            [self.reward(self.asked.rows[number], text) for number, text in zip(numbers, texts, strict=True)]
        )
        advantages = losses.advantages_of(rewards, settings.group).to(place_of(module))
        beta = settings.beta_of("grpo")
        scored = answered(prompts, answers, self.padding, list(range(len(prompts)))).beside(module)
        costs, owners = scored_tokens(module, scored)
        reference = None
        if beta:
            with torch.no_grad(), resting(module):
                reference = -scored_tokens(module, scored)[0]
        found = losses.grpo(-costs, -costs.detach(), advantages[owners], reference, beta=beta)
        return found.sum(), len(found)


def answered(prompts: Sequence[list[int]], answers: Sequence[list[int]], padding: int, rows: list[int]) -> Batch:
    """Return prompts with answers behind them, of which the answers are scored."""
    told = [
        Features([*prompt, *answer], [], {"target_ids": [*[IGNORED] * len(prompt), *answer]})
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return batch_of(told, padding, rows)


@torch.no_grad()
def draw(
    module: nn.Module,
    prompts: Sequence[Sequence[int]],
    ends: frozenset[int],
    padding: int,
    *,
    most: int,
    temperature: float,
) -> list[list[int]]:
    """Return the tokens of an answer to every prompt, that which ends it included; drawn, or at temperature 0 the likeliest.

    Args:
        module: a causal model of transformers; its mode is left as it is.
        prompts: ids of each.
        ends: tokens that end an answer.
        padding: id that fills up short prompts, before them.
        most: tokens of an answer.
        temperature: of the draw.
    """
    training, found = module.training, list[list[int]]()
    module.eval()
    settings: dict[str, Any] = (
        {"do_sample": False}
        if temperature == 0
        else {
            "do_sample": True,
            "temperature": temperature,
            "top_k": 0,
            "top_p": 1.0,
        }
    )
    try:
        for start in range(0, len(prompts), PASS):
            some = prompts[start : start + PASS]
            width = max(map(len, some))
            ids, mask = torch.full((len(some), width), padding), torch.zeros(len(some), width, dtype=torch.long)
            for place, prompt in enumerate(some):
                ids[place, width - len(prompt) :] = torch.tensor(prompt)
                mask[place, width - len(prompt) :] = 1
            written = cast(Any, module).generate(
                **moved({"input_ids": ids, "attention_mask": mask}, place_of(module)),
                max_new_tokens=most,
                eos_token_id=sorted(ends) or None,
                pad_token_id=padding,
                num_beams=1,
                repetition_penalty=1.0,
                **settings,
            )
            for answer in written[:, width:].cpu().tolist():
                stop = next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))
                found.append(answer[:stop])
    finally:
        module.train(training)
    return found
