"""Length buckets, isolated packing, an order that resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.settings import fingerprint
from noria.infer.device import moved, place_of

from .shards import Shards

IGNORED = -100
"""Target of a position that is not scored, as in torch's cross-entropy."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass is given."""

    tensors: dict[str, Any]
    """Name -> torch tensor: what the objective reads."""
    rows: list[int]
    """The rows (or documents) in it, named when something goes wrong."""
    tokens: int
    """Tokens in it that are not padding."""
    share: float = 1.0
    """Its part of the batch it was cut from, by rows; the parts of a whole batch add up to 1."""

    def beside(self, module: Any) -> Batch:
        """Return the batch where a module's weights are."""
        place = place_of(module)
        return self if place.type == "cpu" else replace(self, tensors=moved(self.tensors, place))


class BatchSource(Protocol):
    """Batches whose order is fixed: the batches of any step can be asked for at any time, so a run resumes exactly."""

    @property
    def fingerprint(self) -> str:
        """Return what changes when the rows, their order or their batching change."""
        ...

    @property
    def tokens_per_step(self) -> float:
        """Return the tokens of an average step."""
        ...

    @property
    def steps_per_epoch(self) -> float:
        """Return the steps in which every row is seen once, about; 0 where rows have no end."""
        ...

    def at(self, step: int) -> Sequence[Batch]:
        """Return the batches of optimiser step `step`, counted from 0; several are accumulated into one step."""
        ...


def length_buckets(
    lengths: Sequence[int] | np.ndarray, tokens_per_batch: int, seed: int, epoch: int, *, chunk: int = 50
) -> list[np.ndarray]:
    """Return the rows of every batch of one epoch: texts of like length together, batches in random order.

    Rows are shuffled, cut into chunks of about `chunk` batches, and sorted by length only within a chunk, so that an
    epoch still mixes; a batch holds as many rows as stay, padded to its longest, within `tokens_per_batch` (at least one).

    Args:
        lengths: tokens of each row.
        tokens_per_batch: padded tokens a batch may hold.
        seed: seed of the order.
        epoch: number of the epoch, from 0; each has its own order.
        chunk: batches among which lengths are sorted.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    size = max(1, round(chunk * tokens_per_batch / max(1.0, float(lengths.mean() if len(lengths) else 1))))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), size):
        part = order[start : start + size]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches.extend(_within_budget(part, lengths[part], tokens_per_batch))
    return [batches[index] for index in random.permutation(len(batches))]


def _within_budget(rows: np.ndarray, lengths: np.ndarray, tokens_per_batch: int) -> list[np.ndarray]:
    # From the longest down, so that the odd remainder is made of the shortest rows.
    batches, end = [], len(rows)
    while end > 0:
        count = max(1, tokens_per_batch // max(1, int(lengths[end - 1])))
        batches.append(rows[max(0, end - count) : end])
        end -= count
    return batches


class Buckets:
    """A `BatchSource` of rows in length buckets, one batch a step, epoch after epoch.

    Args:
        lengths: tokens of each row.
        collate: row numbers -> `Batch`.
        tokens_per_batch: padded tokens a batch may hold.
        seed: seed of the order.
        identity: hash of the rows' content.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        collate: Callable[[np.ndarray], Batch],
        *,
        tokens_per_batch: int,
        seed: int,
        identity: str = "",
    ) -> None:
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._collate, self._budget, self._seed = collate, tokens_per_batch, seed
        self._plans: list[list[np.ndarray]] = []
        self._ends: list[int] = []
        self.fingerprint = fingerprint([identity, self._lengths.tolist(), tokens_per_batch, seed])
        self.steps_per_epoch = len(self._plan(0))
        """Batches of the first epoch; later epochs may differ by a batch or two."""
        self.tokens_per_step = float(self._lengths.sum()) / self.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        return [self._collate(self.rows(step)[1])]

    def rows(self, step: int) -> tuple[int, np.ndarray]:
        """Return the epoch of a step, and the rows of its batch."""
        epoch, start = 0, 0
        while step - start >= len(self._plan(epoch)):
            start += len(self._plan(epoch))
            epoch += 1
        return epoch, self._plan(epoch)[step - start]

    def _plan(self, epoch: int) -> list[np.ndarray]:
        while len(self._plans) <= epoch:
            self._plans.append(length_buckets(self._lengths, self._budget, self._seed, len(self._plans)))
        return self._plans[epoch]


