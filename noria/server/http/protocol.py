"""HTTP/1.1 within bounds: headers of so many bytes and lines, arriving in so many seconds; errors in one shape.

The parser under uvicorn takes headers of any length and waits for them for ever. Here a request head is refused (431) when
it grows too large, and a connection that does not say a whole one in time is closed (408).
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from noria.server.errors import body_of

from .sending import GUARDS

HEAD_BYTES = 64 * 1024
"""Address and headers together."""
HEADERS = 128
HEAD_SECONDS = 20.0
CONNECTIONS = 4_096
"""Connections that may be open at once, idle ones included."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    """Of headers that are whole."""
    _head_read = 0
    """Bytes that arrived while the head was not."""
    _in_head = True
    _silent = True
    _refused = False
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, "too many connections", retry_after=5)
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._no_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection was refused."""
        if self._refused:
            return
        self._silent = False
        super().data_received(data)
        if self._in_head:
            # A header that never ends is told to nobody: the parser gathers it.
            self._head_read += len(data)
            if self._head_read > HEAD_BYTES:
                self._refuse(431, "the headers are too large")

    def on_message_begin(self) -> None:
        """Count a request's head anew; the one after the first has its time from here."""
        super().on_message_begin()
        self._head_bytes = self._head_read = 0
        self._in_head = True
        if self._waiting is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= HEADERS:
            self._refuse(431, "too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request over, unless it was refused."""
        self._no_wait()
        self._in_head = False
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, unless the request was refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request, unless it was refused."""
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        if not self._refused:
            self._refuse(400, "not an HTTP request")

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "the headers are too large")

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._late)

    def _no_wait(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if self._silent:
            # Browsers open connections that they may never need: no answer where nothing was asked.
            self.transport.close()
        self._refuse(408, "the request took too long to arrive")

    def _refuse(self, status: int, message: str, retry_after: int | None = None) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._no_wait()
        body = json.dumps(body_of(status, message)).encode()
        told: dict[str, Any] = {"content-type": "application/json", "content-length": len(body), "connection": "close"}
        told |= {name.decode(): value.decode() for name, value in GUARDS}
        if retry_after:
            told["retry-after"] = retry_after
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + "".join(f"{key}: {told[key]}\r\n" for key in told)
        self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.close()
