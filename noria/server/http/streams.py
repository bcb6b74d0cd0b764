"""How what a model writes goes out: as the guard lets it, several answers side by side, as server-sent events with an honest end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError
from noria.server.errors import api_error, body_of
from noria.server.guard.guard import Stream

from .context import RequestContext
from .shapes import Shape

if TYPE_CHECKING:
    from noria.infer.replies import Piece

Choice = tuple[int, "Piece"]
"""Which of the answers that are made side by side, and its next piece."""


async def side_by_side(answers: Sequence[AsyncGenerator[Piece, None]]) -> AsyncGenerator[Choice, None]:
    """Yield the pieces of several answers as they come; the first error ends all."""
    if len(answers) == 1:
        try:
            async for piece in answers[0]:
                yield 0, piece
        finally:
            await answers[0].aclose()
        return
    came: asyncio.Queue[Choice | Exception | None] = asyncio.Queue()

    async def pass_on(index: int) -> None:
        try:
            async for piece in answers[index]:
                came.put_nowait((index, piece))
            came.put_nowait(None)
        except Exception as error:  # it must reach whoever waits
            came.put_nowait(error)
        finally:
            await answers[index].aclose()

    tasks = [asyncio.create_task(pass_on(index)) for index in range(len(answers))]
    try:
        left = len(tasks)
        while left:
            news = await came.get()
            if isinstance(news, Exception):
                raise news
            if news is None:
                left -= 1
            else:
                yield news
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


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
    context: RequestContext,
    shape: Shape,
    first: Choice,
    pieces: AsyncGenerator[Choice, None],
    count: int,
    wants_usage: bool,
) -> AsyncIterator[bytes]:
    """Yield the lines of a stream of `count` answers, [DONE] the last; an error on the way is told in the stream."""
    index, piece = first
    extra: dict[str, Any] = {"usage": None} if wants_usage else {}
    ends: dict[int, Piece] = {}
    try:
        for place in range(count):
            if opening := shape.opening(place):
                yield _line({**opening, **extra})
        while True:
            if piece.text or piece.finish or piece.logprobs:
                for chunk in shape.chunks(index, piece):
                    yield _line({**chunk, **extra})
            if piece.finish:
                ends[index] = piece
            if len(ends) == count:
                break
            index, piece = await anext(pieces)
        if wants_usage:
            yield _line(shape.closing(list(ends.values())))
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
