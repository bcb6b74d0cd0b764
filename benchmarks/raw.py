"""A bare HTTP/1.1 client over asyncio, for faults: it sends any bytes, reads streams line by line, and may vanish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Place:
    """A server and the key that is shown to it."""

    host: str
    port: int
    key: str

    @classmethod
    def of(cls, url: str, key: str) -> Place:
        """Return the place of an address such as http://127.0.0.1:8400."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(parts.hostname, parts.port, key)

    def request(self, path: str, body: dict[str, Any] | None = None, method: str = "", close: bool = False) -> bytes:
        """Return a request as bytes."""
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        head = [
            f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            f"authorization: Bearer {self.key}",
        ]
        if content:
            head += ["content-type: application/json", f"content-length: {len(content)}"]
        if close:
            head.append("connection: close")
        return ("\r\n".join(head) + "\r\n\r\n").encode() + content


@dataclass
class Reply:
    """A whole answer, or what came of it: status 0 where it was cut off."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, place: Place) -> Line:
        """Connect."""
        return cls(*await asyncio.open_connection(place.host, place.port, limit=1 << 20))

    @property
    def closed(self) -> bool:
        """Return whether the server closed it."""
        return self.reader.at_eof()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return its whole answer."""
        self.writer.write(request)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join([piece async for piece in self.pieces()])
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = b"" if status in (204, 304) else await self.reader.read()
        return Reply(status, headers, body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers of the answer that comes."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def pieces(self) -> Any:
        """Yield the chunks of the answer that comes."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")

    def vanish(self, *, rudely: bool = False) -> None:
        """Be gone; rudely: with a reset, as when a machine loses its power."""
        if rudely and (connection := self.writer.get_extra_info("socket")):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()


async def once(place: Place, request: bytes, seconds: float = 30.0) -> Reply:
    """Return the answer to one request on a connection of its own; status 0 where none came whole."""
    line = None
    try:
        async with asyncio.timeout(seconds):
            line = await Line.open(place)
            return await line.ask(request)
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Reply(0, {}, b"")
    finally:
        if line:
            line.vanish()
