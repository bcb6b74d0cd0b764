"""Completions made together: every step gives each of them its next token, and reads a part of a prompt that waits.

    scheduler = BatchScheduler(cache, ends)
    scheduler.begin("a", ids, Sampling(max_tokens=20), most=20)
    while scheduler.busy:
        for key, drawn in scheduler.step():        # drawn: None where the text has ended
            ...

It knows token ids only: what they say, and where a text must stop for what it said, is the caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.tasks.complete import SampledToken, Sampling, draw

from .prompt_cache import PromptCache

if TYPE_CHECKING:
    from noria.tasks.guided import Guide, Guides

    from .kv_cache import KVCache

READ = 256
"""Tokens of a prompt that are read between two steps, so that a long one does not hold the others up."""
Step = tuple[Any, SampledToken | Exception | None]
"""A completion's key, and its next token; None: it ended by itself or is as long as asked; or why it failed."""


class Scheduler(Protocol):
    """Several completions at once; what an engine of a causal model gives by `scheduler()`."""

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""

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
        """Begin a completion of at most `max_tokens` tokens; it ends before one of the model's ends or of `stop`.

        With a JSON `schema` it is held to it, and ends when it is whole; with an `adapter` it is written as that LoRA says.

        Raises:
            InputError: the schema cannot be held to. SettingError: the model cannot be held to one.
        """

    def forget(self, key: Hashable) -> None:
        """End a completion early; an unknown key is none."""

    def step(self) -> list[Step]:
        """Return what came since the last call; may wait some milliseconds for it."""

    def close(self) -> None:
        """End all of them."""


@dataclass
class _Text:
    row: int
    adapter: str
    prompt: list[int]
    sampling: Sampling
    max_tokens: int
    stop: frozenset[int]
    random: np.random.Generator
    guide: Guide | None = None
    read: int = 0
    generated: list[int] = field(default_factory=list)


class BatchScheduler:
    """Completions over rows that grow side by side; see `Scheduler`."""

    def __init__(
        self, cache: KVCache, ends: frozenset[int], guides: Guides | None = None, kept: PromptCache | None = None
    ) -> None:
        self._cache, self._ends, self._guides, self._kept = cache, ends, guides, kept or PromptCache(cache)
        self._texts: dict[Hashable, _Text] = {}

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return bool(self._texts)

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
        """Begin a completion; see `Scheduler`."""
        guide = self._guide(schema)
        random = np.random.default_rng(sampling.seed)
        row, read = self._kept.open(ids, adapter)
        stops = self._ends.union(stop)
        self._texts[key] = _Text(row, adapter, list(ids), sampling, max_tokens, stops, random, guide, read)

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        text = self._texts.pop(key, None)
        if text:  # the token that was drawn last was not computed
            self._kept.end(text.row, [*text.prompt[: text.read], *text.generated[:-1]], text.adapter)

    def step(self) -> list[Step]:
        """Return the next token of every completion whose prompt is read, and go on reading one prompt."""
        found: list[Step] = []
        going = {key: text for key, text in self._texts.items() if text.generated}
        waiting = next(((key, text) for key, text in self._texts.items() if not text.generated), None)
        if going:
            try:
                logits = self._cache.step({text.row: text.generated[-1] for text in going.values()})
                for key, text in going.items():
                    found += self._drawn(key, text, logits[text.row])
            except Exception as error:
                found += [self._failed(key, error) for key in going]
        if waiting:
            key, text = waiting
            try:
                part = text.prompt[text.read : text.read + READ]
                values = self._cache.read(text.row, part)
                text.read += len(part)
                if text.read == len(text.prompt):
                    found += self._drawn(key, text, values)
            except Exception as error:
                found.append(self._failed(key, error))
        return found

    def close(self) -> None:
        """End all of them."""
        for key in list(self._texts):
            self.forget(key)

    def _drawn(self, key: Hashable, text: _Text, logits: Any) -> list[Step]:
        scores = logits.numpy()
        if text.guide:
            scores = np.where(text.guide.allowed(len(scores)), scores, -np.inf)
        drawn = draw(scores, text.sampling, text.random, text.prompt, text.generated)
        ended = drawn.token in text.stop
        if text.guide and not ended:
            text.guide.take(drawn.token)
        text.generated.append(drawn.token)
        if ended or len(text.generated) == text.max_tokens or (text.guide and text.guide.whole):
            self.forget(key)
            return [(key, None)] if ended else [(key, drawn), (key, None)]
        return [(key, drawn)]

    def _guide(self, schema: str | None) -> Guide | None:
        if schema is None:
            return None
        if self._guides is None:
            raise SettingError(message("infer.model_cannot"))
        return self._guides.open(schema)

    def _failed(self, key: Hashable, error: Exception) -> Step:
        if text := self._texts.pop(key, None):
            self._kept.drop(text.row)
        return key, error
