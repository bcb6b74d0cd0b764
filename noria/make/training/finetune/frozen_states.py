"""What layers that do not learn make of the texts, computed once and kept: a later epoch costs only the layers above.

With the lowest 8 of 12 layers frozen, a step from kept states takes about a third of the time. States are computed when a
text is first asked for, in the batch that holds it in the first epoch, so that learning begins at once. They lie in a file
of width x 2 bytes a token (4 in fp32) without a name, so that the room is free again when the run ends or is killed. A run
that is resumed computes what it needs again, in the same batches: the same bits.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from noria.make.kernels import bert
from noria.make.tokens.batches import Batch, length_buckets
from noria.make.training.parallel.processes import world_size
from noria.make.training.settings import FinetuneSettings
from noria.tasks.task import Features, Task

from .examples import Examples

if TYPE_CHECKING:
    from transformers import BertModel

ROOM = 0.5
"""Largest share of the free disk that is taken."""
SLOW = 1000
"""Tokens a second that any machine trains: fewer rows than it would see in the time budget are seen several times."""


def with_frozen_states(
    collate: Callable[[np.ndarray], Batch],
    task: Task,
    module: nn.Module,
    examples: Examples,
    settings: FinetuneSettings,
    folder: Path,
    *,
    bf16: bool,
) -> Callable[[np.ndarray], Batch]:
    """Return the collator of kept states where they pay, else `collate`: several epochs, one process, a BERT, frozen layers.

    What is decided hangs on settings and rows alone, so that a run that is resumed decides alike.
    """
    below, tokens = settings.body.frozen, sum(examples.lengths)
    if settings.steps is None:
        several = tokens < SLOW * settings.minutes * 60
    else:
        several = settings.steps * settings.accumulate * settings.tokens_per_batch > 1.5 * tokens
    one_row_a_window = task.head in ("sequence", "token", "span") and world_size() == 1
    # Texts that are changed at random have no states to keep.
    if not below or not several or not one_row_a_window or settings.regular.augment:
        return collate
    folder.mkdir(parents=True, exist_ok=True)
    if not can_precompute(module, below, examples, folder, bf16=bf16):
        return collate
    first = length_buckets(examples.lengths, settings.tokens_per_batch, settings.seed, epoch=0)
    return precompute(collate, module, below, examples, first, folder, bf16=bf16)


def can_precompute(module: nn.Module, below: int, examples: Examples, folder: Path, *, bf16: bool) -> bool:
    """Return whether the states above the lowest `below` layers can be kept: nothing in them learns, and there is room."""
    if not below or not can_keep(module, examples, folder, bf16=bf16):
        return False
    base = cast("BertModel", module.base_model)
    lower = (base.embeddings, base.encoder.layer[:below])
    return not any(one.requires_grad for part in lower for one in part.parameters())


def can_keep(module: nn.Module, examples: Examples, folder: Path, *, bf16: bool) -> bool:
    """Return whether states of layers at rest could be kept: of a BERT without dropout, where there is room."""
    # Training will switch dropout on, whatever the module is doing now.
    drops = any(isinstance(part, nn.Dropout) and part.p for part in module.modules())
    if drops or not bert.applies(module):
        return False
    width = cast("BertModel", module.base_model).config.hidden_size
    size = sum(len(one.ids) for one in examples.features) * width * (2 if bf16 else 4)
    return size < ROOM * shutil.disk_usage(folder).free


def precompute(
    collate: Callable[[np.ndarray], Batch],
    module: nn.Module,
    below: int,
    examples: Examples,
    batches: Sequence[np.ndarray],
    folder: Path,
    *,
    bf16: bool,
) -> KeptStates:
    """Return a collator whose batches hold kept states where those of `collate` hold ids.

    Args:
        collate: numbers of windows -> batch with input_ids, a row a window.
        module: a BERT for which `can_precompute`.
        below: how many of its lowest layers do not learn.
        examples: the windows.
        batches: numbers of the windows whose states are computed together; every window is in one of them.
        folder: where the file lies.
        bf16: number type of the states, that of the run.
    """
    base, lengths = cast("BertModel", module.base_model), [len(one.ids) for one in examples.features]
    dtype = torch.bfloat16 if bf16 else torch.float32
    starts = np.concatenate(([0], np.cumsum(lengths)))
    width = base.config.hidden_size
    with tempfile.TemporaryFile(dir=folder) as file:
        # The map stays when the file's name and handle are gone.
        kept = np.memmap(file, np.dtype(np.int16 if bf16 else np.float32), "w+", shape=(int(starts[-1]), width))
    return KeptStates(
        collate, base, below, examples.features, lengths, starts, batches, torch.from_numpy(kept).view(dtype)
    )


class KeptStates:
    """A collator of kept states, computed when they are first asked for, together with those of the same batch of `batches`."""

    def __init__(
        self,
        collate: Callable[[np.ndarray], Batch],
        base: BertModel,
        below: int,
        features: Sequence[Features],
        lengths: Sequence[int],
        starts: np.ndarray,
        batches: Sequence[np.ndarray],
        states: torch.Tensor,
    ) -> None:
        self._collate, self._base, self.below = collate, base, below
        self._lengths, self._starts, self.states = lengths, starts, states
        self._numbers = {id(one): number for number, one in enumerate(features)}
        self._begin(batches)

    def _begin(self, batches: Sequence[np.ndarray]) -> None:
        self.batches, self._home = batches, np.empty(len(self._lengths), dtype=np.int64)
        for number, rows in enumerate(batches):
            self._home[rows] = number
        self._missing = set(range(len(batches)))

    def _numbers_of(self, some: Examples) -> np.ndarray:
        return np.array([self._numbers[id(one)] for one in some.features], dtype=np.int64)

    def __call__(self, numbers: np.ndarray) -> Batch:
        """Return the batch of some windows."""
        for number in sorted(self._missing & set(self._home[numbers].tolist())):
            self._compute(number)
        batch = self._collate(numbers)
        tensors = {name: one for name, one in batch.tensors.items() if name not in ("input_ids", "token_type_ids")}
        shape = (*batch.tensors["input_ids"].shape, self.states.shape[1])
        found = torch.zeros(shape, dtype=self.states.dtype)
        for place, number in enumerate(numbers):
            found[place, : self._lengths[number]] = self.states[self._starts[number] : self._starts[number + 1]]
        tensors |= {"states": found, "below": torch.tensor(self.below)}
        return Batch(tensors, batch.rows, batch.tokens, batch.share)

    def only(self, some: Examples, tokens_per_batch: int = 8192) -> KeptStates:
        """Return a collator of some of the windows alone: what is asked of it computes no others, and nothing that was computed
        before is taken for it, so that a run that goes on has the same bits.
        """
        numbers, chosen = self._numbers_of(some), copy.copy(self)
        buckets = length_buckets(some.lengths, tokens_per_batch, seed=0, epoch=0)
        chosen._begin([numbers[places] for places in buckets])
        return chosen

    @torch.no_grad()
    def outputs(self, module: nn.Module, some: Examples, tokens_per_batch: int = 8192) -> list[np.ndarray]:
        """Return what the head gives for some of the windows, as `predict` does."""
        numbers = self._numbers_of(some)
        found: list[np.ndarray] = [np.empty(0)] * len(numbers)
        for places in length_buckets(some.lengths, tokens_per_batch, seed=0, epoch=0):
            batch = self(numbers[places])
            tensors = {name: one for name, one in batch.tensors.items() if name != "labels"}
            for place, values in zip(places, bert.run(module, tensors).logits.float().numpy(), strict=True):
                found[place] = values[: self._lengths[numbers[place]]] if values.ndim == 2 else values
        return found

    def _compute(self, number: int) -> None:
        rows = self.batches[number]
        lower = bert.lower_states(self._base, self._collate(rows).tensors, self.states.dtype, self.below)
        for row, found in zip(rows, lower, strict=True):
            self.states[self._starts[row] : self._starts[row + 1]] = found[: self._lengths[row]]
        self._missing.discard(number)
