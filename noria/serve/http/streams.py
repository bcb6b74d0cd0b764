"""Server-sent events: pieces as they come, the guard between, and an honest end whatever happens."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError
from noria.serve.errors import api_error, body_of
from noria.serve.guard.guard import Stream

from .shapes import Shape
from .state import State

if TYPE_CHECKING:
    from noria.infer.replies import Piece


async def let_out(state: State, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Yield pieces as the guard lets them out; one it blocks is the last, and its end is content_filter.

    With a classifier to be asked about it, a text goes out only when it is whole. Log probabilities tell the very tokens,
    so while the guard holds text back or changes it, they are left out.
    """
    let = Stream(state.guard)
    judges = state.guard.settings.model is not None
    whole = ""
    try:
        async for piece in pieces:
            if not state.guard.holds and not judges:
                yield piece
                continue
            text = let.feed(piece.text) + (let.flush() if piece.finish else "")
            if judges:
                whole += text
                text = whole if piece.finish or let.blocked else ""
                blocked = let.blocked or (bool(piece.finish) and await is_flagged(state, whole))
                text = "" if blocked and not let.blocked else text
            else:
                blocked = let.blocked
            if blocked:
                state.usage().blocked = True
                yield replace(piece, text=text, finish="content_filter", logprobs=())
                return
            yield replace(piece, text=text, logprobs=())
    finally:
        await pieces.aclose()


async def is_flagged(state: State, text: str) -> bool:
    """Return whether the guard's classifier blocks a text that would go out; counts what it says."""
    found = await state.judged(text) if text else []
    state.guard.count(found, "output")
    return any(one.action == "block" for one in found)


async def lines(
    state: State, shape: Shape, first: Piece, pieces: AsyncGenerator[Piece, None], wants_usage: bool
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
        await state.finish(state.usage())
    except NoriaError as error:
        # The status is long sent: clients of OpenAI's API read an error from the stream.
        told = api_error(error)
        yield _line(body_of(told.status, str(told), param=told.param, code=told.code))
        await state.finish(state.usage(), "failed")
    finally:
        await pieces.aclose()
    yield b"data: [DONE]\n\n"


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
