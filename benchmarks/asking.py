"""Clients that ask a server over HTTP as fast as it answers, cheaply enough to leave the processor to the server.

Answers are told by status; of each answer that came whole the id that the server gave it. A connection that breaks is
opened again, so that a server may die and come back under the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Asked:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    """HTTP status -> answers; 0 for those that were cut off or never came."""
    ids: list[str] = field(default_factory=list)
    """Ids of the whole answers that are 200."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of the whole answers that are 200."""
    last: list[tuple[float, int]] = field(default_factory=list)
    """When each answer came, by the monotonic clock, and its status."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return answers that are 200, a second."""
        return self.statuses[200] / self.seconds


def ask(
    url: str,
    key: str,
    body: dict[str, object],
    *,
    clients: int,
    seconds: float,
    path: str = "/v1/classify",
    until: Callable[[], bool] = lambda: False,
) -> Asked:
    """Return what `clients` got that each ask again as soon as they are answered, for `seconds` or `until` says so."""
    return asyncio.run(_ask(url, key, body, clients, seconds, path, until))


async def _ask(
    url: str, key: str, body: dict[str, object], clients: int, seconds: float, path: str, until: Callable[[], bool]
) -> Asked:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    content = json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    request, asked, begun = head.encode() + content, Asked(), time.monotonic()

    async def client() -> None:
        writer = None
        while time.monotonic() - begun < seconds and not until():
            started = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(place.hostname, place.port)
                writer.write(request)
                status, identity = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, identity = 0, ""
                if writer:
                    writer.close()
                writer = None
                await asyncio.sleep(0.02)
            asked.statuses[status] += 1
            asked.last.append((time.monotonic(), status))
            if status == 200:
                asked.ids.append(identity)
                asked.latencies.append(time.monotonic() - started)
            elif status == 503:
                await asyncio.sleep(0.05)
        if writer:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(clients)))
    asked.seconds = time.monotonic() - begun
    return asked


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    # Read to the last byte: an answer counts only when it is whole.
    await reader.readexactly(int(fields["content-length"]))
    return int(head[0].split()[1]), fields.get("x-request-id", "")


@dataclass(frozen=True)
class Streamed:
    """One answer that came as server-sent events."""

    first: float
    """Seconds to the first text."""
    tokens: int
    """As the server counts them."""
    text: str


async def streamed(url: str, key: str, body: dict[str, Any]) -> Streamed:
    """Return a completion or a chat's answer, asked for as a stream over a connection of its own.

    Raises:
        RuntimeError: the server refuses, or the stream ends before its usage.
    """
    place = urlsplit(url)
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    content = json.dumps(asked, ensure_ascii=False).encode()
    head = (
        f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {key or 'none'}\r\n"
        f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
    start, first, used, text = time.perf_counter(), 0.0, 0, ""
    try:
        writer.write(head.encode() + content)
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"{status.decode().strip()}: {(await reader.read(2_000)).decode(errors='replace')}")
        while line := await reader.readline():
            if not line.startswith(b"data: {"):
                continue
            told = json.loads(line[6:])
            for choice in told.get("choices", ()):
                text += choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            if text and not first:
                first = time.perf_counter() - start
            used = (told.get("usage") or {}).get("completion_tokens", used)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not used:
        raise RuntimeError("a stream ended early")
    return Streamed(first or time.perf_counter() - start, used, text)
