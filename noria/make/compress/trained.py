"""A decoder as it was trained: what it reads, and in torch and float32 what it says; what others are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.infer.completions import token_bytes
from noria.infer.kv_cache import open_cache
from noria.infer.torch import TorchEngine
from noria.make.training.objectives.apart import Apart
from noria.tasks.chat import Chat
from noria.tasks.companion import open_task
from noria.tasks.task import Task
from noria.tasks.tokenizer import read_tokenizer

from . import following
from .certify import ratio_of_sums
from .endpoint import LogProbs, NextToken, Rendered

_LONG = 1 << 16
"""Tokens that no conversation has that is compared."""


class Reading:
    """What a model reads, by its task and its tokenizer.

    Args:
        task: completes or chats.
        tokenizer: the model's.
    """

    def __init__(self, task: Task, tokenizer: Tokenizer) -> None:
        self.task, self.tokenizer, self.chats = task, tokenizer, isinstance(task, Chat)
        self._bytes = [token_bytes(tokenizer, number) for number in range(tokenizer.get_vocab_size())]
        self.special = {n for n, one in tokenizer.get_added_tokens_decoder().items() if one.special}

    @classmethod
    def of(cls, folder: Path) -> Reading:
        """Return what a model folder reads, as Noria serves it.

        Raises:
            FolderError: it is damaged.
        """
        return Reading(open_task(folder, read_manifest(folder)), read_tokenizer(folder))

    def rendered(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> Rendered:
        """Return what the model reads of a conversation, however long it is."""
        row = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
        features = self.task.features(self.tokenizer, row, _LONG)
        return Rendered(len(features.ids), tuple(features.ids), features.meta["text"])

    def read(self, text: str) -> Rendered:
        """Return what a bare prompt is read as."""
        ids = tuple(self.tokenizer.encode(text).ids)
        return Rendered(len(ids), ids, text)

    def reads_alike(self, mine: Rendered, other: Rendered) -> bool:
        """Return whether a conversation is read alike elsewhere, by what is shown of it: ids, else its text and how many tokens."""
        if other.ids is not None:
            return mine.ids == other.ids
        return other.count in (None, mine.count) and (other.text is None or self.same_text(mine, other))

    def same_text(self, mine: Rendered, other: Rendered) -> bool:
        """Return whether a conversation is the same text; who writes the first special token differs from server to server."""
        return self.without_begin(mine.text or "") == self.without_begin(other.text or "")

    def without_begin(self, text: str) -> str:
        """Return a text without the special token that every text of the model begins with."""
        return text.removeprefix(self.task.begin if isinstance(self.task, Chat) else "")

    def knows_tools(self) -> bool:
        """Return whether the model's own template tells tools and calls: else every server tells them in its own way."""
        form = self.task.call_form(self.tokenizer) if isinstance(self.task, Chat) else None
        return form is not None and form.lists and form.calls and form.hears

    def is_shown(self, number: int) -> bool:
        """Return whether a token can be seen in a text: no special one, no part of a character, and no row that no token has."""
        if number >= len(self._bytes):
            return False
        content = self._bytes[number]
        return number not in self.special and b"\xef\xbf\xbd" not in content.decode("utf-8", "replace").encode()

    def content(self, number: int) -> bytes:
        """Return what a token stands for; of a row of the table that no token has the name that GGUF files give it."""
        return self._bytes[number] if number < len(self._bytes) else f"[PAD{number}]".encode()

    def named(self, which: int | bytes) -> str:
        """Return a token as a person reads it."""
        return shown(self.content(which) if isinstance(which, int) else which)


class Trained(Reading):
    """A causal model in torch.

    Args:
        engine: in float32.
    """

    def __init__(self, engine: TorchEngine) -> None:
        assert engine.tokenizer is not None
        super().__init__(engine.task, engine.tokenizer)
        self.engine = engine
        self._cache = open_cache(engine.model, engine.max_length)
        self._ids: dict[bytes, list[int]] = {}
        for number, content in enumerate(self._bytes):
            self._ids.setdefault(content, []).append(number)

    def probabilities(self, ids: Sequence[int]) -> np.ndarray:
        """Return the probabilities [vocabulary] of the token behind some, float64."""
        row = self._cache.open()
        try:
            logits = self._cache.read(row, list(ids))
        finally:
            self._cache.close(row)
        return torch.softmax(logits.double(), dim=-1).numpy()

    def agrees(self, probabilities: np.ndarray, other: NextToken) -> bool:
        """Return whether the likeliest token is the one that followed elsewhere."""
        likeliest = int(probabilities.argmax())
        if other.ended or likeliest in self.engine.ends:
            ends = other.ended or other.number in self.engine.ends
            return likeliest in self.engine.ends and (ends or other.token in (b"", self.content(likeliest)))
        if other.number == likeliest or other.token == self.content(likeliest):
            return True
        return other.number is None and not other.token and not self.is_shown(likeliest)

    def divergence(self, probabilities: np.ndarray, logprobs: LogProbs) -> float:
        """Return how far a distribution is from what is told of another, nats; see `noria.make.compress.following`."""
        ours, theirs = [], []
        for which, logprob in logprobs.items():
            places = [which] if isinstance(which, int) else self._ids.get(which, [])
            if places and places[0] < len(probabilities):
                ours.append(float(probabilities[places].sum()))
                theirs.append(logprob)
        return following.divergence(ours, theirs)

    def beside_apart(self, apart: Apart, seed: int) -> list[Figure]:
        """Return agreement and divergence of merged weights with base and adapter apart, texts drawn anew for the intervals."""
        counts, same, far, begin = [], [], [], 0
        for ids in apart.texts:
            with torch.inference_mode():
                logits = self.engine.model(input_ids=torch.tensor([ids])).logits[0, :-1]
            merged = torch.log_softmax(logits.double(), dim=-1).numpy()
            tokens, logprobs = (one[begin : begin + len(merged)] for one in (apart.tokens, apart.logprobs))
            begin += len(merged)
            counts.append(len(merged))
            same.append(int((merged.argmax(-1) == tokens[:, 0]).sum()))
            told = zip(merged, tokens, logprobs, strict=True)
            far.append(sum(following.divergence(np.exp(theirs), own[which]) for own, which, theirs in told))
        figures = []
        for name, unit, baseline, sums in (
            ("agreement of merged weights", "", None, same),
            ("divergence of merged weights", "nats", apart.effect, far),
        ):
            value, low, high = ratio_of_sums(np.array(sums, np.float64), np.array(counts, np.float64), seed)
            figures.append(
                Figure(
                    name,
                    value,
                    sum(counts),
                    low,
                    high,
                    unit=unit,
                    source="bundled texts",
                    baseline=baseline,
                    note="beside base and adapter apart",
                )
            )
        return figures


def shown(token: bytes) -> str:
    """Return what stands for a token as a person reads it."""
    return repr(token.decode("utf-8", "replace"))
