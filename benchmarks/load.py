"""Load on a server from a process of its own: so many connections, as fast as answers come or at a rate of its own.

At a rate, requests come at random times that no answer delays (Poisson; an open loop), and a latency counts from the time a
request was due, so that a server that falls behind is charged for those who wait (Tene 2015, "coordinated omission").
`python -m benchmarks.load` reads a `Load` as JSON and writes what it found as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Load:
    """What is asked of a server."""

    url: str
    bodies: list[str]
    """JSON texts, sent in turns."""
    clients: int
    seconds: float
    rate: float = 0.0
    """Requests a second, over all clients; 0: each client asks again as soon as it is answered."""
    headers: dict[str, str] = field(default_factory=dict)
    seed: int = 0


def load(asked: Load) -> dict[str, float]:
    """Return "rate" (answers a second), "p50" and "p99" (milliseconds), "n", from a process of its own.

    Raises:
        RuntimeError: a request failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(asked)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    return dict(json.loads(done.stdout))


class _Client(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self, crew: _Crew) -> None:
        self._crew = crew
        self._buffer = b""
        self._whole = 0
        self._due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, due: float) -> None:
        assert self.transport
        self._due, self._buffer, self._whole = due, b"", 0
        self.transport.write(self._crew.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            start = head.index(b"content-length:") + 15
            self._whole = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._whole:
            self._crew.answered(self, int(self._buffer[9:12]), time.perf_counter() - self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crew.lost()


class _Crew:
    """All clients of a load."""

    def __init__(self, asked: Load) -> None:
        self._asked = asked
        place = urlsplit(asked.url)
        extra = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
        self._requests = [
            f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n{extra}"
            f"content-length: {len(body.encode())}\r\n\r\n".encode()
            + body.encode()
            for body in asked.bodies
        ]
        self._turn = 0
        self._free: deque[_Client] = deque()
        self._due: deque[float] = deque()
        self._end = 0.0
        self._latencies: list[float] = []
        self._failed = 0
        self._over = asyncio.Event()
        self._busy = 0
        self._all_sent = False

    def next_request(self) -> bytes:
        """Return the next request, in turns."""
        self._turn += 1
        return self._requests[self._turn % len(self._requests)]

    def answered(self, client: _Client, status: int, seconds: float) -> None:
        """Note an answer, and give the client its next request."""
        self._latencies.append(seconds)
        self._failed += status != 200
        self._busy -= 1
        now = time.perf_counter()
        if self._asked.rate:
            if self._due:
                self._send(client, self._due.popleft())
            else:
                self._free.append(client)
        elif now < self._end:
            self._send(client, now)
        last = self._all_sent if self._asked.rate else now >= self._end
        if last and not self._busy and not self._due:
            self._over.set()

    def lost(self) -> None:
        """Note that a connection broke before the end."""
        if not self._over.is_set():
            self._failed += 1
            self._over.set()

    async def run(self) -> dict[str, float]:
        """Ask, and return what was found."""
        place, loop = urlsplit(self._asked.url), asyncio.get_running_loop()
        for _ in range(self._asked.clients):
            _, client = await loop.create_connection(lambda: _Client(self), place.hostname or "", place.port or 80)
            self._free.append(client)
        begun = time.perf_counter()
        self._end = begun + self._asked.seconds
        if self._asked.rate:
            await self._arrivals(begun)
            self._all_sent = True
        else:
            while self._free:
                self._send(self._free.popleft(), time.perf_counter())
        if self._busy or self._due:
            await self._over.wait()
        seconds = time.perf_counter() - begun
        self._over.set()
        if self._failed:
            raise RuntimeError(f"{self._failed} of {len(self._latencies)} requests failed")
        ordered = sorted(self._latencies)
        return {
            "rate": len(ordered) / seconds,
            "n": len(ordered),
            "p50": 1e3 * ordered[len(ordered) // 2],
            "p99": 1e3 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        }

    async def _arrivals(self, begun: float) -> None:
        draw, due = random.Random(self._asked.seed), begun
        while (due := due + draw.expovariate(self._asked.rate)) < self._end:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self._free:
                self._send(self._free.popleft(), due)
            else:
                self._due.append(due)

    def _send(self, client: _Client, due: float) -> None:
        self._busy += 1
        client.ask(due)


async def _run(asked: Load) -> dict[str, Any]:
    return await _Crew(asked).run()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(Load(**json.load(sys.stdin))))))
