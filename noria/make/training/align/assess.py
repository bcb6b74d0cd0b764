"""What held-out rows say of an aligned model, beside the tuned one that it began as: wins, reward, divergence, and what was forgotten.

Both models are one module, its adapter on or off, and answer the same rows; every difference is paired, with an interval from a
bootstrap over rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.make.evaluate.intervals import interval, paired
from noria.make.evaluate.predict import answer_rows
from noria.make.models.adapt import resting
from noria.make.tokens.batches import Batch, length_buckets
from noria.make.training.finetune.replay import forgetting
from noria.make.training.loop.result import Evaluation
from noria.make.training.objectives.scored_tokens import divergences, scored_states
from noria.tasks.chat import Chat
from noria.tasks.task import Row

from .drawing import Asked, answered, draw
from .objectives import Answers, both
from .rewards import Reward

TOKENS = 1024
"""Tokens of a pass."""
SOME = 16
"""Drawn answers of a pass."""


def ratios(module: nn.Module, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Return log probabilities of every row's answers under both models, (rows, answers) each."""
    count = len(answers.features[0])
    found = [np.zeros((len(answers.rows), count)) for _ in range(2)]
    with torch.no_grad():
        for numbers in length_buckets(answers.lengths, TOKENS, seed=0, epoch=0):
            batch = answers.collate(numbers).beside(module)
            for table, told in zip(found, both(module, batch), strict=True):
                table[numbers] = told[: count * len(numbers)].view(count, -1).T.cpu().numpy()
    return found[0], found[1]


@dataclass(frozen=True)
class PreferenceJudge:
    """Judges weights by the loss of held-out rows, as many of them as it is told."""

    answers: Answers
    method: str
    beta: float

    @property
    def rows(self) -> int:
        """Return how many rows judge."""
        return len(self.answers.rows)

    def of(self, rows: int) -> PreferenceJudge:
        """Return what judges by so many of the rows, evenly over all."""
        return PreferenceJudge(self.answers.some(rows), self.method, self.beta)

    def __call__(self, module: nn.Module) -> Evaluation:
        """Return what the rows say."""
        policy, reference = ratios(module, self.answers)
        above = self.beta * margins(policy - reference, self.answers)
        loss = float(np.logaddexp(0, -above).mean())
        return Evaluation(-loss, {"valid loss": loss, "reward margin": float(above.mean())})


def margins(ratio: np.ndarray, answers: Answers) -> np.ndarray:
    """Return by how much each row's log ratios speak for what was preferred (rows,): chosen over rejected, or liked over not."""
    if ratio.shape[1] == 2:
        return np.asarray(ratio[:, 0] - ratio[:, 1])
    signs = np.array([1.0 if row["label"] else -1.0 for row in answers.rows])
    return np.asarray(signs * ratio[:, 0])


@dataclass(frozen=True)
class RewardJudge:
    """Judges weights by the mean reward of the likeliest answers to held-out questions."""

    asked: Asked
    tokenizer: Tokenizer
    ends: frozenset[int]
    padding: int
    reward: Reward

    @property
    def rows(self) -> int:
        """Return how many questions judge."""
        return len(self.asked.rows)

    def of(self, rows: int) -> RewardJudge:
        """Return what judges by so many questions, evenly over all."""
        return RewardJudge(self.asked.some(rows), self.tokenizer, self.ends, self.padding, self.reward)

    def written(self, module: nn.Module) -> tuple[list[list[int]], list[list[int]]]:
        """Return every question and the likeliest answer to it, as ids."""
        prompts = [one.ids for one in self.asked.features]
        return prompts, draw(module, prompts, self.ends, self.padding, most=self.asked.room, temperature=0)

    def rewards(self, module: nn.Module) -> np.ndarray:
        """Return what the likeliest answer to each question is worth."""
        _, answers = self.written(module)
        texts = [self.tokenizer.decode(one, skip_special_tokens=True) for one in answers]
        return np.array([self.reward(row, text) for row, text in zip(self.asked.rows, texts, strict=True)])

    def __call__(self, module: nn.Module) -> Evaluation:
        """Return what they are worth."""
        found = float(self.rewards(module).mean())
        return Evaluation(found, {"reward": found})


def _mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _counts(values: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], 1)


def figure(name: Message, values: np.ndarray, source: str, *, unit: str = "") -> Figure:
    """Return the mean of one value a row, with its interval."""
    found = interval(_counts(values), _mean)
    return Figure(name, found.value, len(values), found.low, found.high, unit=unit, source=source)


