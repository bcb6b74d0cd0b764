"""Encoders as a graph in a file of the folder, which a library compiles and runs: what such engines share.

They differ in how a graph is opened, in what computes it, and in what a width costs that was not seen lately.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, SettingError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.tasks.complete import Sampling
from noria.tasks.padding import like_groups, padded, padding_of
from noria.tasks.task import Features, Task
from noria.tasks.tokenizer import read_tokenizer

from .engine import ENGINES, Kind, in_parts, logits_of, longest, read_config, unpadded

if TYPE_CHECKING:
    from .scheduler import Scheduler

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
"""What a graph may be given."""


class Graph(ABC):
    """An engine that runs a graph, on the processor.

    Args:
        folder: model folder with the engine's file; the graph's first output holds what the task's head says.
        manifest: its manifest.
        task: its task.
        threads: of one forward pass.

    Raises:
        FolderError: there is no such graph, it cannot be read, or it wants inputs that no task gives.
    """

    kind: Kind
    widths = 1
    """Widths of batches are multiples of this."""

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int) -> None:
        self.folder, self.manifest, self.task = folder, manifest, task
        config = read_config(folder)
        self.tokenizer = read_tokenizer(folder)
        self.max_length = longest(manifest, config)
        self.padding = padding_of(config)
        file = folder / ENGINES[self.kind]
        if not file.is_file():
            raise FolderError(
                message("infer.holds", folder=folder, engines=ENGINES[self.kind]), hint=message("infer.compress_model")
            )
        try:
            self.wanted = self.opened(file, threads)
        except Exception as error:  # a library's own classes share no base
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise FolderError(message("infer.cannot_read", file=file), found=told[-1]) from error
        if not {name for name, _ in self.wanted} <= set(INPUTS):
            raise FolderError(message("infer.wants_unknown", file=file), allowed=INPUTS)

    @abstractmethod
    def opened(self, file: Path, threads: int) -> list[tuple[str, Any]]:
        """Open a file, and return the names of the graph's inputs, one of `INPUTS` each, with NumPy's types of them."""

    @abstractmethod
    def computed(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the graph's first output, float32, for its inputs in their order."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Return each text's logits; see `Engine`."""
        if len(parts := like_groups([len(text) for text in batch], self.padding)) > 1:
            return in_parts(self, parts, batch, types)
        types = types if self.padding.types else None
        longest_text = max(map(len, batch))
        width = max(longest_text, min(-(-longest_text // self.widths) * self.widths, self.max_length))
        width = longest_text if self.padding.alike else width
        ids, mask = padded(batch, self.padding, width=width)
        given = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            if not any(name == "token_type_ids" for name, _ in self.wanted):
                raise SettingError(
                    message("infer.compressed_single", name=self.folder.name), found=message("infer.pair_texts")
                )
            given["token_type_ids"] = padded(types, self.padding, width=width, filler=0)[0]
        inputs = []
        for name, number in self.wanted:
            if name == "position_ids":
                array = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
            else:
                array = given.get(name, np.zeros_like(ids))
            inputs.append(np.ascontiguousarray(array, dtype=number))
        return unpadded(self.task, self.computed(inputs), batch, self.padding)

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what `Task.answer` takes for each text; see `Engine`."""
        return logits_of(self, features)

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)

    def scheduler(self) -> Scheduler:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)
