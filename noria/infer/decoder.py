"""What engines share that write tokens and tell no logits; what they cannot do, the trained model in torch does for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, SettingError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.tasks.complete import Sampling
from noria.tasks.padding import padding_of
from noria.tasks.task import Features, Task
from noria.tasks.tokenizer import read_tokenizer

from .engine import ENGINES, Kind, check_memory, end_ids_for, generate_one, longest, read_config
from .gguf.folder import with_weights
from .scheduler import Scheduler, Step

if TYPE_CHECKING:
    from .torch import TorchEngine

TOGETHER = 8
"""Completions that share the model; more wait."""
MOST = 16_384
"""Tokens of keys and values of all texts together, at most; one text alone may be as long as the model's. A token takes 12 KB of a
model of 0.5 B parameters, 128 KB of one of 8 B."""
LIKELIEST = 20
"""Likeliest tokens that are told; OpenAI's API knows no more."""
PREFILL = 128
"""Tokens of prompts that are read between two tokens of the others: a long prompt holds nobody up for long, and of eight that
come at once the first need not wait for the last. It costs some 6 % of tokens a second with eight completions."""


class Decoder(ABC):
    """A causal model in a library that writes tokens by itself.

    Args:
        folder: model folder with the engine's file.
        manifest: its manifest.
        task: its task.
        threads: of one forward pass.

    Raises:
        FolderError: there is no such model.
    """

    kind: Kind

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int) -> None:
        self.folder, self.manifest, self.task, self.threads = folder, manifest, task, threads
        config = read_config(folder)
        self.tokenizer = read_tokenizer(folder)
        self.max_length = longest(manifest, config)
        self.padding = padding_of(config)
        self.ends = end_ids_for(task, config, self.tokenizer)
        self.file = folder / ENGINES[self.kind]
        if not self.file.is_file():
            raise FolderError(
                message("infer.holds", folder=folder, engines=ENGINES[self.kind]), hint=message("infer.compress_model")
            )
        check_memory(folder, self.file.stat().st_size)

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Refuse: see the module."""
        raise SettingError(message("infer.engine_gives"), found=self.kind, allowed="torch")

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what a chat model replies; see `Engine`."""
        if self.task.name != "chat":
            return list(self.forward([]))
        sampling = Sampling(temperature=0, max_tokens=256)
        return [self.tokenizer.decode(list(self.generate(one.ids, sampling))) for one in features]

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Yield the tokens that follow; see `Engine`."""
        return generate_one(self, ids, sampling, stop)

    @abstractmethod
    def following(self, ids: Sequence[int], expected: int) -> dict[int, float]:
        """Return log probabilities of the token after a prompt: of the likeliest, and of `expected` where the library tells it."""

    @abstractmethod
    def scheduler(self) -> Scheduler:
        """Return what makes several completions together."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""

    @cache  # noqa: B019 - it lives as long as the process
    def exact(self) -> TorchEngine:
        """Return the trained model itself; loaded when it is first needed."""
        from .torch import TorchEngine

        return TorchEngine(with_weights(self.folder), self.manifest, self.task, threads=self.threads)


class RoutedScheduler:
    """Completions of which the fast library makes those it can, and torch the others; see `Scheduler`.

    Args:
        fast: the library's.
        exact: gives the model's engine in torch.
        beyond: tells whether the library cannot do what is asked, from sampling and schema.
    """

    def __init__(
        self, fast: Scheduler, exact: Callable[[], TorchEngine], beyond: Callable[[Sampling, str | None], bool]
    ) -> None:
        self._fast, self._exact, self._beyond = fast, exact, beyond
        self._held: Scheduler | None = None

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return self._fast.busy or (self._held is not None and self._held.busy)

    def begin(
        self,
        key: Hashable,
        ids: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        schema: str | None = None,
        adapter: str = "",
    ) -> None:
        """Begin a completion, where it can be made."""
        if self._beyond(sampling, schema):
            self._held = self._held or self._exact().scheduler()
            self._held.begin(key, ids, sampling, max_tokens=max_tokens, stop=stop, schema=schema, adapter=adapter)
        else:
            self._fast.begin(key, ids, sampling, max_tokens=max_tokens, stop=stop, adapter=adapter)

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        self._fast.forget(key)
        if self._held:
            self._held.forget(key)

    def step(self) -> list[Step]:
        """Return what came of both since the last call."""
        found = self._held.step() if self._held and self._held.busy else []
        return found + (self._fast.step() if self._fast.busy else [])

    def close(self) -> None:
        """End all of them."""
        self._fast.close()
        if self._held:
            self._held.close()
