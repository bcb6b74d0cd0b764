"""How what a model writes goes out: as the guard lets it, in OpenAI's two forms, whole or as server-sent events with an honest end."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import NoriaError
from noria.server.errors import api_error, body_of
from noria.server.guard.guard import Stream

from .context import RequestContext

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

    def __init__(self, context: RequestContext, model: str, logprobs: int | None) -> None:
        self.model, self._logprobs = model, logprobs
        self._head = _head(context, model, "text_completion")
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

    def __init__(self, context: RequestContext, model: str, logprobs: bool, schema: str | None) -> None:
        self.model, self.schema, self._logprobs = model, schema, logprobs
        self._head = _head(context, model, "chat.completion")

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


def _head(context: RequestContext, model: str, kind: str) -> Json:
    served = context.served(model)
    return {
        "id": context.id,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": served.version,
    }


async def let_out(context: RequestContext, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Yield pieces as the guard lets them out; one it blocks is the last, and its end is content_filter.

    With a classifier to be asked about it, a text goes out only when it is whole. Log probabilities tell the very tokens,
    so while the guard holds text back or changes it, they are left out.
    """
    guard = context.state.guard
    let = Stream(guard)
    judges = guard.settings.model is not None
    whole = ""
    try:
        async for piece in pieces:
            if not guard.holds and not judges:
                yield piece
                continue
            text = let.feed(piece.text) + (let.flush() if piece.finish else "")
            if judges:
                whole += text
                text = whole if piece.finish or let.blocked else ""
                blocked = let.blocked or (bool(piece.finish) and await is_flagged(context, whole))
                text = "" if blocked and not let.blocked else text
            else:
                blocked = let.blocked
            if blocked:
                context.blocked = True
                yield replace(piece, text=text, finish="content_filter", logprobs=())
                return
            yield replace(piece, text=text, logprobs=())
    finally:
        await pieces.aclose()


async def is_flagged(context: RequestContext, text: str) -> bool:
    """Return whether the guard's classifier blocks a text that would go out; counts what it says."""
    found = await context.judged(text) if text else []
    context.state.guard.count(found, "output")
    return any(one.action == "block" for one in found)


async def lines(
    context: RequestContext, shape: Shape, first: Piece, pieces: AsyncGenerator[Piece, None], wants_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, [DONE] the last; an error on the way is told in the stream."""
    piece = first
    extra: dict[str, Any] = {"usage": None} if wants_usage else {}
    try:
        if opening := shape.opening():
            yield _line({**opening, **extra})
        while True:
            if piece.text or piece.finish or piece.logprobs:
                yield _line({**shape.chunk(piece), **extra})
            if piece.finish:
                break
            piece = await anext(pieces)
        if wants_usage:
            yield _line(shape.closing(piece))
        # Done is said only when the event is on the disk: a client stops reading there.
        await context.finish()
    except NoriaError as error:
        # The status is long sent: clients of OpenAI's API read an error from the stream.
        reason = api_error(error)
        yield _line(body_of(reason.status, str(reason), param=reason.param, code=reason.code))
        await context.finish("failed")
    finally:
        await pieces.aclose()
    yield b"data: [DONE]\n\n"


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
