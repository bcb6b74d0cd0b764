"""The way in of a body: read whole within its bound, then JSON, then the route's model of it, each fault in one clear line."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.types import Message, Receive

from noria.server.errors import ApiError, field_error

from .settings import ServerSettings

Model = TypeVar("Model", bound=BaseModel)

_LARGE = 64 * 1024
"""Bytes of a body from which the collector shows."""


class Replay:
    """A receive that gives a body already read, then what the connection says."""

    def __init__(self, content: bytes, receive: Receive) -> None:
        self.content = content
        self._given = False
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the body, then wait for the client to go away."""
        if self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": self.content, "more_body": False}


class Upload:
    """A body that comes piece by piece, of any kind and up to a bound of its own: it is never in memory whole.

        async for piece in upload: stream.write(piece)

    Iterating it raises ApiError: it is compressed (415), too large (413), stopped coming (408), or its client left (400).
    """

    def __init__(self, headers: Headers, receive: Receive, seconds: float) -> None:
        self.headers = headers
        self.most = 1 << 63
        """Bytes that it may have; the handler says it before the first is read."""
        self._receive, self._seconds = receive, seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its pieces as they come, each of which has its seconds."""
        pieces = pieces_of(self.headers, self._receive, self.most)
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _late() from None
            yield piece


async def pieces_of(headers: Headers, receive: Receive, most: int) -> AsyncIterator[bytes]:
    """Yield a body's pieces as they come.

    Raises:
        ApiError: it is compressed (415), too large (413), or its client left before it was whole (400).
    """
    if (coding := headers.get("content-encoding", "identity").lower()) != "identity":
        raise ApiError(
            415,
            "bodies are read as they are",
            code="unsupported_media_type",
            found=f"content-encoding {coding[:64]}",
            hint="send the body uncompressed",
        )
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:19]) > most:
        raise _too_large(most)
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the client left before its request was whole")
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        yield piece
        if not message.get("more_body"):
            return


async def read_body(settings: ServerSettings, headers: Headers, receive: Receive) -> Replay:
    """Return a reader that gives the whole body at once, after reading it within its bound.

    Raises:
        ApiError: it is compressed (415), too large (413), or took too long to arrive (408).
    """
    content = bytearray()
    try:
        async with asyncio.timeout(settings.timeout):
            async for piece in pieces_of(headers, receive, settings.max_body):
                content += piece
    except TimeoutError:
        raise _late() from None
    return Replay(bytes(content), receive)


def body_of_request(model: type[Model], content: bytes, headers: Headers, max_rows: int) -> Model:
    """Return a body as its route's model.

    Args:
        model: the route's body.
        content: the bytes of the request.
        headers: those of the request.
        max_rows: texts or events that one request may have.

    Raises:
        ApiError: it is missing, not JSON (400), called something else, or a field breaks what the document says (422).
    """
    if not content:
        raise ApiError(422, "the body is missing; send a JSON object", code="invalid_field")
    kind = headers.get("content-type", "")
    if kind != "application/json":
        _check_kind(kind)
    try:
        given = _parsed(content)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos}".lower()
        raise ApiError(400, f"the body is not JSON: {reason}", code="invalid_json") from None
    except (ValueError, RecursionError):  # no text, or a number or a depth that no parser takes
        charset = kind.lower().partition("charset=")[2].strip('" ')
        found = f", but {charset}" if charset not in ("", "utf-8", "utf8") else ""
        raise ApiError(
            400, f"the body is not JSON in UTF-8{found}, or its numbers or its depth have no end", code="invalid_json"
        ) from None
    try:
        return model.model_validate(given, context={"max_rows": max_rows})
    except ValidationError as error:
        raise field_error(error.errors(include_url=False), model.model_fields) from None


def query_of_request(model: type[Model], query: bytes) -> Model:
    """Return what stands behind the question mark as its route's model.

    Raises:
        ApiError: a value is not allowed (422).
    """
    try:
        return model.model_validate(dict(QueryParams(query)))
    except ValidationError as error:
        raise field_error(error.errors(include_url=False), model.model_fields, ("query",)) from None


def _too_large(most: int) -> ApiError:
    return ApiError(
        413, "the body is too large", code="body_too_large", allowed=f"up to {most:,} bytes", hint="send fewer rows"
    )


def _late() -> ApiError:
    return ApiError(408, "the body took too long to arrive")


def _check_kind(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ApiError(
            422,
            f"the body is taken as JSON alone: found content-type {kind[:64] or 'none'}; "
            "send content-type: application/json",
            code="unsupported_media_type",
        )


def _parsed(content: bytes) -> Any:
    """Return JSON; the collector waits meanwhile, which of a hundred thousand new lists would walk all that lives, many times."""
    if len(content) < _LARGE:
        return json.loads(content)
    gc.disable()
    try:
        return json.loads(content)
    finally:
        gc.enable()
