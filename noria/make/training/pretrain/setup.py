"""What every objective of pretraining brings to the loop, and how its first weights come to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.make.evaluate.intervals import interval, paired
from noria.make.evaluate.mixture import Mixture
from noria.make.evaluate.ngram import NgramModel
from noria.make.models.load import Head, load
from noria.make.tokens.batches import BatchSource
from noria.make.training.finetune.prepare import check_trained_and_written
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import PretrainSettings
from noria.tasks.padding import usable_length

from .material import Material
from .start import xavier

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WATCHED = 120
"""Valid documents predicted during training, for the curve."""


@dataclass(frozen=True)
class Companion:
    """An n-gram that predicts together with a causal model."""

    ngram: NgramModel
    mixture: Mixture
    figures: list[Figure]
    """Of both together on the test documents, and by how much they are better than each."""


@dataclass(frozen=True)
class Judged:
    """What the test documents say."""

    metrics: list[Figure]
    """Of the model alone."""
    baselines: list[Figure]
    companion: Companion | None = None
    forgetting: Sequence[Figure] = ()
    """What is still known of text to keep."""


class Setup(Protocol):
    """An objective and all that goes with it."""

    task: str
    """What the model folder is said to be for."""
    unit: str
    """Of the curve on valid documents."""

    def model(self) -> PreTrainedModel:
        """Return a new model with weights drawn by the seed, or the base."""
        ...

    def batches(self) -> BatchSource:
        """Return the batches of the training text."""
        ...

    @property
    def objective(self) -> Objective:
        """Return the loss."""
        ...

    @property
    def watched(self) -> int:
        """Return how many valid documents, or windows of them, there are to sample."""
        ...

    def watch(self, model: nn.Module, rows: int) -> float:
        """Return the loss on a sample of so many valid documents, or windows of them, in `unit`."""
        ...

    @property
    def tested(self) -> float:
        """Return how many times as much text as a watched document or window holds is judged at the end."""
        ...

    @property
    def baselines(self) -> Mapping[str, Any]:
        """Return by name what baselines come to on every test document; computed when it is first asked for."""
        ...

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0, base: nn.Module | None = None) -> Judged:
        """Return what a share of the test documents, evenly over all, says of the model, and of baselines on the same.

        The model's first and the baselines' last compare. Beside the base that it began as, the same documents tell what was
        gained, and text to keep what was forgotten.
        """
        ...


def drawn(
    make: Callable[[], PreTrainedModel], settings: PretrainSettings, head: Head, material: Material
) -> PreTrainedModel:
    """Return the base with rows for new tokens, or a new model with its matrices drawn as asked; either by the seed."""
    if settings.model.base is not None:
        module, _ = load(settings.model.base, head, seed=settings.seed)
        if material.vocab_size > module.config.get_text_config().vocab_size:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                module.resize_token_embeddings(material.vocab_size, mean_resizing=False)
        longest = usable_length(module.config)
        context, _ = lengths(settings)
        if longest is not None and context > longest:
            raise SettingError(
                message("make.context_longer"), found=context, allowed=message("make.up", longest=longest)
            )
        check_trained_and_written(module, head)
        return module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = make()
        if settings.model.start == "xavier":
            xavier(module)
        return module


def gained(first: Figure, before: np.ndarray, after: np.ndarray, sizes: np.ndarray) -> list[Figure]:
    """Return what a base's predictions of the same documents cost, and by how much less they do now, document by document.

    Args:
        first: the figure of what they cost now.
        before, after: what each document costs (documents,).
        sizes: what that is a share of: bytes, or tokens.
    """
    measure = term(first.name)
    then = _cost(message("figures.by_base", measure=measure), before, sizes, first)
    return [then, _less(message("figures.below_base", measure=measure), before, after, sizes, first)]


def forgotten(first: Figure, before: np.ndarray, after: np.ndarray, sizes: np.ndarray, source: str) -> list[Figure]:
    """Return what text to keep costs before and after, and what was forgotten: by how much more; arguments as of `gained`."""
    measure, first = term(first.name), replace(first, source=source)
    return [
        _cost(message("figures.kept_before", measure=measure), before, sizes, first),
        _cost(message("figures.kept_after", measure=measure), after, sizes, first),
        _less(message("figures.forgotten", measure=measure), after, before, sizes, first),
    ]


def _cost(name: str, costs: np.ndarray, sizes: np.ndarray, like: Figure) -> Figure:
    found = interval(np.stack([costs, sizes], axis=1), _ratio)
    return Figure(name, found.value, len(costs), found.low, found.high, unit=like.unit, source=like.source)


def _less(name: str, more: np.ndarray, less: np.ndarray, sizes: np.ndarray, like: Figure) -> Figure:
    found = paired(np.stack([more, sizes], axis=1), np.stack([less, sizes], axis=1), _ratio)
    note = message("figures.paired_documents")
    return Figure(name, found.value, len(more), found.low, found.high, like.unit, like.source, note=note)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / sums[:, 1])


def evenly(count: int, share: float) -> np.ndarray:
    """Return the places of a share of `count`, evenly over all."""
    return np.unique(np.linspace(0, count - 1, max(1, math.ceil(share * count))).astype(int))


def lengths(settings: PretrainSettings) -> tuple[int, int]:
    """Return the context and the tokens of a step, which have been chosen."""
    assert settings.context is not None
    assert settings.tokens_per_step is not None
    return settings.context, settings.tokens_per_step


def parameters(settings: PretrainSettings) -> int:
    """Return the size of the model, which has been chosen."""
    assert settings.model.parameters is not None
    return settings.model.parameters


def is_new_llama(settings: PretrainSettings) -> bool:
    """Return whether a Llama is made from nothing."""
    model = settings.model
    return settings.objective == "causal" and model.architecture == "transformer" and model.base is None


def tied(settings: PretrainSettings) -> bool:
    """Return whether input and output embeddings of a new Llama are one."""
    return settings.model.start != "unigram"
