"""Messages between a worker and its model's process, and the worker's end of their socket: JSON, each after its length in four bytes; vectors as base64 of float32.

Numbers in decimals would hold the server's loop up: two thousand vectors are a million of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

Message = dict[str, Any]
_LENGTH = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def packed(message: Message) -> bytes:
    """Return a message as bytes."""
    content = _encode(message).encode()
    return _LENGTH.pack(len(content)) + content


def flat(answers: Sequence[Message]) -> list[Message]:
    """Return answers with vectors as text."""
    return [
        {**one, "embedding": base64.b64encode(np.asarray(one["embedding"], "<f4").tobytes()).decode()}
        if "embedding" in one
        else one
        for one in answers
    ]


def unflat(answers: Sequence[Message]) -> list[Message]:
    """Return answers with vectors as arrays, float32."""
    return [
        {**one, "embedding": np.frombuffer(base64.b64decode(one["embedding"]), "<f4")} if "embedding" in one else one
        for one in answers
    ]


class Unpacker:
    """Turns bytes as they arrive into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, content: bytes) -> Iterator[Message]:
        """Yield the messages that are whole with `content`."""
        self._buffer += content
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            message = json.loads(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
            yield message


class Link(asyncio.Protocol):
    """Our end of the socket to one process.

    Args:
        on_message: takes every message.
        closed: set when the process closed its end.
    """

    def __init__(self, on_message: Callable[[Message], None], closed: asyncio.Event) -> None:
        self._on_message, self._closed = on_message, closed
        self._unpacker = Unpacker()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the process."""
        # A cast, not a check: uvloop's transports write too, but are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand over the messages that are whole."""
        for message in self._unpacker.feed(data):
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the process is gone."""
        self._closed.set()

    def send(self, message: Message) -> None:
        """Send a message, unless the process is gone."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(packed(message))

    def close(self) -> None:
        """Close our end, which ends the process."""
        if self._transport:
            self._transport.close()
