"""A server of somebody else's for tests: it keeps what it was sent and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sent:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Answered = tuple[int, dict[str, str], bytes]


@dataclass
class Endpoint:
    """What came, and what is answered."""

    url: str
    answer: Callable[[Sent], Answered] = lambda sent: (200, {}, b"{}")
    requests: list[Sent] = field(default_factory=list)

    def bodies(self) -> list[Any]:
        return [one.json() for one in self.requests]


def answered(value: Any, status: int = 200, **headers: str) -> Answered:
    return status, headers, json.dumps(value, ensure_ascii=False).encode()


@contextmanager
def endpoint(answer: Callable[[Sent], Answered] | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """Serve on this machine while the block runs; with `tls` encrypted."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            sent = Sent(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            made.requests.append(sent)
            status, headers, content = made.answer(sent)
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *given: None  # type: ignore[method-assign]  # a client that had enough
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made = Endpoint(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    if answer:
        made.answer = answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
