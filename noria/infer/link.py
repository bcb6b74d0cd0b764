"""Our end of the socket between the server and a model's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from .wire import Message, Unpacker, packed


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
