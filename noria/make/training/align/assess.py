"""What held-out rows say of an aligned model, beside the tuned one that it began as: wins, reward, divergence, and what was forgotten.

Both models are one module, its adapter on or off, and answer the same rows; every difference is paired, with an interval from a
bootstrap over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.machine import computing
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
from .objectives import Answers, conversation, log_probabilities, names_of
from .rewards import Reward

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = 1024
"""Tokens of a pass."""
SOME = 16
"""Drawn answers of a pass."""


def log_probabilities_of(module: nn.Module, answers: Answers) -> np.ndarray:
    """Return log probabilities of every row's answers (rows, answers)."""
    count = len(answers.features[0])
    found = np.zeros((len(answers.rows), count))
    with torch.no_grad():
        for numbers in length_buckets(answers.lengths, TOKENS, seed=0, epoch=0):
            told = log_probabilities(module, answers.judged(numbers).beside(module))
            found[numbers] = told.view(count, -1).T.cpu().numpy()
    return found


@dataclass(frozen=True)
class Beside:
    """What two models say of judged answers."""

    after: np.ndarray
    """Log probabilities (rows, answers) under the aligned model."""
    before: np.ndarray
    """Under the one that it began as."""
    divergence: np.ndarray
    """Of every row the sum of divergences of its answers' tokens in nats, and how many these are (rows, 2)."""


def beside(module: nn.Module, answers: Answers) -> Beside:
    """Return what a model says of judged answers with its adapter on and off, each read once."""
    count, rows = len(answers.features[0]), len(answers.rows)
    logs, apart = np.zeros((2, rows, count)), np.zeros((rows, 2))
    for numbers in length_buckets(answers.lengths, TOKENS, seed=0, epoch=0):
        batch = answers.judged(numbers)
        owners, found, *costs = _pass(module, batch, costly=True)
        for table, told in zip(logs, costs, strict=True):
            table[numbers] = -np.bincount(owners, told, count * len(numbers)).reshape(count, -1).T
        apart[numbers] = _by_row(owners % len(numbers), found, len(numbers))
    return Beside(logs[0], logs[1], apart)


def _pass(module: nn.Module, batch: Batch, *, costly: bool) -> list[np.ndarray]:
    """Return the owner of every scored token of a batch (N,) and its divergence (N,); `costly`: what it costs after and before, too."""
    with torch.no_grad():
        there = batch.beside(module)
        form, states, wanted, owners = scored_states(module, there)
        with resting(module):
            before = scored_states(module, there)[1]
        found = [owners, divergences(module, form, states, before)]
        if costly:
            model = cast("PreTrainedModel", module)
            with computing("fp32"):
                found += [form.costs(model, one, wanted, one.dtype) for one in (states, before)]
    return [one.cpu().double().numpy() if one.is_floating_point() else one.cpu().numpy() for one in found]


def _by_row(rows: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.bincount(rows, values, count), np.bincount(rows, minlength=count)], 1)


@dataclass(frozen=True)
class PreferenceJudge:
    """Judges weights by the loss of held-out rows, as many of them as it is told.

    The model that they began as does not change: what it says is found out once.
    """

    answers: Answers
    method: str
    beta: float
    known: dict[int, np.ndarray] = field(default_factory=dict)
    """Rows that judge -> their log probabilities under the model before."""

    @property
    def rows(self) -> int:
        """Return how many rows judge."""
        return len(self.answers.rows)

    def of(self, rows: int) -> PreferenceJudge:
        """Return what judges by so many of the rows, evenly over all."""
        return PreferenceJudge(self.answers.some(rows), self.method, self.beta, self.known)

    def __call__(self, module: nn.Module) -> Evaluation:
        """Return what the rows say."""
        before = self.known.get(self.rows)
        if before is None:
            with resting(module):
                before = self.known[self.rows] = log_probabilities_of(module, self.answers)
        above = self.beta * margins(log_probabilities_of(module, self.answers) - before, self.answers)
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


def preference_figures(compared: Beside, answers: Answers, beta: float, source: str) -> list[Figure]:
    """Return how often what was preferred is likelier, before and after, who wins row by row, and the implicit reward's margin.

    Of pairs, a row is won whose chosen answer is likelier than the rejected, a token of each counting the same. Of thumbs there is no
    other answer: a row is won where its answer became likelier if it was liked, and less likely if not.
    """
    policy, reference = compared.after, compared.before
    if policy.shape[1] == 2:
        sizes = np.array(
            [[sum(one >= 0 for one in each.meta["target_ids"]) for each in pair] for pair in answers.features]
        )
        after, before = ((margins(logs / sizes, answers) > 0).astype(float) for logs in (policy, reference))
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
        divergence_of(compared.divergence, source),
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


def divergence_of(counts: np.ndarray, source: str) -> Figure:
    """Return the divergence of the model from the one that it began as, KL(after || before), a token of answers: of sums and counts a row."""
    told = interval(counts, _mean)
    return Figure(
        message("figures.divergence"), told.value, len(counts), told.low, told.high, unit="nats/token", source=source
    )


def divergence_drawn(module: nn.Module, judge: RewardJudge, source: str) -> Figure:
    """Return the divergence of the model from the one that it began as, a token of the likeliest answers to questions."""
    prompts, answers = judge.written(module)
    found = []
    for start in range(0, len(prompts), SOME):
        part = slice(start, start + SOME)
        count = len(prompts[part])
        batch = answered(prompts[part], answers[part], judge.padding, list(range(count)))
        owners, apart = _pass(module, batch, costly=False)
        found.append(_by_row(owners, apart, count))
    return divergence_of(np.concatenate(found), source)


def forgetting_figures(
    task: Chat, module: nn.Module, tokenizer: Tokenizer, rows: Sequence[Row], max_length: int, source: str
) -> list[Figure]:
    """Return bits per byte of conversations before and after, and what was forgotten."""
    after = answer_rows(task, module, tokenizer, rows, max_length)
    with resting(module):
        before = answer_rows(task, module, tokenizer, rows, max_length)
    return forgetting(task, rows, before, after, source=source)


def forgetting_of(task: Chat, compared: Beside, answers: Answers, source: str) -> list[Figure]:
    """Return bits per byte of the answers that were preferred, before and after, and what was forgotten: nothing is read anew."""
    liked = [place for place, row in enumerate(answers.rows) if row.get("label", True)]
    rows = [conversation(answers.rows[place], answers.rows[place][names_of(answers.rows[place])[0]]) for place in liked]
    sizes = [max(1, len(row["messages"][-1]["content"].encode())) for row in rows]
    before, after = (
        [{"bits": -float(logs[place, 0]) / np.log(2), "bytes": size} for place, size in zip(liked, sizes, strict=True)]
        for logs in (compared.before, compared.after)
    )
    return forgetting(task, rows, before, after, source=source)
