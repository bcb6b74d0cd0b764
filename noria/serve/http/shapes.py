"""How pieces of text look to a client: OpenAI's completion and chat completion, whole and in chunks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .state import State

if TYPE_CHECKING:
    from noria.infer.replies import Piece

Json = dict[str, Any]


class Shape(Protocol):
    """One of the two forms."""

    model: str
    schema: str | None
    """JSON schema that the text is held to."""

    def whole(self, pieces: Sequence[Piece]) -> Json:
        """Return the answer in one."""

    def opening(self) -> Json | None:
        """Return the chunk that goes before all others; None where there is none."""

    def chunk(self, piece: Piece) -> Json:
        """Return the chunk for a piece."""

    def closing(self, piece: Piece) -> Json:
        """Return the chunk that tells the usage, after the last piece."""


class CompletionShape:
    """Answers of /v1/completions."""

    schema: str | None = None

    def __init__(self, state: State, model: str, logprobs: int | None) -> None:
        self.model, self._logprobs = model, logprobs
        self._head = _head(state, model, "text_completion")
        self._offset = 0

    def whole(self, pieces: Sequence[Piece]) -> Json:
        """Return the answer in one."""
        choice = {
            "index": 0,
            "text": "".join(piece.text for piece in pieces),
            "finish_reason": pieces[-1].finish,
            "logprobs": self._reported_logprobs([one for piece in pieces for one in piece.logprobs]),
        }
        return {**self._head, "choices": [choice], "usage": usage_of(pieces[-1])}

    def opening(self) -> Json | None:
        """Return nothing: the first chunk is the first piece."""
        return None

    def chunk(self, piece: Piece) -> Json:
        """Return the chunk for a piece."""
        choice = {
            "index": 0,
            "text": piece.text,
            "finish_reason": piece.finish,
            "logprobs": self._reported_logprobs(piece.logprobs),
        }
        return {**self._head, "choices": [choice]}

    def closing(self, piece: Piece) -> Json:
        """Return the chunk that tells the usage."""
        return {**self._head, "choices": [], "usage": usage_of(piece)}

    def _reported_logprobs(self, tokens: Sequence[Json]) -> Json | None:
        if self._logprobs is None:
            return None
        offsets = []
        for one in tokens:
            offsets.append(self._offset)
            self._offset += len(one["token"])
        return {
            "tokens": [one["token"] for one in tokens],
            "token_logprobs": [one["logprob"] for one in tokens],
            "top_logprobs": [{top["token"]: top["logprob"] for top in one["top"]} for one in tokens]
            if self._logprobs
            else None,
            "text_offset": offsets,
        }


class ChatShape:
    """Answers of /v1/chat/completions."""

    def __init__(self, state: State, model: str, logprobs: bool, schema: str | None) -> None:
        self.model, self.schema, self._logprobs = model, schema, logprobs
        self._head = _head(state, model, "chat.completion")

    def whole(self, pieces: Sequence[Piece]) -> Json:
        """Return the answer in one."""
        text = "".join(piece.text for piece in pieces)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "finish_reason": pieces[-1].finish,
            "logprobs": self._reported_logprobs([one for piece in pieces for one in piece.logprobs]),
        }
        return {**self._head, "choices": [choice], "usage": usage_of(pieces[-1])}

    def opening(self) -> Json | None:
        """Return the chunk that says whose turn it is."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None, [])

    def chunk(self, piece: Piece) -> Json:
        """Return the chunk for a piece."""
        return self._chunk({"content": piece.text} if piece.text else {}, piece.finish, piece.logprobs)

    def closing(self, piece: Piece) -> Json:
        """Return the chunk that tells the usage."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(piece)}

    def _chunk(self, delta: Json, finish: str | None, tokens: Sequence[Json]) -> Json:
        choice = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish,
            "logprobs": self._reported_logprobs(tokens) if tokens else None,
        }
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def _reported_logprobs(self, tokens: Sequence[Json]) -> Json | None:
        if not self._logprobs:
            return None
        content = [
            {key: one[key] for key in ("token", "logprob", "bytes")} | {"top_logprobs": one["top"]} for one in tokens
        ]
        return {"content": content, "refusal": None}


def usage_of(piece: Piece) -> dict[str, int]:
    """Return what was read and written up to a piece."""
    return {
        "prompt_tokens": piece.prompt_tokens,
        "completion_tokens": piece.tokens,
        "total_tokens": piece.prompt_tokens + piece.tokens,
    }


def _head(state: State, model: str, kind: str) -> Json:
    served = state.served(model)
    return {
        "id": state.usage().id,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": served.version,
    }
