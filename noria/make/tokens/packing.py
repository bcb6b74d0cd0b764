"""Whole examples packed into rows, so that hardly a token is padding, and none sees another example.

    batches = PackedExamples({"input_ids": ids, "targets": targets}, context=512, rows=8, seed=0)
    batch = batches.at(0)[0].tensors                                      # a BatchSource: any step, at any time
    module(batch["input_ids"], attention_mask=seen(batch["documents"], causal=False),
           position_ids=batch["position_ids"])                            # SDPA takes such a mask; an encoder here

Packed rows give each token the state it has when its example stands alone: positions count from 0 in every example, and
the mask lets a token see its own example only.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import InputError
from noria.core.settings import fingerprint

from .batches import IGNORED, Batch

if TYPE_CHECKING:
    import torch

CHUNK = 2_000
"""Examples among which room is sought: enough for rows that are full, few enough that an epoch still mixes."""


class PackedExamples:
    """A `BatchSource` of whole examples packed into rows of at most `context` tokens, one batch a step.

    Every epoch has its own order, drawn from the seed; a last batch may hold fewer rows. A batch has every column given,
    (B, T), T being its fullest row; `documents` (B, T), the number of the example within the row, -1 where nothing
    stands; and `position_ids` (B, T), the place within the example.

    Args:
        columns: name -> one number for each token of each example; `input_ids` among them. -100 fills up `targets`, 0
            all others.
        context: tokens a row may hold.
        rows: rows of a batch.
        seed: seed of the order.
        identity: hash of the examples' content; made from `columns` where it is not given.

    Raises:
        InputError: there is no example, one is empty or longer than `context`, or columns do not fit each other.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Sequence[int]]],
        *,
        context: int,
        rows: int,
        seed: int,
        identity: str = "",
    ) -> None:
        self._columns, self._context, self._rows, self._seed = dict(columns), context, rows, seed
        self._lengths = np.array([len(ids) for ids in columns["input_ids"]], dtype=np.int64)
        self._check()
        self._plans: dict[int, list[list[int]]] = {}
        self._ends: list[int] = []
        identity = identity or fingerprint([[list(map(int, one)) for one in column] for column in columns.values()])
        self.fingerprint = fingerprint([identity, sorted(columns), context, rows, seed])
        self.steps_per_epoch = self._end(0)
        """Batches of the first epoch; later epochs may differ by a batch or two."""
        self.tokens_per_step = float(self._lengths.sum()) / self.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        epoch = 0
        while step >= self._end(epoch):
            epoch += 1
        first = step - (self._end(epoch - 1) if epoch else 0)
        return [self._batch(self._plan(epoch)[first * self._rows : (first + 1) * self._rows])]

    def _check(self) -> None:
        if not len(self._lengths):
            raise InputError("no example to pack", hint="give at least one")
        for row, length in enumerate(self._lengths):
            if not 1 <= length <= self._context:
                raise InputError(
                    f"example {row} does not fit a row",
                    found=int(length),
                    allowed=f"1 to {self._context} tokens",
                    hint="cut it, or widen the context",
                )
        for name, column in self._columns.items():
            if [len(one) for one in column] != self._lengths.tolist():
                raise InputError(f"column {name!r} does not fit the tokens", allowed="one number a token")

    def _end(self, epoch: int) -> int:
        """Return the step after an epoch's last."""
        while len(self._ends) <= epoch:
            count = -(-len(self._plan(len(self._ends))) // self._rows)
            self._ends.append((self._ends[-1] if self._ends else 0) + count)
        return self._ends[epoch]

    def _plan(self, epoch: int) -> list[list[int]]:
        """Return the examples of every row of an epoch."""
        if epoch not in self._plans:
            self._plans = {epoch: packed(self._lengths, self._context, np.random.default_rng([self._seed, epoch]))}
        return self._plans[epoch]

    def _batch(self, rows: list[list[int]]) -> Batch:
        import torch

        width = max(int(self._lengths[row].sum()) for row in rows)
        shape = (len(rows), width)
        tensors = {name: np.full(shape, IGNORED if name == "targets" else 0) for name in self._columns}
        tensors |= {"documents": np.full(shape, -1), "position_ids": np.zeros(shape, dtype=np.int64)}
        for line, row in enumerate(rows):
            start = 0
            for number, example in enumerate(row):
                part = slice(start, start + int(self._lengths[example]))
                for name, column in self._columns.items():
                    tensors[name][line, part] = column[example]
                tensors["documents"][line, part] = number
                tensors["position_ids"][line, part] = np.arange(part.stop - start)
                start = part.stop
        examples = [example for row in rows for example in row]
        return Batch(
            {name: torch.from_numpy(array) for name, array in tensors.items()},
            examples,
            int(self._lengths[examples].sum()),
        )


def packed(lengths: np.ndarray, context: int, random: np.random.Generator) -> list[list[int]]:
    """Return the examples of every row, each example once, rows in random order.

    Examples are shuffled; within a chunk of some thousands each goes, the longest first, into the row that it fills best
    (best-fit decreasing: Johnson 1973; at most 11/9 of the fewest rows possible).
    """
    order = random.permutation(len(lengths))
    rows: list[list[int]] = []
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        room: list[tuple[int, int]] = []  # (tokens still free, row), ascending
        for example in chunk[np.argsort(-lengths[chunk], kind="stable")].tolist():
            length = int(lengths[example])
            place = bisect_left(room, (length, -1))
            if place < len(room):
                free, row = room.pop(place)
                rows[row].append(example)
            else:
                free, row = context, len(rows)
                rows.append([example])
            if free > length:
                insort(room, (free - length, row))
    return [rows[index] for index in random.permutation(len(rows))]


def seen(documents: torch.Tensor, *, causal: bool) -> torch.Tensor:
    """Return which positions each position sees, (B, 1, T, T), True where seen: those of its own example, and itself.

    Args:
        documents: (B, T), the number of each position's example, -1 where nothing stands.
        causal: whether a position sees only what stands before it.
    """
    import torch

    same = (documents[:, :, None] == documents[:, None, :]) & (documents >= 0)[:, None, :]
    # What stands nowhere sees itself, or its softmax would be over nothing.
    same = same | torch.eye(documents.shape[1], dtype=torch.bool, device=documents.device)
    return (same.tril() if causal else same)[:, None]