def gain(name: Message, after: np.ndarray, before: np.ndarray, source: str) -> Figure:
    """Return by how much the mean is higher after than before, row by row."""
    found = paired(_counts(after), _counts(before), _mean)
    note = message("figures.paired_rows")
    return Figure(name, found.value, len(after), found.low, found.high, source=source, note=note)


def preference_figures(module: nn.Module, answers: Answers, beta: float, source: str) -> list[Figure]:
    """Return how often what was preferred is likelier, before and after, who wins row by row, and the implicit reward's margin.

    Of pairs, a row is won whose chosen answer is likelier than the rejected, a token of each counting the same. Of thumbs there is no
    other answer: a row is won where its answer became likelier if it was liked, and less likely if not.
    """
    policy, reference = ratios(module, answers)
    if policy.shape[1] == 2:
        sizes = np.array(
            [[sum(one >= 0 for one in told.meta["target_ids"]) for told in pair] for pair in answers.features]
        )
        after, before = ((margins(told / sizes, answers) > 0).astype(float) for told in (policy, reference))
        first = [
            figure(message("figures.preferred_before"), before, source),
            figure(message("figures.preferred_after"), after, source),
            gain(message("figures.preferred_gain"), after, before, source),
        ]
    else:
        moved = margins(policy - reference, answers)
        first = [figure(message("figures.moved_rightly"), np.where(moved == 0, 0.5, (moved > 0).astype(float)), source)]
    return [
        *first,
        figure(message("figures.reward_margin"), beta * margins(policy - reference, answers), source, unit="nats"),
    ]


def reward_figures(module: nn.Module, judge: RewardJudge, source: str) -> list[Figure]:
    """Return what the likeliest answers are worth before and after, the difference, and the share of questions that were won."""
    after = judge.rewards(module)
    with resting(module):
        before = judge.rewards(module)
    won = np.where(after == before, 0.5, (after > before).astype(float))
    return [
        figure(message("figures.reward_before"), before, source),
        figure(message("figures.reward_after"), after, source),
        gain(message("figures.reward_gain"), after, before, source),
        figure(message("figures.reward_wins"), won, source),
    ]


def divergence_figure(module: nn.Module, batches: Iterable[tuple[Batch, int]], source: str) -> Figure:
    """Return the divergence of the model from the one that it began as, KL(after || before), a token of held-out answers.

    Args:
        module: with its adapter on.
        batches: of each the rows, whose answers stand one kind after another; what follows the last of `answers` each is not looked at.
        source: of the rows.
    """
    sums: list[np.ndarray] = []
    for batch, answers in batches:
        with torch.no_grad():
            there = batch.beside(module)
            form, states, _, owners = scored_states(module, there)
            with resting(module):
                before = scored_states(module, there)[1]
            found, owners = divergences(module, form, states, before).cpu().double(), owners.cpu()
        own = owners < answers * len(batch.rows)
        table, rows = torch.zeros(len(batch.rows), 2, dtype=torch.float64), owners[own] % len(batch.rows)
        table[:, 0].index_add_(0, rows, found[own])
        table[:, 1].index_add_(0, rows, torch.ones_like(found[own]))
        sums.append(table.numpy())
    counts = np.concatenate(sums)
    told = interval(counts, _mean)
    return Figure(
        message("figures.divergence"), told.value, len(counts), told.low, told.high, unit="nats/token", source=source
    )


def batches_of(answers: Answers) -> Iterator[tuple[Batch, int]]:
    """Yield batches of judged answers, and how many answers a row has."""
    for numbers in length_buckets(answers.lengths, TOKENS, seed=0, epoch=0):
        yield answers.collate(numbers), len(answers.features[0])


def batches_drawn(module: nn.Module, judge: RewardJudge) -> Iterator[tuple[Batch, int]]:
    """Yield batches of the likeliest answers to questions, and 1, which a question has."""
    prompts, answers = judge.written(module)
    for start in range(0, len(prompts), SOME):
        part = slice(start, start + SOME)
        rows = list(range(len(prompts[part])))
        yield answered(prompts[part], answers[part], judge.padding, rows), 1


def forgetting_figures(
    task: Chat, module: nn.Module, tokenizer: Tokenizer, rows: Sequence[Row], max_length: int, source: str
) -> list[Figure]:
    """Return bits per byte of conversations before and after, and what was forgotten."""
    after = answer_rows(task, module, tokenizer, rows, max_length)
    with resting(module):
        before = answer_rows(task, module, tokenizer, rows, max_length)
    return forgetting(task, rows, before, after, source=source)