class Packed:
    """A `BatchSource` of documents packed into rows without padding, epoch after epoch.

    Documents are shuffled, joined and cut every `context` tokens; what follows a cut goes on in the next row without its
    past. Every batch has `input_ids` (B, T), `targets` (B, T), the next token, -100 at a document's end, and `documents`
    (B, T), the number of the document, by which an objective keeps documents apart.

    Args:
        shards: the documents.
        context: tokens of a row.
        rows: rows of a batch; a last batch of an epoch with fewer is left out.
        seed: seed of the order.
    """

    def __init__(self, shards: Shards, *, context: int, rows: int, seed: int) -> None:
        self._shards, self._context, self._rows, self._seed = shards, context, rows, seed
        self._epoch = -1
        self._order = self._starts = np.zeros(0, dtype=np.int64)
        self.steps_per_epoch = (len(shards.ids) - 1) // (context * rows)
        if self.steps_per_epoch < 1:
            raise InputError(
                message("make.too_little"),
                found=message("make.tokens_2", ids=len(shards.ids)),
                allowed=message("make.more", context=context * rows),
                hint=message("make.shorten_context"),
            )
        self.tokens_per_step = float(context * rows)
        self.fingerprint = fingerprint([shards.identity, context, rows, seed])

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        import torch

        epoch, place = divmod(step, self.steps_per_epoch)
        self._shuffle(epoch)
        size = self._rows * self._context
        ids, numbers = self._slice(place * size, size + 1)
        targets = np.where(numbers[1:] == numbers[:-1], ids[1:], IGNORED)
        shape = (self._rows, self._context)
        tensors = {
            "input_ids": torch.from_numpy(ids[:-1].reshape(shape)),
            "targets": torch.from_numpy(targets.reshape(shape)),
            "documents": torch.from_numpy(numbers[:-1].reshape(shape)),
        }
        return [Batch(tensors, [int(row) for row in self._order[np.unique(numbers[:-1])]], size)]

    def _shuffle(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._shards))
            self._starts = np.concatenate(([0], np.cumsum(self._shards.lengths[self._order])))

    def _slice(self, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return `size` token ids of this epoch's joined documents, and each one's place in the order."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, start + size, side="left"))
        parts = [self._shards[int(row)] for row in self._order[first:last]]
        offset = start - int(self._starts[first])
        numbers = np.repeat(np.arange(first, last), [len(part) for part in parts])
        ids = np.concatenate(parts).astype(np.int64)
        return ids[offset : offset + size], numbers[offset : offset + size]


class Sharded:
    """One process's part of every batch of a `BatchSource`: every `world`-th row, so that long and short texts are spread.

    Whatever the number of processes, their parts together are the same batches. A batch whose rows see one another (its
    tensors do not all count rows) goes whole to one process after the other. A process without a part is given the first
    row, or the whole batch, with a `share` of 0: something to pass through a model in which all must take part.

    Args:
        source: the whole batches.
        rank: place of this process, from 0.
        world: how many processes there are.
    """

    def __init__(self, source: BatchSource, rank: int, world: int) -> None:
        self._source, self._rank, self._world = source, rank, world
        self.fingerprint, self.tokens_per_step = source.fingerprint, source.tokens_per_step
        self.steps_per_epoch = source.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return this process's part of each batch of a step."""
        return [part_of(batch, number, self._rank, self._world) for number, batch in enumerate(self._source.at(step))]


def part_of(batch: Batch, number: int, rank: int, world: int) -> Batch:
    """Return one process's part of a batch: every `world`-th row from `rank` on.

    Args:
        batch: the whole one.
        number: its place among those of its step; whose rows see one another goes whole to one process after the other.
        rank: place of the process, from 0.
        world: how many there are.
    """
    counts = {len(tensor) for tensor in batch.tensors.values() if tensor.ndim}
    if len(counts) != 1:
        mine = number % world == rank
        return batch if mine else replace(batch, rows=[], tokens=0, share=0.0)
    (size,) = counts
    taken = range(rank, size, world)
    before = sum(len(range(other, size, world)) for other in range(rank))
    places = list(taken) or [0]
    tensors = {name: tensor[places] if tensor.ndim else tensor for name, tensor in batch.tensors.items()}
    rows = [batch.rows[place] for place in taken] if len(batch.rows) == size else batch.rows
    # By rows, so that the parts add up; what padding each part holds is not looked at.
    tokens = batch.tokens * (before + len(taken)) // size - batch.tokens * before // size
    return Batch(tensors, rows if taken else [], tokens, batch.share * len(taken) / size)


class Parted:
    """A `BatchSource` whose batches pass in parts: rows together no wider than so many tokens, whose gradients add up.

    Activations grow with what passes at once, and the loss, a sum over tokens, does not hang on it.

    Args:
        source: where the batches come from; rows stand alone in them.
        tokens: padded tokens of a part at most; a longer row is a part of its own.
    """

    def __init__(self, source: BatchSource, tokens: int) -> None:
        self._source, self._tokens = source, tokens
        self.tokens_per_step, self.steps_per_epoch = source.tokens_per_step, source.steps_per_epoch
        self.fingerprint = fingerprint([source.fingerprint, "parts", tokens])

    def at(self, step: int) -> list[Batch]:
        """Return the parts of all batches of a step."""
        return [part for batch in self._source.at(step) for part in self._parts(batch)]

    def _parts(self, batch: Batch) -> list[Batch]:
        rows, width = next(iter(batch.tensors.values())).shape[:2]
        count = -(-rows // max(1, self._tokens // width))
        return [part_of(batch, 0, rank, count) for rank in range(count)] if count > 1 else [batch]


class Joined:
    """A `BatchSource` that takes several steps of another as one: their gradients add up before the optimiser learns.

    Args:
        source: where the batches come from.
        count: how many of its steps make one.
    """

    def __init__(self, source: BatchSource, count: int) -> None:
        self._source, self._count = source, count
        self.tokens_per_step = count * source.tokens_per_step
        self.steps_per_epoch = source.steps_per_epoch / count
        self.fingerprint = fingerprint([source.fingerprint, count])

    def at(self, step: int) -> list[Batch]:
        """Return the batches of all the steps that make this one."""
        first = step * self._count
        return [batch for number in range(first, first + self._count) for batch in self._source.at(number)]
